"""The manifest of a lake: a file that declares what is collected, since when, how often, and how long it is kept.

``config.py`` reads the file; ``jobs/apply.py`` applies it.
"""

from __future__ import annotations

import datetime as dt
from collections import Counter
from collections.abc import Iterator
from typing import Annotated, Any

from pydantic import AfterValidator, BaseModel, BeforeValidator, ConfigDict, Field, model_validator

from ticklake.core.dataset import BAR_KINDS, SNAPSHOTS, USUAL_FRAMES, Dataset
from ticklake.core.kinds import kind_of
from ticklake.core.lookup import is_pattern
from ticklake.core.requests import BackfillRequest, usual_kind
from ticklake.core.schedules import parse_every, refuse_bare_number
from ticklake.core.streams import StreamRequest
from ticklake.core.symbol import exchange_id
from ticklake.core.time import DAY, format_time, parse_time
from ticklake.core.timeframe import Timeframe

__all__ = ["STREAMS", "Collect", "Every", "Planned", "Wanted"]

STREAMS = "streams"
"""The name of the schedule that keeps the job of all streams running."""


def _time(value: Any) -> Any:
    # Any other type is left for pydantic to refuse.
    if isinstance(value, str | dt.date):
        return format_time(parse_time(value))
    return value


def _length(text: str) -> str:
    parse_every(text)
    return text


def _days(text: str) -> str:
    if parse_every(text) % DAY:
        raise ValueError(f"{text!r} is not whole days: write it like 365d")
    return text


def _as_list(value: Any) -> Any:
    if isinstance(value, str):
        return [value]
    return value


Text = Annotated[str, Field(min_length=1)]
Since = Annotated[str, BeforeValidator(_time)]
Every = Annotated[str, BeforeValidator(refuse_bare_number), AfterValidator(_length)]
Keep = Annotated[str, BeforeValidator(refuse_bare_number), AfterValidator(_length), AfterValidator(_days)]
Texts = Annotated[list[Text], BeforeValidator(_as_list), Field(min_length=1)]


class Timed(BaseModel):
    """An operation on a schedule: by ``every`` or by ``cron`` in a ``zone``."""

    model_config = ConfigDict(extra="forbid")

    name: str | None = Field(None, description="What its schedule is called.")
    every: Every | None = Field(None, description="How often: 90s, 15m, 1h, 1d, 2w.")
    cron: str | None = Field(None, description="Or when: minute hour day month weekday.")
    zone: str = Field("UTC", description="The time zone of cron.")
    priority: int = Field(0, description="The priority of its jobs: the highest come first.")

    @model_validator(mode="after")
    def _one_rhythm(self) -> Timed:
        if self.every is not None and self.cron is not None:
            raise ValueError("every and cron are both given: say one")
        return self

    def rhythm(self, every: str) -> dict[str, Any]:
        """Return the arguments of a schedule; *every* is used if the file has neither ``every`` nor ``cron``."""
        interval = self.every
        if interval is None and self.cron is None:
            interval = every
        return {"every": interval, "cron": self.cron, "zone": self.zone, "priority": self.priority}


class Collect(Timed):
    """What is collected: symbols of an exchange, of one kind, in some timeframes."""

    exchange: Annotated[Text, AfterValidator(exchange_id)] = Field(description="CCXT's id, like binance.")
    symbols: Texts = Field(description="CCXT's unified symbols, or patterns like 'BTC/*'.")
    kind: str | None = Field(None, description="ohlcv (with timeframes), trades (without), funding, book, ...")
    timeframes: Annotated[list[str], BeforeValidator(_as_list)] = Field(default_factory=list, description="1m, 1h, ...")
    since: Since | None = Field(None, description="From when on; the listing by default.")
    keep: Keep | None = Field(None, description="How long rows are kept, in whole days like 365d; for ever by default.")

    @model_validator(mode="after")
    def _fits(self) -> Collect:
        kind = self.kind or usual_kind(self.timeframes)
        bars = kind in BAR_KINDS
        kind_of(kind)
        # Kinds with a usual timeframe may be named with one or without.
        if kind not in USUAL_FRAMES:
            if bars and not self.timeframes:
                raise ValueError(f"{kind} needs timeframes, like ['1h']")
            if self.timeframes and not bars:
                raise ValueError(f"{kind} has no timeframes")
        for timeframe in self.timeframes:
            Timeframe.parse(timeframe)
        if kind in SNAPSHOTS and self.since is not None:
            raise ValueError(f"{kind} is a snapshot of now: leave since out")
        return self

    def parts(self) -> Iterator[Planned]:
        """Yield one part for each timeframe, each with a name of its own."""
        kind = self.kind or usual_kind(self.timeframes)
        timeframes: list[str | None] = [*self.timeframes] or [None]
        for timeframe in timeframes:
            yield Planned(self, self._name_of(kind, timeframe), kind, timeframe)

    def _name_of(self, kind: str, timeframe: str | None) -> str:
        """Return the name of one part. The given name is enough if there is only one part."""
        name = self.name or f"{self.exchange} {kind}"
        if timeframe and (len(self.timeframes) > 1 or not self.name):
            name += f" {timeframe}"
        return name


