"""Plan how a file is read, from its beginning, and read its rows as the plan says."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace

import polars as pl

from ticklake.core.dataset import Dataset
from ticklake.core.kinds import kind_of
from ticklake.core.lookup import absent
from ticklake.core.native_id_tables import HOME_MARKET
from ticklake.core.native_ids import Market, contract_market
from ticklake.core.selection import picked
from ticklake.core.timeframe import Timeframe
from ticklake.errors import InvalidData, InvalidName, InvalidTime, TicklakeError
from ticklake.files.binance_markets import CALLED
from ticklake.files.decompress import Entry, Unpacked, opened
from ticklake.files.filenames import Markets, PartialDataset, bar_of, dataset_in_path, day_of, label_of, venue_of
from ticklake.files.formats import Format, sniff
from ticklake.files.frames import RecordFrame, RecordingInfo
from ticklake.files.infer import guess, kind_by_columns
from ticklake.files.lean import refusal_of
from ticklake.files.mapping import MADE_OF, Mapping, cells_of, map_rows
from ticklake.files.message_counts import Tally
from ticklake.files.oddities import funding_shift, zone_hint
from ticklake.files.presets import GENERIC, Preset, preset_named, preset_of, shaped_as
from ticklake.files.shapes import RECORDINGS, SHAPES
from ticklake.files.tables import CHUNK, Layout, frames_of, layout_of, one_row_a_level, sample_of
from ticklake.files.times import TimeWords, has_zone, is_counted, read_times, unit_of

__all__ = ["FilePlan", "ImportOptions", "Part", "parts_of", "plan_file"]

_OWNER_COLUMNS = ("exchange", "symbol", "timeframe")
"""Columns that say of which dataset a row is."""
_STAND_INS = {"exchange": "any", "symbol": "A/B", "timeframe": "1m"}
"""A valid value for each of them."""
_BINANCE_IDS: dict[Market, str] = {"spot": "binance", "linear": "binanceusdm", "inverse": "binancecoinm"}
"""ccxt's ids of the markets of Binance."""


@dataclass(frozen=True, slots=True)
class ImportOptions:
    """What the caller of an import specified; the rest is guessed from the files.

    ``now`` is the time, in nanoseconds; ``markets`` has the exchange and the symbol of files that do not name theirs.
    """

    now: int
    dataset: Dataset | None = None
    preset: str = ""
    mapping: Mapping = Mapping()  # noqa: RUF009
    markets: Markets = Markets()  # noqa: RUF009

    @property
    def names(self) -> Markets:
        """How native names are read: if there is a dataset, its symbol is that of all rows."""
        if self.dataset is None:
            return self.markets
        exchange, symbol = self.dataset.exchange, str(self.dataset.symbol)
        return replace(self.markets, exchange=exchange, symbol=symbol, has_dataset=True)

    @property
    def kind(self) -> str:
        """The kind of the dataset; empty without one."""
        if self.dataset is None:
            return ""
        return self.dataset.kind

    @property
    def timeframe(self) -> Timeframe | None:
        """The timeframe of the dataset, if it has one."""
        if self.dataset is None:
            return None
        return self.dataset.timeframe


@dataclass(frozen=True, slots=True)
class FilePlan:
    """How a file is going to be read.

    ``from_path`` has the parts of the dataset that its path names. Of recorded messages and answers, rows of other kinds than
    ``only_kind`` are counted and not read, and bars that do not say their timeframe are of ``timeframe``.
    """

    entry: Entry
    form: Format
    layers: tuple[str, ...]
    preset: Preset
    kind: str
    mapping: Mapping
    from_path: PartialDataset
    layout: Layout | None = None
    only_kind: str = ""
    timeframe: str = ""
    markets: Markets = Markets()  # noqa: RUF009

    @property
    def missing(self) -> list[str]:
        """The parts of the dataset that neither path nor rows name; records of messages may name all of them."""
        if self.preset.shape:
            return []
        # Whether rows name a part is known, but not what they say: a valid value stands in.
        parts = dict.fromkeys(_OWNER_COLUMNS, "")
        for name in _OWNER_COLUMNS:
            if name in self.mapping.columns:
                parts[name] = _STAND_INS[name]
        dataset = self.from_path.replaced(self.kind, **parts)
        if dataset.missing:
            return dataset.missing
        if dataset.dataset() is None:
            # No part is missing, but one of them is not valid.
            return ["dataset"]
        return []


