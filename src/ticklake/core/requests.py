"""Requests: what is asked of a lake, as values that Python, the shell, jobs, schedules and the manifest share."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields
from typing import Any

from ticklake.core.dataset import BAR_KINDS, Dataset, refuse_derived
from ticklake.core.kinds import kind_of
from ticklake.core.lookup import is_pattern
from ticklake.core.retention import midnight
from ticklake.core.selection import parse_count, parse_names, parse_text
from ticklake.core.span import Span
from ticklake.core.symbol import exchange_id
from ticklake.core.time import TimeLike, format_time
from ticklake.core.timeframe import normal_timeframe
from ticklake.errors import BadInput, InvalidName

__all__ = ["BackfillRequest", "usual_kind"]

_NAMED = 3
"""So many symbols are named where many are meant."""


def usual_kind(timeframe: object) -> str:
    """Return the kind that is meant if none is named: bars if there is a *timeframe*, else trades."""
    if timeframe:
        return "ohlcv"
    return "trades"


@dataclass(frozen=True, slots=True)
class BackfillRequest:
    """What a backfill is to bring in. Build it with :meth:`of`, which takes what users write.

    Parameters
    ----------
    exchange
        CCXT's id.
    symbols
        CCXT's unified symbols, an exchange's own names, or patterns like ``BTC/*``.
    timeframe
        Of bars, like ``1h``.
    kind
        One of the kinds; if ``None``, bars where a timeframe is given, else trades.
    start, end
        Nanoseconds UTC, half-open; ``None`` is the listing, and now.
    all_quote
        Also every active spot market priced in this currency.
    retry
        Also ask again for what was ``unavailable`` or ``lost``.
    depth
        Levels of a book on each side.
    archives
        Whether public dump sites are asked first.
    last_days
        Bring in nothing from before the last so many days: retention would remove it again.
    """

    exchange: str
    symbols: tuple[str, ...] = ()
    timeframe: str | None = None
    kind: str | None = None
    start: int | None = None
    end: int | None = None
    all_quote: str | None = None
    retry: bool = False
    depth: int | None = None
    archives: bool = True
    last_days: int | None = None

    @classmethod
    def of(
        cls,
        exchange: str,
        symbols: str | Sequence[str] = (),
        timeframe: str | None = None,
        *,
        start: TimeLike | None = None,
        end: TimeLike | None = None,
        **options: Any,
    ) -> BackfillRequest:
        """Return the request that is written so.

        Raises
        ------
        InvalidName, InvalidTime, UnknownTimeframe, BadInput
            If the exchange cannot be one, the times are none or in the wrong order, or another value is none.
        """
        named = tuple(parse_names("symbols", symbols))
        if options.get("depth") is not None:
            options["depth"] = parse_count("depth", options["depth"], 1, of="levels")
        span = Span.parse(start, end)
        if start is not None:
            options["start"] = span.start
        if end is not None:
            options["end"] = span.end
        if options.get("kind") is not None:
            kind_of(options["kind"])
        return cls(exchange_id(exchange), named, normal_timeframe(timeframe), **options)

    @property
    def kind_meant(self) -> str:
        """The kind that is named or, if none is, usual."""
        return self.kind or usual_kind(self.timeframe)

    @property
    def dataset(self) -> Dataset | None:
        """The one dataset that is named; ``None`` if there may be several.

        Raises
        ------
        InvalidName
            If the kind needs a timeframe and has none.
        """
        if len(self.symbols) != 1 or self.all_quote or is_pattern(self.symbols[0]):
            return None
        return self.dataset_of(self.symbols[0])

    def dataset_of(self, symbol: str) -> Dataset:
        """Return the dataset of one symbol.

        Raises
        ------
        InvalidName
            If the kind needs a timeframe and has none.
        """
        self.check_timeframe()
        return refuse_derived(Dataset.of(self.exchange, symbol, self.kind_meant, self.timeframe))

    def check_timeframe(self) -> None:
        """Refuse bars without a timeframe.

        Raises
        ------
        InvalidName
        """
        if self.kind_meant in BAR_KINDS and self.timeframe is None:
            raise InvalidName(f"{self.kind_meant} needs a timeframe, like 1h")

    @property
    def subject(self) -> str:
        """What it is about, in words. A job and its runs say the same: alerts hold them together."""
        words = [self.exchange, self.kind, self.timeframe, *self.symbols[:_NAMED]]
        if len(self.symbols) > _NAMED:
            words.append(f"and {len(self.symbols) - _NAMED} more")
        if self.all_quote:
            words.append(f"*/{self.all_quote}")
        return " ".join(filter(None, words))

    def start_at(self, now: int) -> int | None:
        """Return from when on rows are brought in at *now*, in nanoseconds; ``None`` is the listing."""
        if self.last_days is None:
            return self.start
        return max(midnight(now, self.last_days), self.start or 0)

    def to_json(self) -> dict[str, Any]:
        """Return it as it is kept in jobs, schedules and the manifest: what is as it would be anyhow is left out."""
        kept: dict[str, Any] = {"exchange": self.exchange}
        if self.symbols:
            kept["symbols"] = list(self.symbols)
        for name in ("timeframe", "kind", "all_quote", "depth", "last_days"):
            value = getattr(self, name)
            if value is not None:
                kept[name] = value
        for name in ("start", "end"):
            ns = getattr(self, name)
            if ns is not None:
                kept[name] = format_time(ns)
        if self.retry:
            kept["retry"] = True
        if not self.archives:
            kept["archives"] = False
        return kept

    @classmethod
    def from_json(cls, kept: Mapping[str, Any]) -> BackfillRequest:
        """Read what :meth:`to_json` wrote, or what somebody wrote like it.

        Raises
        ------
        BadInput
            If a name or a value of it is none of a request's; the errors of :meth:`of` are such, too.
        """
        if not isinstance(kept, Mapping):
            raise BadInput(f"{kept!r} is no request: pass an object with an exchange and symbols")
        known = [field.name for field in fields(cls)]
        for name in kept:
            if name not in known:
                raise BadInput(f"a backfill has no {name!r}: it has {', '.join(known)}")
        for name in ("exchange", "timeframe", "kind", "all_quote"):
            if name == "exchange" or kept.get(name) is not None:
                parse_text(name, kept.get(name))
        for name in ("retry", "archives"):
            if not isinstance(kept.get(name, False), bool):
                raise BadInput(f"{name}={kept[name]!r} is neither true nor false")
        if kept.get("last_days") is not None:
            parse_count("last_days", kept["last_days"], 1, of="days")
        return cls.of(**kept)