class Planned:
    """The part of a :class:`Collect` that one schedule fetches."""

    def __init__(self, wanted: Collect, name: str, kind: str, timeframe: str | None) -> None:
        self.wanted = wanted
        self.name = name
        self.kind = kind
        self.timeframe = timeframe

    @property
    def request(self) -> BackfillRequest:
        """The request of its backfill."""
        wanted = self.wanted
        days = self.days
        if self.kind == "book":
            # An order book is a snapshot of now: a request for its past is refused.
            days = None
        return BackfillRequest.of(
            wanted.exchange, wanted.symbols, self.timeframe, kind=self.kind, start=wanted.since, last_days=days
        )

    def begins(self, now: int) -> int | None:
        """Return the start of the backfill at *now*, without rows that would be removed again; ``None`` for all rows."""
        return self.request.start_at(now)

    def warning(self, now: int) -> str:
        """Return a warning if ``since`` requests rows that ``keep`` would remove; empty otherwise."""
        since, begins = self.wanted.since, self.begins(now)
        if since is None or begins is None or parse_time(since) >= begins:
            return ""
        return (
            f"{self.name}: since {since} is older than keep = {self.wanted.keep!r} allows: rows from before "
            f"{format_time(begins)} would be removed again and are not brought in"
        )

    @property
    def datasets(self) -> list[Dataset]:
        """The datasets that are named, without those that patterns may match."""
        request = self.request
        return [request.dataset_of(symbol) for symbol in request.symbols if not is_pattern(symbol)]

    @property
    def names(self) -> list[str]:
        """Names and patterns of its datasets."""
        prefix = f"{self.wanted.exchange}:{self.kind}"
        if self.timeframe:
            prefix += f":{Timeframe.parse(self.timeframe)}"
        return [f"{prefix}:{symbol}" for symbol in self.wanted.symbols]

    @property
    def keep_name(self) -> str:
        """The name of the schedule that removes its old rows."""
        return f"{self.name} keep"

    @property
    def schedules(self) -> list[str]:
        """The names of all its schedules."""
        if self.days is None:
            return [self.name]
        return [self.name, self.keep_name]

    @property
    def days(self) -> int | None:
        """How many days its rows are kept; ``None`` for ever."""
        if self.wanted.keep is None:
            return None
        return parse_every(self.wanted.keep) // DAY


class Again(Timed):
    """Any other operation on a schedule."""

    name: Text = Field(description="What the schedule is called.")
    operation: Text = Field(description="What jobs can do: compact, repair, update, quality, ...")
    parameters: dict[str, Any] = Field(default_factory=dict, description="What it takes.")

    @model_validator(mode="after")
    def _some_rhythm(self) -> Again:
        if self.every is None and self.cron is None:
            raise ValueError("needs one of every ('1d') and cron ('30 3 * * *')")
        return self


class Stream(BaseModel):
    """What is collected live: streams of an exchange."""

    model_config = ConfigDict(extra="forbid")

    exchange: Annotated[Text, AfterValidator(exchange_id)] = Field(description="CCXT's id, like binance.")
    symbols: Texts = Field(description="CCXT's unified symbols, or patterns like 'BTC/*'.")
    kinds: Texts = Field(default_factory=lambda: ["trades"], description="trades, book, quotes, ohlcv, ...")
    timeframes: Texts = Field(default_factory=lambda: ["1m"], description="Of bars.")
    depth: int | None = Field(None, ge=1, description="Levels of a book on each side; all by default.")

    @model_validator(mode="after")
    def _fits(self) -> Stream:
        _ = self.request
        return self

    @property
    def request(self) -> StreamRequest:
        """The request for these streams."""
        return StreamRequest.of(self.exchange, self.symbols, self.kinds, self.timeframes, self.depth)


class Wanted(BaseModel):
    """Everything that a file declares."""

    model_config = ConfigDict(extra="forbid")

    collect: list[Collect] = Field(default_factory=list, description="What is collected.")
    stream: list[Stream] = Field(default_factory=list, description="What is collected live, all of it by one job.")
    schedule: list[Again] = Field(default_factory=list, description="What else is done again and again.")

    @model_validator(mode="after")
    def _names_differ(self) -> Wanted:
        names = Counter[str]()
        for part in self.parts():
            names.update(part.schedules)
        names.update(again.name for again in self.schedule)
        names.update([STREAMS] * bool(self.stream))
        for name, count in names.items():
            if count > 1:
                raise ValueError(f"two schedules would be called {name!r}: give one of them another name")
        return self

    def parts(self) -> Iterator[Planned]:
        """Yield what is collected, one part for each schedule."""
        for collect in self.collect:
            yield from collect.parts()
