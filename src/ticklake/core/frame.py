"""Frames: what was known of a symbol at an instant, as one value."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from hashlib import blake2b
from typing import TYPE_CHECKING, Any, Literal, NamedTuple, overload

import numpy as np
import polars as pl

from ticklake.core.coverage import Coverage
from ticklake.core.dataset import Dataset
from ticklake.core.duration import DurationLike, parse_duration
from ticklake.core.gaps import Gap, GapReason, gaps_of
from ticklake.core.indicator_names import Indicator, parse_indicators
from ticklake.core.kinds import KINDS, TIME
from ticklake.core.knowledge import Knowledge, happened_at, parse_knowledge
from ticklake.core.lookup import did_you_mean
from ticklake.core.selection import parse_count, parse_names
from ticklake.core.span import ALL_TIME, Span
from ticklake.core.symbol import Symbol, exchange_id
from ticklake.core.time import TimeLike, format_time, parse_time
from ticklake.core.timeframe import Timeframe
from ticklake.core.timeline import Part
from ticklake.errors import BadInput, InvalidTime

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from ticklake.core.book import Book
    from ticklake.core.timeline import Times, Windows

__all__ = [
    "FRAME_KINDS",
    "Absent",
    "Facts",
    "Frame",
    "FrameBatch",
    "FrameData",
    "FrameRequest",
    "Frames",
    "MissingPart",
    "parse_instants",
]

EVENT_KINDS = ("trades", "quotes", "funding", "open_interest")
"""Kinds of which a frame has the rows that happened in its window."""
FRAME_KINDS = ("trades", "book", "quotes", "funding", "open_interest")
_Places = list[list[Any]]
"""The columns of :class:`~ticklake.core.timeline.Windows` as lists."""
STATES = frozenset({"funding", "open_interest"})
"""Kinds whose newest row holds until the next one: a frame has it even if it is older than the window."""
_ABSENT = "absent"


@dataclass(frozen=True, slots=True)
class FrameRequest:
    """What a frame is to hold. Build it with :meth:`of`, which takes what users write.

    ``kinds`` is ``None`` for all that the lake has.
    """

    exchange: str
    symbol: Symbol
    window: int
    timeframes: tuple[Timeframe, ...]
    kinds: tuple[str, ...] | None = None
    book_depth: int | None = None
    indicators: tuple[Indicator, ...] = ()
    features: tuple[str, ...] = ()
    knowledge: Knowledge = "default"
    fill: Literal["forward"] | None = None

    @classmethod
    def of(
        cls,
        exchange: str,
        symbol: str,
        *,
        window: DurationLike = "60m",
        timeframes: str | Sequence[str] = ("1m",),
        kinds: str | Sequence[str] | None = None,
        book_depth: int | None = None,
        indicators: str | Sequence[str] = (),
        features: str | Sequence[str] = (),
        knowledge: str = "default",
        fill: str | None = None,
    ) -> FrameRequest:
        """Return the request that is written so.

        Raises
        ------
        BadInput
            If a value is none that it can have; the error names it.
        """
        length = parse_duration(window)
        if length == 0:
            raise BadInput(f"window={window!r} is empty: pass a length of time like '60m'")
        frames = tuple(dict.fromkeys(map(Timeframe.parse, _several("timeframes", timeframes))))
        if book_depth is not None:
            book_depth = parse_count("book_depth", book_depth, 1, of="levels")
        wanted = parse_indicators(() if indicators is None else indicators)
        if wanted and not frames:
            raise BadInput(
                "indicators are computed from bars, and timeframes names none: add one, like timeframes=['1m']"
            )
        if fill not in (None, "forward"):
            raise BadInput(f"fill={fill!r} is not known: leave it out, or pass 'forward' to repeat the last close")
        return cls(
            exchange_id(exchange),
            Symbol(symbol),
            length,
            frames,
            _kinds(kinds),
            book_depth,
            tuple(wanted),
            tuple(_several("features", features)),
            parse_knowledge(knowledge),
            "forward" if fill else None,
        )

    def since(self, at: Times) -> Times:
        """Return when the windows of instants begin."""
        return np.where(at < ALL_TIME.start + self.window, ALL_TIME.start, at - self.window)

    @property
    def warm_up(self) -> int:
        """How many bars its indicators need."""
        return max((indicator.warm_up for indicator in self.indicators), default=0)

    def dataset(self, kind: str, timeframe: Timeframe | None = None) -> Dataset:
        """Return the dataset of a kind."""
        return Dataset(self.exchange, kind, self.symbol, timeframe)


def _several(name: str, value: Any) -> list[Any]:
    if value is None:
        return []
    if isinstance(value, Timeframe):
        return [value]
    if name == "timeframes" and isinstance(value, Iterable) and not isinstance(value, str):
        return list(value)
    return parse_names(name, value)


def _kinds(kinds: str | Sequence[str] | None) -> tuple[str, ...] | None:
    if kinds is None:
        return None
    # Bars are there anyway: which ones, timeframes says.
    names = [name for name in parse_names("kinds", kinds) if name != "ohlcv"]
    for name in names:
        if name not in FRAME_KINDS:
            hint = did_you_mean(name, list(FRAME_KINDS))
            raise BadInput(f"a frame has no kind {name!r}{hint}: use some of ohlcv, {', '.join(FRAME_KINDS)}")
    return tuple(dict.fromkeys(names))


def parse_instants(instants: Any) -> Times:
    """Return instants in nanoseconds: of a list of times, an array, a series or an index.

    Raises
    ------
    InvalidTime
        If one of them is no time.
    """
    if isinstance(instants, pl.Series):
        return _of_series(instants)
    dtype = getattr(instants, "dtype", None)
    if getattr(dtype, "tz", None) is not None:
        # An index or a series of pandas with a time zone: its values are those of UTC.
        zoned = getattr(instants, "dt", instants)
        instants = zoned.tz_convert("UTC")
        instants = getattr(instants, "dt", instants).tz_localize(None)
    kind = getattr(dtype, "kind", "")
    if kind in "Mi" and kind:
        return _of_array(np.asarray(instants))
    if isinstance(instants, str) or not isinstance(instants, Iterable):
        raise InvalidTime(f"instants={instants!r} are no times: pass a list of them, an array or a series")
    return np.array([parse_instant(instant) for instant in instants], dtype=np.int64)


def parse_instant(value: Any) -> int:
    """Return one instant in nanoseconds: a time, or a scalar of numpy."""
    if isinstance(value, np.datetime64 | np.integer):
        return int(_of_array(np.asarray([value]))[0])
    moment: TimeLike = value
    return parse_time(moment)


def _of_series(series: pl.Series) -> Times:
    if series.null_count():
        raise InvalidTime("instants has a null, which is no time: drop it")
    if series.dtype == pl.Date or isinstance(series.dtype, pl.Datetime):
        return np.array(series.cast(pl.Datetime("ns")).to_physical().to_numpy(), dtype=np.int64)
    return parse_instants(series.to_list())


def _of_array(array: np.ndarray[Any, Any]) -> Times:
    array = array.ravel()
    if array.dtype.kind == "M":
        if np.isnat(array).any():
            raise InvalidTime("instants has a NaT, which is no time: drop it")
        exact = array.astype("datetime64[ns]")
        # A time that nanoseconds cannot hold would wrap around.
        if not (exact.astype(array.dtype) == array).all():
            raise InvalidTime("instants has a time outside 1677..2262, the range of 64-bit nanoseconds")
        return exact.astype(np.int64)
    for extreme in (array.min(initial=ALL_TIME.end), array.max(initial=ALL_TIME.start)) if array.size else ():
        parse_time(int(extreme))
    return array.astype(np.int64)


@dataclass(frozen=True, slots=True)
class MissingPart:
    """What a frame lacks: in which part and span, and why.

    ``reason`` is a word of a gap (``not_fetched``, ``no_trades``, ``outage``, ``unavailable``, ``lost``, ``invalid``), or ``absent`` where
    a part cannot be there at all; ``detail`` says why.
    """

    part: str
    dataset: str
    start: int
    end: int
    reason: str
    detail: str = ""

    @property
    def is_missing(self) -> bool:
        """Whether something is missing, and not only that there was nothing to be had."""
        return self.reason == _ABSENT or GapReason(self.reason).is_missing

    def __str__(self) -> str:
        text = f"{self.part}: {format_time(self.start)} .. {format_time(self.end)} {self.reason}"
        if self.detail:
            text += f" ({self.detail})"
        return text

    def to_dict(self) -> dict[str, Any]:
        """Return it as plain values."""
        return {
            "part": self.part,
            "dataset": self.dataset,
            "start": format_time(self.start),
            "end": format_time(self.end),
            "reason": self.reason,
            "detail": self.detail,
        }


class Absent(NamedTuple):
    """A part that a frame cannot have, and why."""

    part: str
    dataset: str
    why: str


@dataclass(frozen=True)
class Facts:
    """What is known about the rows of a part: what is missing is told from it.

    ``coverage`` and ``closed`` are those around all windows, ``refused`` the times of refused rows. Rows are expected ``lag`` nanoseconds
    after they happened. ``since`` is from when on a dataset counts as there, if nobody asked for it by name.
    """

    dataset: Dataset
    coverage: Coverage
    closed: tuple[Span, ...] = ()
    refused: Callable[[], pl.Series] = lambda: pl.Series("ts", [], dtype=pl.Int64)
    lag: int = 0
    since: int = ALL_TIME.start
    only_snapshots: bool = False
    made: Timeframe | None = None
    """The timeframe of the bars that are made of the rows."""

    def want(self, since: int, at: int) -> Span | None:
        """Return the span in which rows are expected of the window from *since* to *at*."""
        timeframe = self.dataset.timeframe if self.dataset.spec.bars else None
        end = at - self.lag
        if timeframe is not None:
            end = timeframe.floor(end, self.dataset.anchor)
        if self.made is not None:
            since = self.made.floor(since, self.dataset.anchor_of(self.made))
            end = min(end, self.made.floor(at - self.lag, self.dataset.anchor_of(self.made)))
        elif timeframe is not None:
            since = timeframe.floor(since, self.dataset.anchor)
        if since >= end:
            return None
        return Span(since, end)

    def gaps(self, since: int, at: int, opens: Callable[[Span], pl.Series], count: int | None) -> list[Gap]:
        """Return the gaps of a window, of whose bars *count* are there."""
        want = self.want(since, at)
        if want is None or at < self.since:
            return []
        timeframe = self.dataset.timeframe if self.dataset.spec.bars else None
        if timeframe is not None and count is not None and count == timeframe.count_in(want, self.dataset.anchor):
            return []
        # What somebody looked at later was not known.
        coverage = self.coverage.within(Span(ALL_TIME.start, at))
        if timeframe is None:
            pieces = coverage.within(want).pieces
            is_covered = len(pieces) == 1 and pieces[0].span == want and pieces[0].found.value == "data"
            if is_covered and not self.refused().len():
                return []
            if not coverage.pieces and not self.closed and not self.refused().len() and not self.only_snapshots:
                return [Gap(want, None, GapReason.NOT_FETCHED)]
        present: list[pl.Series] = []
        if timeframe is not None:
            times = opens(want)
            if len(times) == timeframe.count_in(want, self.dataset.anchor):
                return []
            present.append(times.to_physical())
        refused = [times.filter(times <= at) for times in (self.refused(),) if len(times)]
        return gaps_of(self.dataset, want, coverage, present, refused, self.closed, only_snapshots=self.only_snapshots)


@dataclass(eq=False)
class PartData:
    """One part of many frames: its rows, where those of each frame are, and what is known about them."""

    name: str
    rows: Part
    keeps_newest: bool
    facts: Facts
    base: PartData | None = None
    """Of what derived bars are made."""
    source: Callable[[int, int], str] = lambda _start, _end: "files"
    before: Absent | None = None
    """Why it was not there before it was known that the lake would have such rows."""

    def windows(self, since: Times, at: Times) -> Windows:
        """Return where the rows of frames are."""
        return self.rows.windows(since, at, keeps_newest=self.keeps_newest)

    def happened_at(self, rows: pl.DataFrame) -> Times:
        """Return when rows of it happened."""
        dataset = self.facts.dataset
        if self.facts.made is not None:
            dataset = Dataset(dataset.exchange, "ohlcv", dataset.symbol, self.facts.made)
        return np.asarray(happened_at(rows, dataset).to_numpy(), dtype=np.int64)

    @cached_property
    def prices(self) -> Any:
        """The prices of trades, or the closes of bars, as an array; ``None`` for all other rows."""
        rows = self.rows.rows
        for name in ("close", "price"):
            if name in rows.columns:
                return rows[name].to_numpy()
        return None

    @cached_property
    def columns(self) -> list[_Column]:
        """Its columns as they are hashed."""
        return [_column(series) for series in self.rows.rows.get_columns()]


class _Column(NamedTuple):
    """A column as it is hashed: its values as an array, or all texts as bytes with the end of each; and which are null."""

    name: bytes
    values: Any
    text: bytes | None
    nulls: Any


def _column(series: pl.Series) -> _Column:
    name = f"{series.name}:{series.dtype};".encode()
    nulls = None
    if series.null_count() == len(series):
        nulls = np.ones(len(series), dtype=np.bool_)
    elif series.null_count():
        nulls = series.is_null().to_numpy()
    if series.dtype == pl.String:
        filled = series.fill_null("")
        ends = np.append(0, filled.str.len_bytes().cum_sum().to_numpy()).astype(np.int64)
        return _Column(name, ends, "".join(filled.to_list()).encode(), nulls)
    # Nulls of floats and times have values of their own in arrays; integers have none.
    if nulls is not None and not series.dtype.is_float() and not series.dtype.is_temporal():
        if series.null_count() == len(series):
            series = series.clear().extend_constant(0, len(series)).cast(series.dtype)
        series = series.fill_null(False if series.dtype == pl.Boolean else 0)
    return _Column(name, series.to_numpy(), None, nulls)


def _feed(digest: Any, columns: Sequence[_Column], first: int, last: int) -> None:
    """Hash rows by their columns: equal values give equal bytes, wherever they are in memory."""
    digest.update(b"%d;" % (last - first))
    for name, values, text, nulls in columns:
        digest.update(name)
        if text is None:
            digest.update(values[first:last].tobytes())
        else:
            ends = values[first : last + 1]
            digest.update((ends - ends[0]).tobytes())
            digest.update(text[ends[0] : ends[-1]])
        if nulls is not None and (marks := nulls[first:last]).any():
            digest.update(b"null")
            digest.update(marks.tobytes())


@dataclass(eq=False)
class BookReads:
    """Reads the books of frames, and their imbalances: of all frames at once, on first use.

    ``is_named`` is whether somebody asked for the book by name.
    """

    dataset: Dataset
    is_named: bool
    read: Callable[[int], Book]
    read_imbalances: Callable[[Times], pl.DataFrame]
    at: Times

    @cached_property
    def imbalances(self) -> dict[int, dict[str, float | None]]:
        """Imbalances by instant."""
        rows = self.read_imbalances(self.at).drop("ts")
        return dict(zip(self.at.tolist(), rows.iter_rows(named=True), strict=True))


@dataclass(eq=False)
class FrameData:
    """What frames are cut from: the parts of all of them, and their instants."""

    request: FrameRequest
    version: int
    at: Times
    parts: dict[str, PartData]
    """By name: ``bars.1m``, ``trades``, ..."""
    absent: tuple[Absent, ...] = ()
    books: BookReads | None = None
    features: Callable[[int], Mapping[str, Any]] | None = None
    _windows: dict[str, Windows] = field(default_factory=dict)
    _places: dict[str, _Places] = field(default_factory=dict)

    @cached_property
    def since(self) -> Times:
        """When each window begins."""
        return self.request.since(self.at)

    def windows(self, name: str) -> Windows:
        """Return where the rows of a part are, for all frames at once."""
        windows = self._windows.get(name)
        if windows is None:
            windows = self._windows[name] = self.parts[name].windows(self.since, self.at)
        return windows

    def places(self, name: str) -> _Places:
        """Return where the rows of a part are, as plain values: they are looked up faster one by one."""
        places = self._places.get(name)
        if places is None:
            places = self._places[name] = [column.tolist() for column in self.windows(name)]
        return places

    @cached_property
    def indicators(self) -> dict[str, Any]:
        """The values of indicators of all frames whose newest bars are plain, by output."""
        from ticklake.core.indicators import compute_at

        part = self.parts[self.bars_of_indicators]
        return compute_at(part.rows.rows, self.windows(part.name).last, self.request.indicators)

    @property
    def bars_of_indicators(self) -> str:
        """The part from which indicators are computed: the bars of the first timeframe."""
        return f"bars.{self.request.timeframes[0]}"


class Frame:
    """What was known of a symbol at an instant: bars, trades, the book, funding, open interest, indicators, features.

    A row is in it if it was knowable: see :mod:`ticklake.core.knowledge`. Its parts are read when they are looked at; what they hold was
    decided when the frame was made. Do not change them.

    Attributes
    ----------
    at
        The instant, in nanoseconds UTC.
    exchange, symbol
        What it is of.
    version
        The version of the lake that it was read from.
    """

    def __init__(self, data: FrameData, place: int) -> None:
        self._data = data
        self._place = place
        self.at = int(data.at[place])
        self.version = data.version

    @property
    def exchange(self) -> str:
        """The exchange."""
        return self._data.request.exchange

    @property
    def symbol(self) -> str:
        """The symbol."""
        return str(self._data.request.symbol)

    @property
    def since(self) -> int:
        """When its window begins, in nanoseconds UTC."""
        return int(self._data.since[self._place])

    @cached_property
    def bars(self) -> dict[str, pl.DataFrame]:
        """Bars by timeframe: those that closed in the window, and at least the newest one that was known."""
        bars: dict[str, pl.DataFrame] = {}
        for timeframe in self._data.request.timeframes:
            rows = self._rows(f"bars.{timeframe}")
            if self._data.request.fill:
                rows = self._filled(timeframe, rows)
            bars[str(timeframe)] = rows
        return bars

    @property
    def trades(self) -> pl.DataFrame:
        """Trades in the window."""
        return self._rows("trades")

    @property
    def quotes(self) -> pl.DataFrame:
        """Best bids and asks in the window."""
        return self._rows("quotes")

    @property
    def funding(self) -> pl.DataFrame:
        """Settled funding rates in the window, and at least the newest one that was known."""
        return self._rows("funding")

    @property
    def open_interest(self) -> pl.DataFrame:
        """Open interest in the window, and at least the newest one that was known."""
        return self._rows("open_interest")

    @cached_property
    def book(self) -> Book | None:
        """The order book; ``None`` if it was not asked for, or the lake has none."""
        if self._data.books is None:
            return None
        return self._data.books.read(self.at)

    @property
    def imbalances(self) -> dict[str, float | None]:
        """Mean imbalances of the book over the last 1, 5, 15 and 60 s, like ``imbalance_5s``; ``None`` where a book is missing."""
        if self._data.books is None:
            return {}
        return self._data.books.imbalances[self.at]

    @cached_property
    def indicators(self) -> dict[str, float | None]:
        """Values of the indicators at the newest bar of the first timeframe; ``None`` where there are too few bars."""
        from ticklake.core.indicators import compute

        data = self._data
        wanted = data.request.indicators
        if not wanted:
            return {}
        # Of many frames, the values are computed at once: only where rows came late, each has bars of its own.
        if len(data.at) == 1 or not self._has_plain_warm_up:
            return compute(self._warm_up_bars(), wanted)
        values: dict[str, float | None] = {}
        for name, column in data.indicators.items():
            values[name] = float(column[self._place])
            if np.isnan(column[self._place]):
                values[name] = None
        return values

    @property
    def _has_plain_warm_up(self) -> bool:
        """Whether the bars of which indicators are computed are a slice of those that were read."""
        data = self._data
        part = data.parts.get(data.bars_of_indicators)
        if part is None:
            return False
        windows = data.windows(part.name)
        last = int(windows.last[self._place])
        known = part.rows.known[max(last - data.request.warm_up, 0) : last]
        return bool(windows.plain[self._place]) and not (known > self.at).any()

    def _warm_up_bars(self) -> pl.DataFrame:
        """Return the newest bars that were known, as many as the indicators need."""
        data = self._data
        part = data.parts.get(data.bars_of_indicators)
        if part is None:
            return self._rows(data.bars_of_indicators)
        count = data.request.warm_up
        if not self._has_plain_warm_up:
            return part.rows.newest_known(self.at, count)
        last = int(data.windows(part.name).last[self._place])
        return part.rows.rows.slice(max(last - count, 0), min(count, last))

    @property
    def features(self) -> Mapping[str, Any]:
        """Values of the features that were asked for, by name like ``momentum@v3:ret_5m``; ``None`` where none was known."""
        if self._data.features is None:
            return {}
        return self._data.features(self.at)

    @cached_property
    def missing(self) -> tuple[MissingPart, ...]:
        """What is missing in the window, with its reason; also what is absent although nothing is missing (``no_trades``, ``outage``)."""
        found: list[MissingPart] = []
        for part in self._data.parts.values():
            found += self._missing_in(part)
        absent = [*self._data.absent, *self._absent_book(), *self._absent_indicators(), *self._absent_features()]
        for name, dataset, why in absent:
            found.append(MissingPart(name, dataset, self.since, self.at, _ABSENT, why))
        return tuple(sorted(found, key=lambda part: (part.part, part.start)))

    def _absent_book(self) -> Iterator[Absent]:
        books = self._data.books
        if books is None or not books.is_named or self.book is None or not self.book.reason:
            return
        why = self.book.reason
        if self.book.ts is None:
            # The reason of the book counts rows that were not known, and says nothing of a lake that has no books at all.
            why = f"no snapshot of {books.dataset} was known"
        yield Absent("book", str(books.dataset), why)

    def _absent_indicators(self) -> Iterator[Absent]:
        """Yield the indicators that have no value: a model that needs them cannot use the frame."""
        absent = {output for output, value in self.indicators.items() if value is None}
        lacking = [indicator for indicator in self._data.request.indicators if absent.intersection(indicator.outputs)]
        if not lacking:
            return
        from ticklake.core.indicators import why_missing

        dataset = str(self._data.request.dataset("ohlcv", self._data.request.timeframes[0]))
        for output, why in why_missing(self._warm_up_bars(), lacking).items():
            yield Absent("indicators", dataset, f"{output}: {why}")

    def _absent_features(self) -> Iterator[Absent]:
        for name, value in self.features.items():
            if value is None:
                yield Absent("features", name, f"no value for {self.symbol} was known")

    @property
    def complete(self) -> bool:
        """Whether nothing is missing; where there was nothing to be had, nothing is."""
        return not any(part.is_missing for part in self.missing)

    @property
    def sources(self) -> dict[str, str]:
        """Where the rows of each part were: ``cache``, ``inline`` in the catalog, or ``files``; and of what bars were made."""
        sources: dict[str, str] = {}
        for name, part in self._data.parts.items():
            source = part.source(self.since, self.at)
            if part.base is not None:
                source = f"{source}, made of {part.facts.dataset}"
            sources[name] = source
        return sources

    def latest_price(self) -> float | None:
        """Return the newest price that was known: that of the newest trade, or the close of a bar that is newer."""
        newest, price = ALL_TIME.start, None
        for name, part in self._data.parts.items():
            if name != "trades" and not name.startswith("bars."):
                continue
            first, last, plain = self._data.places(name)
            end = last[self._place]
            if not plain[self._place] or len(last) == 1:
                moment, value = self._last_price(part)
            elif first[self._place] < end:
                moment, value = int(part.rows.happened[end - 1]), float(part.prices[end - 1])
            else:
                continue
            # At one time, a trade says it more exactly than a bar.
            if value is not None and (moment > newest or (moment == newest and name == "trades")):
                newest, price = moment, value
        return price

    def _last_price(self, part: PartData) -> tuple[int, float | None]:
        rows = self._rows(part.name).tail(1)
        if not rows.height:
            return ALL_TIME.start, None
        column = "price" if part.name == "trades" else "close"
        return int(part.happened_at(rows)[0]), float(rows[column][0])

    def digest(self) -> bytes:
        """Return a hash of everything in it but its sources: equal frames have equal ones, on any machine."""
        digest = blake2b(digest_size=16)
        request = self._data.request
        digest.update(f"{self.at} {self.since} {request.exchange} {request.symbol} {request.fill}".encode())
        for name, part in self._data.parts.items():
            first, last, plain = (column[self._place] for column in self._data.places(name))
            # Of many frames, the columns are made ready once.
            if plain and not request.fill and len(self._data.at) > 1:
                # A part without rows equals one that the lake does not have: that it will have one is not known.
                if first < last:
                    digest.update(name.encode())
                    _feed(digest, part.columns, first, last)
                continue
            rows = self._rows(name)
            if request.fill and name.startswith("bars."):
                rows = self.bars[name.removeprefix("bars.")]
            if not rows.height:
                continue
            digest.update(name.encode())
            _feed(digest, [_column(series) for series in rows.get_columns()], 0, rows.height)
        if self.book is not None and not self.book.reason:
            _feed(digest, [_column(series) for series in self.book.get_columns()], 0, self.book.height)
            digest.update(repr(list(self.imbalances.items())).encode())
        digest.update(repr(list(self.indicators.items())).encode())
        digest.update(repr(sorted(self.features.items())).encode())
        digest.update(repr(self.missing).encode())
        return digest.digest()

    def to_dict(self, rows: Callable[[pl.DataFrame], Any] = pl.DataFrame.to_dicts) -> dict[str, Any]:
        """Return it as plain values of Python: *rows* as lists of mappings, unless they are to be something else."""
        plain: dict[str, Any] = {
            "exchange": self.exchange,
            "symbol": self.symbol,
            "at": format_time(self.at),
            "since": format_time(self.since),
            "version": self.version,
            "latest_price": self.latest_price(),
            "complete": self.complete,
            "missing": [part.to_dict() for part in self.missing],
            "sources": self.sources,
            "bars": {name: rows(bars) for name, bars in self.bars.items()},
        }
        for name, part in self._frames():
            plain[name] = rows(part)
        plain["imbalances"] = dict(self.imbalances)
        plain["indicators"] = dict(self.indicators)
        plain["features"] = dict(self.features)
        return plain

    def to_numpy(self) -> dict[str, Any]:
        """Return its parts as arrays, by column: times as ``datetime64[ns]``, indicators as numbers (NaN for ``None``)."""
        return self._converted(lambda rows: {series.name: _numpy(series) for series in rows.get_columns()})

    def to_pandas(self) -> dict[str, Any]:
        """Return its parts as frames of pandas.

        Raises
        ------
        BadInput
            If pandas is not installed.
        """
        try:
            import pandas
        except ImportError as error:
            raise BadInput("to_pandas needs pandas: pip install pandas, or use to_numpy()") from error

        def converted(rows: pl.DataFrame) -> Any:
            columns: dict[str, Any] = {}
            for series in rows.get_columns():
                columns[series.name] = _numpy(series)
                if series.dtype == TIME:
                    columns[series.name] = pandas.DatetimeIndex(columns[series.name], tz="UTC")
            return pandas.DataFrame(columns)

        return self._converted(converted)

    def to_torch(self) -> dict[str, Any]:
        """Return the numeric columns of its parts as tensors; times are integers of nanoseconds.

        Raises
        ------
        BadInput
            If PyTorch is not installed.
        """
        try:
            import torch  # type: ignore[import-not-found, unused-ignore]
        except ImportError as error:
            raise BadInput("to_torch needs PyTorch: pip install torch, or use to_numpy()") from error

        def converted(rows: pl.DataFrame) -> dict[str, Any]:
            tensors: dict[str, Any] = {}
            for series in rows.get_columns():
                if series.dtype.is_temporal():
                    tensors[series.name] = torch.from_numpy(series.to_physical().fill_null(0).to_numpy().copy())
                elif series.dtype.is_numeric():
                    tensors[series.name] = torch.from_numpy(_numpy(series).copy())
            return tensors

        plain = self._converted(converted)
        for name in ("imbalances", "indicators"):
            plain[name] = {key: torch.tensor(value) for key, value in plain[name].items()}
        return plain

    def __repr__(self) -> str:
        held = [f"{bars.height:,} bars {name}" for name, bars in self.bars.items()]
        held += [f"{rows.height:,} {name}" for name, rows in self._frames() if rows.height]
        if self.indicators:
            held.append(f"{len(self.indicators)} indicators")
        held.append("complete" if self.complete else "incomplete")
        return f"Frame({self.exchange} {self.symbol} at {format_time(self.at)}: {', '.join(held)})"

    def _repr_html_(self) -> str:
        from html import escape

        lines = [("latest price", str(self.latest_price())), ("version", str(self.version))]
        lines += [(f"bars {name}", f"{bars.height:,} rows") for name, bars in self.bars.items()]
        lines += [(name, f"{rows.height:,} rows") for name, rows in self._frames()]
        for values in (self.imbalances, self.indicators, self.features):
            lines += [(name, str(value)) for name, value in values.items()]
        lines += [("missing", str(part)) for part in self.missing]
        caption = escape(f"{self.exchange} {self.symbol} at {format_time(self.at)}")
        body = "".join(f"<tr><th>{escape(name)}</th><td>{escape(text)}</td></tr>" for name, text in lines)
        return f"<table><caption>{caption}</caption>{body}</table>"

    def _rows(self, name: str) -> pl.DataFrame:
        part = self._data.parts.get(name)
        if part is None:
            kind = name.partition(".")[0].replace("bars", "ohlcv")
            spec = KINDS[kind]
            return spec.empty().select(spec.names)
        first, last, plain = self._data.places(name)
        if plain[self._place]:
            begin = first[self._place]
            return part.rows.rows.slice(begin, last[self._place] - begin)
        return part.rows.known_rows(self.since, self.at, keeps_newest=part.keeps_newest)

    def _frames(self) -> Iterator[tuple[str, pl.DataFrame]]:
        """Yield the parts that are rows, besides bars."""
        kinds = self._data.request.kinds
        for name in EVENT_KINDS:
            if kinds is None or name in kinds:
                yield name, self._rows(name)
        if self.book is not None:
            yield "book", self.book

    def _converted(self, convert: Callable[[pl.DataFrame], Any]) -> dict[str, Any]:
        converted: dict[str, Any] = {"bars": {name: convert(bars) for name, bars in self.bars.items()}}
        for name, rows in self._frames():
            converted[name] = convert(rows)
        for name, values in (("imbalances", self.imbalances), ("indicators", self.indicators)):
            converted[name] = {key: float("nan") if value is None else value for key, value in values.items()}
        converted["features"] = dict(self.features)
        return converted

    def _missing_in(self, part: PartData) -> Iterator[MissingPart]:
        if part.before is not None and self.at < part.facts.since:
            yield MissingPart(*part.before[:2], self.since, self.at, _ABSENT, part.before.why)
            return
        source = part.base or part
        count: int | None = None
        first, last, plain = (column[self._place] for column in self._data.places(part.name))
        if part.base is None and plain:
            count = last - first
            # The newest bar is there even if it is from before the window: it is none of those that are expected in it.
            if count and int(part.rows.happened[first]) <= self.since:
                count -= 1

        def opens(want: Span) -> pl.Series:
            # Bars that open in the span close after its begin, and not after its end.
            bars = source.rows.known_rows(want.start, min(want.end, self.at), keeps_newest=False, known_at=self.at)
            return bars["ts"]

        for gap in part.facts.gaps(self.since, self.at, opens, count):
            yield MissingPart(
                part.name, str(part.facts.dataset), gap.span.start, gap.span.end, gap.reason.value, gap.detail
            )

    def _filled(self, timeframe: Timeframe, rows: pl.DataFrame) -> pl.DataFrame:
        """Return bars with the missing ones of the window in between, each of which repeats the last close."""
        name = f"bars.{timeframe}"
        anchor = self._data.request.dataset("ohlcv", timeframe).anchor
        marked = rows.with_columns(filled=pl.lit(False))
        if not rows.height:
            return marked
        # Before the first bar there is no close that could be repeated.
        first = int(rows["ts"].to_physical()[0])
        opens: list[int] = []
        for part in self.missing:
            if part.part == name and part.reason != _ABSENT and part.end > first:
                opens += timeframe.opens(Span(max(part.start, first), part.end), anchor).to_list()
        if not opens:
            return marked
        empty = pl.DataFrame({"ts": pl.Series(opens, dtype=pl.Int64).cast(TIME), "filled": [True] * len(opens)})
        whole = pl.concat([marked, empty], how="diagonal").sort("ts", maintain_order=True)
        close = pl.col("close").forward_fill()
        prices = [
            pl.when("filled").then(close).otherwise(name).alias(name) for name in ("open", "high", "low", "close")
        ]
        none = [pl.when("filled").then(0).otherwise(name).alias(name) for name in ("volume", "quote_volume", "trades")]
        return whole.with_columns(prices).with_columns(none)


def _numpy(series: pl.Series) -> Any:
    if series.dtype == TIME:
        return series.to_physical().to_numpy().view("datetime64[ns]") if not series.null_count() else _with_nat(series)
    if series.dtype == pl.String:
        return np.array(series.to_list(), dtype=object)
    return series.to_numpy()


def _with_nat(series: pl.Series) -> Any:
    values = series.to_physical().fill_null(np.iinfo(np.int64).min).to_numpy()
    return np.array(values).view("datetime64[ns]")


class FrameBatch:
    """Frames at instants, in their order: those of each of *groups* (places of instants) are cut from one of *data*."""

    def __init__(self, at: Times, data: Sequence[FrameData], groups: Sequence[NDArray[np.intp]] | None = None) -> None:
        self.at = at
        self.data = data
        # Mostly all are cut from one, in order: then nothing has to be looked up.
        self._where: list[tuple[FrameData, int]] | None = None
        if groups is not None and not (len(groups) == 1 and (groups[0] == np.arange(len(at))).all()):
            where: list[tuple[FrameData, int]] = [(data[0], 0)] * len(at)
            for part, places in zip(data, groups, strict=True):
                for number, place in enumerate(places.tolist()):
                    where[place] = (part, number)
            self._where = where

    def frame(self, place: int) -> Frame:
        """Return one frame."""
        if self._where is None:
            return Frame(self.data[0], place)
        return Frame(*self._where[place])


class Frames(Sequence[Frame]):
    """Frames of many instants, read in one pass. A frame is made when it is looked at, and its rows are not copied."""

    def __init__(self, batch: FrameBatch, places: range | None = None) -> None:
        self._batch = batch
        self._places = range(len(batch.at)) if places is None else places

    def __len__(self) -> int:
        return len(self._places)

    @overload
    def __getitem__(self, place: int) -> Frame: ...
    @overload
    def __getitem__(self, place: slice) -> Frames: ...
    def __getitem__(self, place: int | slice) -> Frame | Frames:
        if isinstance(place, slice):
            return Frames(self._batch, self._places[place])
        return self._batch.frame(self._places[place])

    def __iter__(self) -> Iterator[Frame]:
        for place in self._places:
            yield self._batch.frame(place)

    @property
    def instants(self) -> Times:
        """The instants, in nanoseconds UTC."""
        # Not a slice: one that counts down to the first ends at -1, which would be the last.
        return self._batch.at[np.array(self._places, dtype=np.int64)]

    @property
    def version(self) -> int:
        """The version of the lake that they were read from."""
        return self._batch.data[0].version

    def __repr__(self) -> str:
        request = self._batch.data[0].request
        if not len(self):
            return f"Frames({request.exchange} {request.symbol}: none)"
        first, last = int(self.instants.min()), int(self.instants.max())
        span = f"{format_time(first)} .. {format_time(last)}"
        return f"Frames({request.exchange} {request.symbol}: {len(self):,}, {span})"