@dataclass(frozen=True, slots=True)
class Part:
    """Some rows of a file, with the columns of their kind, and what is known of the dataset they belong to.

    ``sure`` says that the file names the market of the exchange (spot, linear, inverse) on which they were traded;
    ``space`` is the numbering of trade ids. ``places`` are the numbers of their lines in the file, or of rows where there are no
    lines, from 1; ``None`` if they are not known. ``answers`` are the numbers of the recorded answers that rows came in, where
    each answer shows only its own time. ``doubt`` says why the symbol is unknown, where the native name cannot be read. ``native`` is the
    exchange's name of the market, as recorded messages have it.
    """

    frame: pl.DataFrame
    kind: str
    symbol: str = ""
    timeframe: str = ""
    exchange: str = ""
    sure: bool = False
    space: str = ""
    places: pl.Series | None = None
    answers: pl.Series | None = None
    doubt: str = ""
    native: str = ""

    def is_of(self, dataset: Dataset) -> bool:
        """Whether the rows can belong to a dataset: native names do not tell a swap from a spot market, unless ``sure``."""
        ours, theirs = self.symbol, str(dataset.symbol)
        if not self.sure:
            ours, theirs = ours.partition(":")[0], theirs.partition(":")[0]
        if "/" not in ours:
            theirs = theirs.partition("/")[0]
        return self.kind == dataset.kind and self.timeframe in ("", str(dataset.timeframe)) and ours in ("", theirs)


def plan_file(entry: Entry, options: ImportOptions) -> FilePlan:
    """Look at the beginning of a file and say how it is read.

    Raises
    ------
    InvalidData
        If the file has nothing that could be read, or its columns cannot be identified.
    """
    label, layout = label_of(entry), None
    # A caller who names a preset takes responsibility for how the file is read.
    if not options.preset:
        _refuse_uncertain(label)
    with opened(entry) as stream:
        head, layers = stream.head(), stream.layers
        form = sniff(head)
        if options.preset:
            preset: Preset | None = preset_named(options.preset, label)
        else:
            preset = shaped_as(head)
        if preset is not None and preset.shape:
            return _plan_of_records(entry, form, layers, preset, options)
        if form is Format.CSV:
            layout = layout_of(head, header=options.mapping.header, skip=options.mapping.skip or None)
        try:
            raw = sample_of(stream, form, entry, layout)
        except InvalidData:
            _read_to_end(stream)
            raise
    if raw is None or not raw.height:
        raise InvalidData("the file has no rows")
    has_names = _has_names(raw, layout)
    preset = preset or preset_of(label, raw.columns, named=has_names)
    raw = _with_names(raw, preset, has_names=has_names)
    if layout is not None:
        layout = replace(layout, names=tuple(raw.columns))
    if preset.wide:
        raw = one_row_a_level(raw)
    kind, mapping = _mapping(raw, preset, options, has_names=has_names or bool(preset.names))
    _refuse_incomplete(mapping, kind, raw)
    mapping = _with_origin(mapping, label, preset, options)
    from_path = dataset_in_path(preset, label, options.names)
    mapping = _with_unit(mapping, raw, kind, options, from_path.exchange)
    return FilePlan(entry, form, layers, preset, kind, mapping, from_path, layout, markets=options.names)


def _refuse_uncertain(label: str) -> None:
    """Refuse what LEAN keeps in folders whose zone or currency is not certain."""
    reason = refusal_of(label)
    if reason:
        raise InvalidData(reason)


def _plan_of_records(
    entry: Entry, form: Format, layers: tuple[str, ...], preset: Preset, options: ImportOptions
) -> FilePlan:
    """Plan a file that is no table: its records say of which kind they are."""
    return FilePlan(
        entry,
        form,
        layers,
        preset,
        kind="",
        mapping=options.mapping,
        from_path=dataset_in_path(preset, label_of(entry), options.names),
        only_kind=options.kind,
        timeframe=str(options.timeframe or ""),
        markets=options.names,
    )


