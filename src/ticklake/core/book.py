"""Order books as a reader gets them."""

from __future__ import annotations

import polars as pl

__all__ = ["Book"]


class Book(pl.DataFrame):
    """One order book: a frame with a row a level, bids before asks, best prices first.

    Attributes
    ----------
    reason
        Why it is empty; empty itself where there is a book.
    """

    reason: str = ""

    def __repr__(self) -> str:
        if self.reason:
            return f"Book(empty: {self.reason})"
        return super().__repr__()

    def _repr_html_(self, *, _from_series: bool = False) -> str:
        from html import escape

        if self.reason:
            return f"<p>no book: {escape(self.reason)}</p>"
        return super()._repr_html_(_from_series=_from_series)
