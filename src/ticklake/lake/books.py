"""Order books: as they were at an instant."""

from __future__ import annotations

from typing import TYPE_CHECKING

from ticklake.core.dataset import Dataset
from ticklake.core.selection import parse_columns
from ticklake.core.time import TimeLike
from ticklake.lake.arguments import Columns, known_dataset, optional_count, optional_time
from ticklake.lake.reading import Reading

if TYPE_CHECKING:
    from ticklake.core.book import Book

__all__ = ["BookVerbs"]


class BookVerbs(Reading):
    """The methods that answer with order books."""

    def book(
        self,
        exchange: str,
        symbol: str,
        at: TimeLike | None = None,
        depth: int | None = None,
        *,
        columns: Columns | None = None,
    ) -> Book:
        """Return the newest snapshot of the order book at or before *at* (now): bids, then asks, best prices first.

        Parameters
        ----------
        depth
            Keep that many levels a side.

        Returns
        -------
        Book
            A frame with the columns of kind ``book``. Where there is no snapshot it is empty, and its ``reason`` says why.
        """
        from ticklake.query.book import book_at

        dataset = known_dataset(self.engine, Dataset.of(exchange, symbol, "book"))
        names = parse_columns(dataset.spec, columns)
        return book_at(self.engine, dataset, optional_time(at), optional_count("depth", depth, 1), names)
