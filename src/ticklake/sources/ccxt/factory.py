"""The factory of ccxt sources; ccxt is loaded when it is asked something."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence

from ticklake.sources.base import Source, SourceFactory, SourceOptions

__all__ = ["CcxtFactory"]


class CcxtFactory(SourceFactory):
    """Serves every exchange that ccxt knows."""

    def exchanges(self) -> Collection[str]:
        """Return ccxt's ids."""
        from ticklake.sources.ccxt.client import exchange_ids

        return exchange_ids()

    def kinds(self, exchange: str) -> Sequence[str]:
        """Return the kinds that ccxt says the exchange serves."""
        from ticklake.sources.ccxt.capabilities import served_by

        return served_by(exchange)

    def restrictions(self, exchange: str) -> Mapping[str, str]:
        """Return which kinds need a key, and of which only the newest rows or days are served."""
        from ticklake.sources.ccxt.capabilities import restrictions_of

        return restrictions_of(exchange)

    def make(self, exchange: str, options: SourceOptions) -> Source:
        """Return the source of an exchange."""
        from ticklake.sources.ccxt.client import ExchangeOptions
        from ticklake.sources.ccxt.source import CcxtSource

        secrets = dict(options.secrets)
        own = ExchangeOptions(options.url, options.rate_limit_ms, options.timeout, options.retry, secrets, options.pace)
        return CcxtSource(exchange, own, options.clock)
