"""Presets: files whose program is known, and with it the meaning of their columns."""

from __future__ import annotations

import re
from collections.abc import Mapping as MappingType
from collections.abc import Sequence
from dataclasses import dataclass, field

from ticklake.core.native_ids import Market
from ticklake.files.mapping import Mapping

__all__ = ["BARS", "GENERIC", "Preset", "same_names"]

BARS = ("open", "high", "low", "close", "volume")
"""The columns that bars have in the files of all programs, in the usual order."""


@dataclass(frozen=True, slots=True)
class Preset:
    """Files of one program: how they are recognised and read.

    Parameters
    ----------
    name, kind
        What users call it, and the kind of its rows.
    mapping
        How columns are read.
    pattern
        A pattern for the end of the file's path without its suffixes, with any of the groups ``exchange``, ``symbol``
        (the native one), ``share`` (a ticker), ``root`` and ``expiry`` (of a future), ``timeframe``, ``minutes``, ``resolution``,
        ``step`` and ``unit``, ``perp``, ``day`` (``20240131``).
    header
        Names that the columns must have, if files are recognised by them; case does not count.
    names
        The columns of files without names.
    bare
        Whether files never have a line of names.
    exchange, market
        Where it trades, if neither path nor rows say so; and in which market of the exchange, if that is known.
    shape, begins
        For files that are no tables: the entry of :data:`~ticklake.files.shapes.SHAPES` that takes rows out of
        them, and a pattern for their first bytes.
    day_zone
        The zone of the ``day`` in the name, if times count from its midnight.
    feeds
        The zone of times by exchange, where each feed has its own; ``""`` for all others. It has priority over ``day_zone``.
    at_close
        Whether a row that is named by a bar's beginning was known at its end: its time is moved there.
    at_open
        Whether bars are named by their end: their times are moved to their beginning.
    whole
        Whether a file holds all of the day or month in its name, so that nothing happened where it has no rows.
    id_space
        The numbering of the trade ids, where an exchange has several; ``time`` if the numbers of a book are times.
    wide
        Whether a row is a whole book, with columns like ``asks[0].price`` and ``asks[0].amount``.
    only
        The column that must be true for a row to count, if it is there.
    derivatives
        Exchanges whose names mean their derivatives in these files.
    left_out
        The part of the file that has no kind.
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
        if not self.pattern:
            return None
        return re.search(rf"(?:^|/){self.pattern}$", label)

    def fits(self, label: str, columns: Sequence[str], *, named: bool) -> bool:
        """Whether a file is one of the preset's; *named* says whether *columns* are names of its own."""
        if self.pattern and not self.finds(label):
            return False
        if named and self.header:
            return set(map(str.lower, self.header)) <= {name.strip().lower() for name in columns}
        if not self.pattern:
            return False
        if named:
            return not self.bare
        return bool(self.names) and len(columns) == len(self.names)


GENERIC = Preset("generic", "")
"""All other files: their mapping is guessed."""


def same_names(*names: str, **others: str) -> dict[str, str]:
    """Return a mapping of columns of which most have our names."""
    return dict(zip(names, names, strict=True)) | others
