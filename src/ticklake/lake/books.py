"""Order books: as they were at an instant."""

from __future__ import annotations

from typing import TYPE_CHECKING

from ticklake.core.dataset import Dataset
from ticklake.core.knowledge import Knowledge, parse_knowledge
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
        knowledge: Knowledge = "default",
        *,
        columns: Columns | None = None,
    ) -> Book:
        """Return the order book as it was at *at* (now): bids, then asks, best prices first.

        It is the newest snapshot at or before *at* with every change after it up to *at*, that instant included.

        Parameters
        ----------
        depth
            Keep that many levels a side.
        knowledge
            Which rows count, as in :mod:`ticklake.core.knowledge`: by default those that were known at *at*. With ``"event"``, all that
            happened until then, whenever they were received.

        Returns
        -------
        Book
            A frame with the columns of kind ``book``: each level has the row that set it. Where there is no snapshot it is empty, and its
            ``reason`` says why. ``proof`` says whether it is known to be whole, ``flags`` what is wrong with it.
        """
        from ticklake.query.book import book_at

        dataset = known_dataset(self.engine, Dataset.of(exchange, symbol, "book"))
        names = parse_columns(dataset.spec, columns)
        return book_at(
            self.engine,
            dataset,
            optional_time(at),
            optional_count("depth", depth, 1),
            names,
            parse_knowledge(knowledge),
        )
