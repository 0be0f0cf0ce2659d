"""A preset: files of which it is known who writes them, and what stands where."""

from __future__ import annotations

import re
from collections.abc import Mapping as MappingType
from collections.abc import Sequence
from dataclasses import dataclass, field

from ticklake.core.native_ids import Market
from ticklake.files.mapping import Mapping

__all__ = ["GENERIC", "Preset", "same_names"]


@dataclass(frozen=True, slots=True)
class Preset:
    """One row of the table.

    Parameters
    ----------
    name, kind
        What it is called, and what its rows are.
    mapping
        How they are read.
    pattern
        What the end of the file's path looks like without its suffixes, with any of the groups ``exchange``, ``symbol``
        (the native one), ``share`` (a ticker), ``root`` and ``expiry`` (of a future), ``timeframe``, ``minutes``, ``resolution``,
        ``step`` and ``unit``, ``perp``, ``day`` (``20240131``).
    header
        Names that the columns must have, if it is told by them; case does not count.
    names
        What the columns are called if the file does not say.
    bare
        Whether it has no line of names, never.
    exchange, market
        Where it trades, if neither path nor rows say so; and in which part of the exchange, if that is known.
    shape, begins
        For files that are no tables: the entry of :data:`~ticklake.files.shapes.SHAPES` that takes rows out of
        them, and what their first bytes look like.
    day_zone
        Where the ``day`` of the name begins, if times count from it.
    feeds
        The zone of times by exchange, where each feed has its own; ``""`` for all others. It goes before ``day_zone``.
    at_close
        Whether a row that is named by a bar's beginning was known at its end: its time is moved there.
    at_open
        Whether bars are named by their end: their times are moved to their beginning.
    whole
        Whether a file holds all of the day or month in its name, so that stretches without rows had none.
    id_space
        Which numbering the trade ids belong to, where an exchange has several; ``time`` if the numbers of a book are times.
    wide
        Whether a row is a whole book, with columns like ``asks[0].price`` and ``asks[0].amount``.
    only
        The column that must be true for a row to count, if it is there.
    derivatives
        Exchanges that in these files are their derivatives, though their name does not say so.
    left_out
        What of the file has no kind.
    """

    name: str
    kind: str
    mapping: Mapping = field(default_factory=Mapping)
    pattern: str = ""
    header: tuple[str, ...] = ()
    names: tuple[str, ...] = ()
    bare: bool = False
    exchange: str = ""
    market: Market | None = None
    shape: str = ""
    begins: bytes = b""
    day_zone: str = ""
    feeds: MappingType[str, str] = field(default_factory=dict)
    at_close: bool = False
    at_open: bool = False
    whole: bool = False
    id_space: str = ""
    wide: bool = False
    only: str = ""
    derivatives: tuple[str, ...] = ()
    left_out: str = ""

    def finds(self, label: str) -> re.Match[str] | None:
        """Match the pattern with the end of a path."""
        return re.search(rf"(?:^|/){self.pattern}$", label) if self.pattern else None

    def fits(self, label: str, columns: Sequence[str], *, named: bool) -> bool:
        """Whether a file of this name and these columns is one of those."""
        if self.pattern and not self.finds(label):
            return False
        if self.header and (named or not self.pattern):
            return named and {name.lower() for name in self.header} <= {name.strip().lower() for name in columns}
        if named:
            return not self.bare and not self.header and bool(self.pattern)
        return bool(self.names) and len(columns) == len(self.names) and bool(self.pattern)


GENERIC = Preset("generic", "")
"""Everything else: guessed."""


def same_names(*names: str, **others: str) -> dict[str, str]:
    """Return a mapping of columns of which most have our names."""
    return {**{name: name for name in names}, **others}