def parts_of(plan: FilePlan, now: int, chunk: int = CHUNK, *, tally: Tally | None = None) -> Iterator[Part]:
    """Yield the rows of a file, chunk by chunk, in the order they came; *tally* counts recorded messages.

    Raises
    ------
    InvalidData
        If the file is damaged, or a value is not what its column says.
    """
    with opened(plan.entry) as stream:
        if plan.preset.shape:
            # Without a tally a file is read again, to save it: it was proven the first time.
            for records in _record_frames(stream, plan, tally or Tally(prover=None)):
                yield _part_of_records(records, plan, now)
            return
        first = 1
        if plan.layout is not None:
            first += plan.layout.skip
        for raw in _raw_frames(stream, plan, chunk):
            places = pl.Series(range(first, first + raw.height), dtype=pl.Int64)
            first += raw.height
            for market in _by_market(raw, plan):
                rows = map_rows(raw.filter(market.rows), plan.mapping, plan.kind, now)
                # A line of a wide file became several rows: places and rows no longer match.
                row_places = None
                if not plan.preset.wide:
                    row_places = places.filter(market.rows)
                yield Part(rows, plan.kind, *market.names, space=plan.preset.id_space, places=row_places)


def _record_frames(stream: Unpacked, plan: FilePlan, tally: Tally) -> Iterator[RecordFrame]:
    """Yield the rows of a file that is no table; a record that is not of the expected form refuses the file."""
    shape = plan.preset.shape
    try:
        if shape in RECORDINGS:
            yield from RECORDINGS[shape](stream, _recording_info(plan, tally))
        else:
            yield from SHAPES[shape](stream, plan.entry)
    # Readers of records take fields without asking whether they are there: any of these is a record of another form.
    except (LookupError, TypeError, ValueError, AttributeError) as error:
        if isinstance(error, TicklakeError):
            raise
        raise InvalidData(
            f"a record is not of the form of {plan.preset.name}: {type(error).__name__} {error}"
        ) from error


def _recording_info(plan: FilePlan, tally: Tally) -> RecordingInfo:
    markets = plan.markets
    tally.exchange = plan.from_path.exchange or markets.exchange
    has_times = "ts" in plan.mapping.constants
    return RecordingInfo(plan.entry.name, markets.exchange, markets.symbol, plan.timeframe, has_times, tally)


def _part_of_records(records: RecordFrame, plan: FilePlan, now: int) -> Part:
    """Return rows in their kind's types; rows of a kind that the caller did not ask for are only counted."""
    rows = records.frame
    if plan.only_kind in ("", records.kind):
        # Constants of the caller replace what the records say.
        columns = {name: name for name in rows.columns if name not in plan.mapping.constants}
        rows = map_rows(rows, plan.mapping.over(Mapping(columns)), records.kind, now)
    exchange = records.exchange or plan.from_path.exchange or plan.markets.exchange
    _refuse_other_market(exchange, records.market)
    symbol, doubt = None, ""
    if records.native:
        try:
            symbol = plan.markets.unified(records.native, records.market or plan.preset.market, exchange)
        except InvalidName as error:
            # A recording has many markets: one that cannot be named is no reason to refuse the others.
            doubt = str(error)
    return Part(
        rows,
        records.kind,
        symbol or records.native,
        records.timeframe,
        records.exchange,
        sure=records.market is not None,
        space=records.space,
        answers=records.answers,
        doubt=doubt,
        native=records.native,
    )


def _refuse_other_market(exchange: str, market: Market | None) -> None:
    """Refuse messages of one market of Binance where the caller names another."""
    if market is None or not exchange.startswith("binance"):
        return
    home = HOME_MARKET.get(exchange)
    if home is not None and market != home:
        raise InvalidData(
            f"its messages are of Binance's {CALLED[market]}, not of {exchange}: "
            f"say {' or '.join(dict.fromkeys([f'--exchange {_BINANCE_IDS[market]}', '--exchange binance']))}"
        )


