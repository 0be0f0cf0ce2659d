"""The factory of the Dukascopy source."""

from __future__ import annotations

from collections.abc import Collection, Sequence

from ticklake.sources.base import Source, SourceFactory, SourceOptions

__all__ = ["DukascopyFactory"]


class DukascopyFactory(SourceFactory):
    """Serves the exchange ``dukascopy``."""

    def exchanges(self) -> Collection[str]:
        """Return the one id."""
        return ("dukascopy",)

    def kinds(self, exchange: str) -> Sequence[str]:
        """Return ``quotes``."""
        del exchange
        return ("quotes",)

    def make(self, exchange: str, options: SourceOptions) -> Source:
        """Return the source."""
        from ticklake.sources.dukascopy.source import DukascopySource

        del exchange
        return DukascopySource(options)
