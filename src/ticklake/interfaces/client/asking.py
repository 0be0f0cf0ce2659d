"""Asking: the one table of verbs, each with the address that answers it and what its answer becomes."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import partial
from typing import Any

from ticklake.core.book import Book, BookFlags, Stretch
from ticklake.core.coverage import Coverage, Found
from ticklake.core.estimate import Estimate
from ticklake.core.feature_values import FeatureDescription
from ticklake.core.kinds import KINDS
from ticklake.core.provenance import Provenance
from ticklake.core.quality import Quality
from ticklake.core.rules import DerivedRule
from ticklake.core.span import Span
from ticklake.core.statistics import LakeStats
from ticklake.core.time import TimeLike, format_time, parse_time
from ticklake.interfaces.client.connection import ARROW, JSON, Answer, Connection, json_of
from ticklake.interfaces.client.rows import frame_of
from ticklake.interfaces.client.wire import in_path, parameters
from ticklake.interfaces.decoding import frame_from_json, from_json, rows_from_json

__all__ = ["VERBS", "Asking", "Pin", "Verb"]


@dataclass(frozen=True, slots=True)
class Verb:
    """How a verb is asked for.

    ``path`` has arguments in braces; all others become parameters under their own names. ``decode`` makes the result of the answer.
    With ``is_of_instant``, ``at`` is a time inside the data, and not that of the lake's version.
    """

    path: str
    decode: Callable[[Answer], Any]
    accept: str = JSON
    is_of_instant: bool = False


def _data_as(kind: Any) -> Callable[[Answer], Any]:
    """Return what reads the ``data`` of an answer as a result of type *kind*."""
    return lambda answer: from_json(kind, json_of(answer)["data"])


def _rows(answer: Answer) -> list[dict[str, Any]]:
    return rows_from_json(json_of(answer)["data"])


def _last_time(answer: Answer) -> int | None:
    last = json_of(answer)["data"]["last"]
    if last is None:
        return None
    return parse_time(last)


def _book(answer: Answer) -> Book:
    told = json_of(answer)
    schema = KINDS["book"].schema
    names = list(schema)
    if told["data"]:
        names = list(told["data"][0])
    book = Book(frame_from_json(told["data"], {name: schema[name] for name in names}))
    book.reason, book.seq, book.version, book.proof = told["reason"], told["seq"], told["version"], told["proof"]
    book.at, book.ts = from_json(tuple[int | None, ...], [told["at"], told["ts"]])
    book.flags = BookFlags(told["flags"])
    book.stretches = tuple(map(_stretch, told["stretches"]))
    return book


def _stretch(raw: Mapping[str, Any]) -> Stretch:
    return Stretch(from_json(Span, raw), raw["reason"], Found(raw["found"]))


_table = partial(Verb, decode=frame_of, accept=ARROW)
_dataset = "/datasets/{dataset}"

VERBS: dict[str, Verb] = {
    "adjusted": _table("/bars"),
    "book": Verb("/book", _book, is_of_instant=True),
    "book_stats": _table("/books/stats"),
    "books": _table("/books"),
    "condition": _table(f"{_dataset}/condition"),
    "continuity": _table(f"{_dataset}/continuity"),
    "coverage": Verb(f"{_dataset}/coverage", _data_as(Coverage)),
    "derived.get": Verb("/derived/{rule}", _data_as(DerivedRule)),
    "derived.list": Verb("/derived", _data_as(list[DerivedRule])),
    "estimate": Verb(f"{_dataset}/estimate", _data_as(Estimate)),
    "features.describe": Verb("/features/{features}", _data_as(FeatureDescription)),
    "features.latest": _table("/features/{features}/latest", is_of_instant=True),
    "features.list": _table("/features"),
    "features.read": _table("/features/{features}/rows"),
    "imbalances": _table("/books/imbalances"),
    "instruments.list": _table("/symbols", is_of_instant=True),
    "last_timestamp": Verb(_dataset, _last_time),
    "latest": _table(f"{_dataset}/latest"),
    "missing_intervals": Verb(f"{_dataset}/missing", _data_as(list[Span])),
    "panel": _table("/panel"),
    "provenance": Verb(f"{_dataset}/provenance", _data_as(list[Provenance]), is_of_instant=True),
    "provenance_by_file": _table(f"{_dataset}/provenance/files"),
    "quality": Verb(f"{_dataset}/quality", _data_as(Quality)),
    "resample": _table(f"{_dataset}/resample"),
    "stats": Verb("/stats", _data_as(LakeStats)),
}
"""Verbs that are one request. Those of several, like reads in pages, are methods of their own."""


@dataclass(frozen=True, slots=True)
class Pin:
    """Which version of a lake is read: the newest without one. It may have been named by a time, which then takes the place of now."""

    version: int | None = None
    at: int | None = None

    @property
    def parameters(self) -> dict[str, str]:
        """The parameters of a request that say it."""
        if self.at is not None:
            return {"at": format_time(self.at)}
        return self.of_instant

    @property
    def of_instant(self) -> dict[str, str]:
        """The same for requests whose ``at`` is an instant inside the data."""
        if self.version is None:
            return {}
        return {"version": str(self.version)}


class Asking:
    """A lake behind a connection, as it is now or as of one version."""

    def __init__(self, connection: Connection, pin: Pin) -> None:
        self._connection = connection
        self._pin = pin

    def _ask(self, name: str, **arguments: Any) -> Any:
        """Return the answer to a verb."""
        verb = VERBS[name]
        sent = parameters(arguments)
        places = {place: in_path(sent.pop(place)) for place in list(sent) if f"{{{place}}}" in verb.path}
        if verb.is_of_instant:
            sent |= self._pin.of_instant
        else:
            sent |= self._pin.parameters
        return verb.decode(self._connection.get(verb.path.format(**places), sent, verb.accept))

    def _instant(self, at: TimeLike | None) -> TimeLike | None:
        """Return the instant that is asked for; of a version that was named by a time, that time by default."""
        if at is None:
            return self._pin.at
        return at