def _read_to_end(stream: Unpacked) -> None:
    """Read the rest of a stream: if its compression is damaged, that error is the true reason why nothing can be read."""
    while stream.read(CHUNK):
        pass


def _raw_frames(stream: Unpacked, plan: FilePlan, chunk: int) -> Iterator[pl.DataFrame]:
    for raw in frames_of(stream, plan.form, plan.entry, plan.layout, chunk):
        if not raw.height:
            continue
        rows = _with_names(raw, plan.preset, has_names=_has_names(raw, None))
        if plan.preset.wide:
            rows = one_row_a_level(rows)
        yield rows


def _has_names(raw: pl.DataFrame, layout: Layout | None) -> bool:
    """Whether columns have names of their own: without any they are called by their numbers."""
    if layout is not None:
        return layout.named
    return not raw.columns[0].isdigit()


def _with_names(raw: pl.DataFrame, preset: Preset, *, has_names: bool) -> pl.DataFrame:
    """Give columns without names those of the preset."""
    if has_names or len(preset.names) > raw.width:
        return raw
    return raw.rename(dict(zip(raw.columns, preset.names, strict=False)))


def _mapping(raw: pl.DataFrame, preset: Preset, options: ImportOptions, *, has_names: bool) -> tuple[str, Mapping]:
    """Return the kind and the mapping of a table: the preset's or guessed, below what the caller specified."""
    given = options.mapping
    if preset is not GENERIC:
        return preset.kind, given.over(preset.mapping)
    kind = kind_by_columns({*given.columns, *given.constants})
    if kind is not None and options.kind in ("", kind):
        return kind, given
    kind, guessed = guess(raw, named=has_names, kind=options.kind or kind)
    return kind, given.over(guessed)


def _refuse_incomplete(mapping: Mapping, kind: str, raw: pl.DataFrame) -> None:
    """Refuse a mapping that lacks a column without which there is no row of the kind."""
    mapped = {MADE_OF.get(name, name) for name in (*mapping.columns, *mapping.constants)}
    missing = absent(kind_of(kind).required, mapped)
    any_of = kind_of(kind).any_of
    if missing:
        words = " or ".join(missing)
    elif any_of and not mapped.intersection(any_of):
        words = " or ".join(any_of)
        missing = [any_of[0]]
    else:
        return
    others = absent(raw.columns, mapping.columns.values())
    raise InvalidData(
        f"no column was recognised as {words} of {kind}: not recognised are {', '.join(others)[:300] or 'none'}; "
        f"say which is which, like columns={{{missing[0]!r}: '...'}} (--columns {missing[0]}=...)"
    )


def _with_origin(mapping: Mapping, label: str, preset: Preset, options: ImportOptions) -> Mapping:
    """Let times count from the midnight of the day in the name, or move them by a bar, if the preset says so."""
    if preset.at_open:
        bar = bar_of(preset, label)
        if not bar and options.timeframe is not None:
            # The caller may have named the timeframe that the path does not.
            bar = options.timeframe.length
        if not bar:
            raise InvalidData("its bars are named by their ends, and nothing says how long they are: name the dataset")
        return replace(mapping, shift=mapping.shift - bar)
    if preset.at_close:
        mapping = replace(mapping, shift=mapping.shift + bar_of(preset, label))
    mapping = replace(mapping, zone=mapping.zone or _zone_of(preset, label, options))
    if not preset.day_zone or mapping.since:
        return mapping
    day = day_of(preset, label)
    if day is None:
        raise InvalidData(
            f"its times count from midnight, and its name does not say of which day: {label!r}; say it, like --since 2013-10-07"
        )
    return replace(mapping, since=day)


def _zone_of(preset: Preset, label: str, options: ImportOptions) -> str:
    """Return the zone of the times of a preset's files, which may be that of the feed."""
    if not preset.feeds or options.mapping.zone:
        return preset.day_zone
    feed = dataset_in_path(preset, label, options.names).exchange or options.names.exchange
    zone = preset.feeds.get(feed, preset.feeds.get(""))
    if zone is None:
        zones = ", ".join(f"{name} {zone}" for name, zone in preset.feeds.items())
        raise InvalidTime(
            f"the zone of its times depends on the feed ({zones}), and {feed or 'which it is'} is not known: "
            "say --exchange, or the zone with --zone"
        )
    return zone


