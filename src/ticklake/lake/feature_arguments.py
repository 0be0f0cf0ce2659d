"""Arguments of ``lake.features``: which feature set, which symbols, which version of the lake."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from ticklake.core.duration import DurationLike, parse_length
from ticklake.core.features import FeatureRef, check_name, parse_version
from ticklake.core.selection import parse_names
from ticklake.core.span import Span
from ticklake.core.symbol import Symbol, exchange_id
from ticklake.core.time import DAY, TimeLike, parse_time
from ticklake.errors import BadInput
from ticklake.lake.arguments import version_and_time

if TYPE_CHECKING:
    from ticklake.lake.view import View

__all__ = ["day_or_span", "identity_of", "parse_age", "parse_exchange", "parse_refs", "parse_symbols", "snapshot_at"]


def snapshot_at(view: View, moment: TimeLike) -> View:
    """Return the lake as of a version, or as of a time."""
    from ticklake.lake.snapshot import Snapshot

    version, time = version_and_time(view.engine, moment)
    return Snapshot(view.engine, view.root, version, time)


def identity_of(name: Any, version: str | int | None) -> tuple[str, str]:
    """Return the name and the version that are meant, also by a name like ``momentum@v3`` alone."""
    if version is not None:
        return check_name(name), parse_version(version)
    if not isinstance(name, str) or "@" not in name:
        raise BadInput(f"{name!r} has no version: say it, like 'momentum', 'v3', or 'momentum@v3'")
    ref = FeatureRef.parse(name)
    if ref.column is not None:
        raise BadInput(f"{name!r} names a column: name the feature set alone, {ref.name}@{ref.version}")
    return ref.name, ref.version


def parse_refs(features: Any) -> list[str]:
    """Read the names of features, of which there must be one."""
    names = parse_names("features", features)
    if not names:
        raise BadInput("no feature is named: name some, like ['momentum@v3:ret_5m']")
    return names


def parse_symbols(symbols: Any) -> list[str] | None:
    """Read one symbol or several, each once; ``None`` means all."""
    if symbols is None:
        return None
    return [str(Symbol(symbol)) for symbol in dict.fromkeys(parse_names("symbols", symbols))]


def parse_exchange(exchange: str | None) -> str | None:
    """Return the id of an exchange, unless it was left out."""
    if exchange is None:
        return None
    return exchange_id(exchange)


def parse_age(max_age: DurationLike | None) -> int | None:
    """Return how old a value may be in nanoseconds, unless it was left out."""
    if max_age is None:
        return None
    return parse_length(max_age)


def day_or_span(day: TimeLike | None, start: TimeLike | None, end: TimeLike | None) -> Span:
    """Return the span of a UTC day, or that from *start* to *end*."""
    if day is None:
        return Span.parse(start, end)
    if start is not None or end is not None:
        raise BadInput("day= is a span of its own: say either day=, or start= and end=")
    first = parse_time(day) // DAY * DAY
    return Span(first, first + DAY)
