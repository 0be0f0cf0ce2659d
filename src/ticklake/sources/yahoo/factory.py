"""The factory of Yahoo sources; yfinance is loaded when one is made."""

from __future__ import annotations

from collections.abc import Collection, Sequence

from ticklake.sources.base import Source, SourceFactory, SourceOptions
from ticklake.sources.yahoo.venues import LISTINGS

__all__ = ["YahooFactory"]


class YahooFactory(SourceFactory):
    """Serves the venues of equities that Yahoo covers."""

    def exchanges(self) -> Collection[str]:
        """Return the venues."""
        return LISTINGS

    def kinds(self, exchange: str) -> Sequence[str]:
        """Return bars, splits and dividends."""
        del exchange
        return ("ohlcv", "splits", "dividends")

    def make(self, exchange: str, options: SourceOptions) -> Source:
        """Return the source of a venue.

        Raises
        ------
        MissingExtra
            If yfinance is not installed.
        """
        from ticklake.sources.yahoo.client import Client
        from ticklake.sources.yahoo.source import YahooSource

        return YahooSource(exchange, Client(options), options.clock)