def _with_unit(mapping: Mapping, raw: pl.DataFrame, kind: str, options: ImportOptions, exchange: str) -> Mapping:
    """Fill in the unit of times, and refuse local times without a zone; *exchange* is what the file's path says.

    The unit is settled once for the whole file: chunk by chunk, times near a limit would be read in different ones.
    """
    theirs = mapping.columns.get("ts")
    if theirs is None or mapping.since:
        return mapping
    sample = cells_of(raw, theirs)
    if mapping.unit:
        return mapping
    if is_counted(sample):
        return replace(mapping, unit=unit_of(_largest(sample)))
    if mapping.zone or has_zone(sample) or "%z" in mapping.time_format:
        return mapping
    if options.dataset is not None:
        exchange = options.dataset.exchange
    hint = ""
    if kind == "funding":
        local = read_times(sample, TimeWords(zone="UTC", form=mapping.time_format), options.now)
        hint = f" ({_funding_hint(local, exchange or options.markets.exchange)})"
    raise InvalidTime(
        f"column {theirs!r} has times like {sample.drop_nulls()[0]!r} without a zone{hint}: say where they are local with "
        "zone='Europe/Moscow', or zone='UTC' (--zone)"
    )


def _largest(counts: pl.Series) -> int:
    digits = counts.cast(pl.String).str.extract(r"^(\d+)", 1)
    numbers = digits.cast(pl.Int64, strict=False).drop_nulls()
    if not numbers.len():
        return 0
    return int(numbers.sort()[-1])


def _funding_hint(local: pl.Series, exchange: str) -> str:
    """Say in which zone local funding times seem to be: they lie on a grid, which depends on the exchange."""
    hint = zone_hint(funding_shift(local, exchange))
    if exchange:
        return hint
    return f"on most exchanges {hint}; say which it is (--exchange), as KuCoin and BitMEX settle four hours later"


@dataclass(frozen=True, slots=True)
class _MarketRows:
    """Which rows of a frame are of one market, and the symbol, timeframe and exchange that they name."""

    rows: pl.Series
    names: tuple[str, str, str] = ("", "", "")


def _by_market(raw: pl.DataFrame, plan: FilePlan) -> Iterator[_MarketRows]:
    """Divide rows by the exchange, symbol and timeframe in their columns."""
    is_row = _is_true(raw, plan.preset.only)
    columns = picked(plan.mapping.columns, _OWNER_COLUMNS)
    owners = [cells_of(raw, theirs).cast(pl.String).alias(name) for name, theirs in columns.items()]
    if not owners:
        yield _MarketRows(is_row)
        return
    table = pl.DataFrame(owners)
    for owner in table.unique(maintain_order=True).iter_rows(named=True):
        is_same = pl.all_horizontal(pl.col(name).eq_missing(pl.lit(text)) for name, text in owner.items())
        rows = table.select(is_same).to_series() & is_row
        exchange, market = venue_of(owner.get("exchange") or "")
        symbol = _symbol_of_rows(owner.get("symbol") or "", market, exchange, plan)
        if rows.any():
            yield _MarketRows(rows, (symbol, owner.get("timeframe") or "", exchange))


def _symbol_of_rows(native: str, market: Market | None, exchange: str, plan: FilePlan) -> str:
    """Return the symbol of a native name in a column, or the name itself if it cannot be read."""
    exchange = exchange or plan.from_path.exchange
    if market is None and exchange in plan.preset.derivatives:
        market = contract_market(native, exchange)
    return plan.markets.unified(native, market or plan.preset.market, exchange) or native


def _is_true(raw: pl.DataFrame, column: str) -> pl.Series:
    """Return in which rows a column is true; in all if there is no such column."""
    if not column or column not in raw.columns:
        return pl.Series([True]).new_from_index(0, raw.height)
    return raw[column].cast(pl.String).str.to_lowercase().is_in(["true", "1", "1.0"]).fill_null(False)
