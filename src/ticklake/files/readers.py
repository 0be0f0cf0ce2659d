"""Reading: from an entry to a plan of how it is read, and from the plan to rows."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace

import polars as pl

from ticklake.core.dataset import Dataset
from ticklake.core.kinds import kind_of
from ticklake.core.native_id_tables import HOME_MARKET
from ticklake.core.native_ids import Market, contract_market
from ticklake.errors import InvalidData, InvalidTime, TicklakeError
from ticklake.files.binance_markets import CALLED
from ticklake.files.decompress import Entry, Unpacked, opened
from ticklake.files.filenames import Markets, Named, bar_of, day_of, label_of, named, venue_of
from ticklake.files.formats import Format, sniff
from ticklake.files.frames import Session, Shaped
from ticklake.files.infer import guess, kind_by_columns
from ticklake.files.lean import refusal_of
from ticklake.files.mapping import MADE_OF, Mapping, cells_of, map_rows
from ticklake.files.message_counts import Tally
from ticklake.files.oddities import funding_shift, zone_hint
from ticklake.files.presets import GENERIC, Preset, preset_named, preset_of, shaped_as
from ticklake.files.shapes import SESSIONS, SHAPES
from ticklake.files.tables import CHUNK, Layout, frames_of, layout_of, one_row_a_level, sample_of
from ticklake.files.times import TimeWords, has_zone, is_counted, read_times, unit_of

__all__ = ["Asked", "FilePlan", "Part", "parts_of", "plan_file"]


@dataclass(frozen=True, slots=True)
class Asked:
    """What the caller said of the files: nothing of it is guessed then.

    ``now`` is the time, in nanoseconds; ``markets`` has the exchange and the symbol of files that do not say theirs.
    """

    now: int
    dataset: Dataset | None = None
    preset: str = ""
    mapping: Mapping = Mapping()  # noqa: RUF009
    markets: Markets = Markets()  # noqa: RUF009

    @property
    def names(self) -> Markets:
        """How native names are read: a dataset that was said is the symbol of all."""
        if self.dataset is None:
            return self.markets
        exchange, symbol = self.dataset.exchange, str(self.dataset.symbol)
        return replace(self.markets, exchange=exchange, symbol=symbol, has_dataset=True)


@dataclass(frozen=True, slots=True)
class FilePlan:
    """How a file is going to be read, and what its name says of the dataset; of what kind rows are wanted, if of one."""

    entry: Entry
    form: Format
    layers: tuple[str, ...]
    preset: Preset
    kind: str
    mapping: Mapping
    named: Named
    layout: Layout | None = None
    wanted: str = ""
    timeframe: str = ""
    markets: Markets = Markets()  # noqa: RUF009

    @property
    def lacking(self) -> tuple[str, ...]:
        """What neither name nor rows say of the dataset the rows are of; shapes may say all of it."""
        if self.preset.shape:
            return ()
        columns = self.mapping.columns
        symbol, exchange = ("A/B" if "symbol" in columns else ""), ("told" if "exchange" in columns else "")
        timeframe = "1m" if "timeframe" in columns else ""
        told = self.named.but(self.kind, symbol, timeframe, exchange)
        return told.lacking or (() if told.dataset() else ("dataset",))


@dataclass(frozen=True, slots=True)
class Part:
    """Some rows of a file, in the columns of their kind, and what is known of the dataset they belong to.

    ``sure`` says that the file tells in which part of the exchange (spot, linear, inverse) they were traded;
    ``space`` is the numbering of trade ids. ``places`` are the numbers of their lines in the file, or of rows where there are no
    lines, from 1; ``None`` if they are not known.
    """

    frame: pl.DataFrame
    kind: str
    symbol: str = ""
    timeframe: str = ""
    exchange: str = ""
    sure: bool = False
    space: str = ""
    places: pl.Series | None = None

    def is_of(self, dataset: Dataset) -> bool:
        """Whether the rows can belong to a dataset: native names do not tell a swap from a spot market, unless ``sure``."""
        ours, theirs = self.symbol, str(dataset.symbol)
        if not self.sure:
            ours, theirs = ours.partition(":")[0], theirs.partition(":")[0]
        if "/" not in ours:
            theirs = theirs.partition("/")[0]
        return self.kind == dataset.kind and self.timeframe in ("", str(dataset.timeframe)) and ours in ("", theirs)


def plan_file(entry: Entry, asked: Asked) -> FilePlan:
    """Look at the beginning of a file and say how it is read.

    Raises
    ------
    InvalidData
        If there is nothing in it that could be read, or its columns cannot be told.
    """
    label, said = label_of(entry), asked.mapping
    uncertain = "" if asked.preset else refusal_of(label)
    if uncertain:
        raise InvalidData(uncertain)
    with opened(entry) as stream:
        head, layers = stream.head(), stream.layers
        form = sniff(head)
        shaped = preset_named(asked.preset, label) if asked.preset else shaped_as(head)
        if shaped is not None and shaped.shape:
            wanted = asked.dataset.kind if asked.dataset else ""
            told = named(shaped, label, asked.names)
            length = str(asked.dataset.timeframe or "") if asked.dataset else ""
            return FilePlan(
                entry, form, layers, shaped, "", said, told, wanted=wanted, timeframe=length, markets=asked.names
            )
        layout = layout_of(head, header=said.header, skip=said.skip or None) if form is Format.CSV else None
        try:
            raw = sample_of(stream, form, entry, layout)
        except InvalidData:
            _drain(stream)
            raise
    if raw is None or not raw.height:
        raise InvalidData("the file has no rows")
    has_names = layout.named if layout else not raw.columns[0].isdigit()
    preset = preset_named(asked.preset, label) if asked.preset else preset_of(label, raw.columns, named=has_names)
    raw, layout = _with_names(raw, layout, preset, has_names=has_names)
    raw = one_row_a_level(raw) if preset.wide else raw
    kind, mapping = _mapping(raw, preset, asked, has_names=has_names or bool(preset.names))
    _refuse_incomplete(mapping, kind, raw)
    mapping = _settled(raw, _placed(mapping, label, preset, asked), kind, asked)
    told = named(preset, label, asked.names)
    return FilePlan(entry, form, layers, preset, kind, mapping, told, layout, markets=asked.names)


def parts_of(plan: FilePlan, now: int, chunk: int = CHUNK, *, tally: Tally | None = None) -> Iterator[Part]:
    """Yield the rows of a file, chunk by chunk, in the order they came; *tally* counts recorded messages.

    Raises
    ------
    InvalidData
        If the file is damaged, or a value is not what its column says.
    """
    with opened(plan.entry) as stream:
        if plan.preset.shape:
            yield from (_shaped_part(one, plan, now) for one in _shaped(stream, plan, tally or Tally()))
            return
        first = 1 + (plan.layout.skip if plan.layout else 0)
        for raw in _raw_frames(stream, plan, chunk):
            places = pl.Series(range(first, first + raw.height), dtype=pl.Int64)
            first += raw.height
            for market in _by_market(raw, plan):
                mapped = map_rows(raw.filter(market.rows), plan.mapping, plan.kind, now)
                own = None if plan.preset.wide else places.filter(market.rows)
                yield Part(mapped, plan.kind, *market.names, space=plan.preset.id_space, places=own)


def _shaped(stream: Unpacked, plan: FilePlan, tally: Tally) -> Iterator[Shaped]:
    """Yield what a shape finds; a record that is not as its sort says is a reason to refuse the file."""
    try:
        if plan.preset.shape in SESSIONS:
            yield from SESSIONS[plan.preset.shape](stream, _session_of(plan, tally))
        else:
            yield from SHAPES[plan.preset.shape](stream, plan.entry)
    except (LookupError, TypeError, ValueError, AttributeError) as error:
        if isinstance(error, TicklakeError):
            raise
        raise InvalidData(f"a record is not as {plan.preset.name} has them: {type(error).__name__} {error}") from error


def _session_of(plan: FilePlan, tally: Tally) -> Session:
    said = plan.markets
    tally.exchange = plan.named.exchange or said.exchange
    has_times = "ts" in plan.mapping.constants
    return Session(plan.entry.name, said.exchange, said.symbol, plan.timeframe, has_times, tally)


def _shaped_part(one: Shaped, plan: FilePlan, now: int) -> Part:
    """Return rows in their kind's types; rows of a kind that is not wanted are only counted."""
    rows = one.frame
    if plan.wanted in ("", one.kind):
        columns = {name: name for name in rows.columns if name not in plan.mapping.constants}
        rows = map_rows(rows, plan.mapping.over(Mapping(columns)), one.kind, now)
    exchange = one.exchange or plan.named.exchange or plan.markets.exchange
    market = one.market or plan.preset.market
    _refuse_other_market(exchange, one.market)
    symbol = plan.markets.unified(one.native, market, exchange) if one.native else None
    return Part(rows, one.kind, symbol or one.native, one.timeframe, one.exchange, one.market is not None, one.space)


def _refuse_other_market(exchange: str, market: Market | None) -> None:
    """Refuse messages of one part of Binance that are said to be of another."""
    home = HOME_MARKET.get(exchange) if exchange.startswith("binance") else None
    if home is not None and market not in (None, home):
        raise InvalidData(
            f"its messages are of Binance's {CALLED[market]}, not of {exchange}: "
            f"say --exchange {_BINANCE[market]}, or --exchange binance"
        )


_BINANCE: dict[Market, str] = {"spot": "binance", "linear": "binanceusdm", "inverse": "binancecoinm"}


def _drain(stream: Unpacked) -> None:
    """Read on to the end: if the packing itself is damaged, that is the reason why nothing can be read."""
    while stream.read(CHUNK):
        pass


def _raw_frames(stream: Unpacked, plan: FilePlan, chunk: int) -> Iterator[pl.DataFrame]:
    for raw in frames_of(stream, plan.form, plan.entry, plan.layout, chunk):
        if raw.height:
            named_so = _with_names(raw, None, plan.preset, has_names=not raw.columns[0].isdigit())[0]
            yield one_row_a_level(named_so) if plan.preset.wide else named_so


def _with_names(
    raw: pl.DataFrame, layout: Layout | None, preset: Preset, *, has_names: bool
) -> tuple[pl.DataFrame, Layout | None]:
    """Give columns without names those of the preset."""
    if has_names or not preset.names or len(preset.names) > raw.width:
        return raw, layout
    names = (*preset.names, *raw.columns[len(preset.names) :])
    return raw.rename(dict(zip(raw.columns, names, strict=True))), layout and replace(layout, names=names)


def _mapping(raw: pl.DataFrame, preset: Preset, asked: Asked, *, has_names: bool) -> tuple[str, Mapping]:
    said = asked.mapping
    wanted = asked.dataset.kind if asked.dataset else None
    if preset is not GENERIC:
        return preset.kind, said.over(preset.mapping)
    columns = {*said.columns, *said.constants}
    told = kind_by_columns(columns)
    if told is not None and wanted in (None, told):
        return told, said
    kind, guessed = guess(raw, named=has_names, kind=wanted or told)
    return kind, said.over(guessed)


def _refuse_incomplete(mapping: Mapping, kind: str, raw: pl.DataFrame) -> None:
    known = {MADE_OF.get(name, name) for name in (*mapping.columns, *mapping.constants)}
    missing = [name for name in kind_of(kind).required if name not in known]
    any_of = kind_of(kind).any_of
    if missing:
        words = " or ".join(missing)
    elif any_of and not known.intersection(any_of):
        words = " or ".join(any_of)
        missing = [any_of[0]]
    else:
        return
    others = [name for name in raw.columns if name not in mapping.columns.values()]
    raise InvalidData(
        f"no column can be told to be {words} of {kind}: not understood are {', '.join(others)[:300] or 'none'}; "
        f"say which is which, like columns={{{missing[0]!r}: '...'}} (--columns {missing[0]}=...)"
    )


def _placed(mapping: Mapping, label: str, preset: Preset, asked: Asked) -> Mapping:
    """Let times count from the midnight of the day in the name, or move them by a bar, if the preset says so."""
    if preset.at_open:
        timeframe = asked.dataset.timeframe if asked.dataset else None
        bar = bar_of(preset, label) or (timeframe.length if timeframe else 0)
        if not bar:
            raise InvalidData("its bars are named by their ends, and nothing says how long they are: name the dataset")
        return replace(mapping, shift=mapping.shift - bar)
    if preset.at_close:
        mapping = replace(mapping, shift=mapping.shift + bar_of(preset, label))
    mapping = replace(mapping, zone=mapping.zone or _zone_of(preset, label, asked))
    if not preset.day_zone or mapping.since:
        return mapping
    day = day_of(preset, label)
    if day is None:
        raise InvalidData(
            f"its times count from midnight, and its name does not say of which day: {label!r}; say it, like --since 2013-10-07"
        )
    return replace(mapping, since=day)


def _zone_of(preset: Preset, label: str, asked: Asked) -> str:
    """Return the zone of the times of a preset's files, which may be that of the feed."""
    if not preset.feeds or asked.mapping.zone:
        return preset.day_zone
    feed = named(preset, label, asked.names).exchange or asked.names.exchange
    zone = preset.feeds.get(feed, preset.feeds.get(""))
    if zone is None:
        known = ", ".join(f"{name} {zone}" for name, zone in preset.feeds.items())
        raise InvalidTime(
            f"the zone of its times depends on the feed ({known}), and {feed or 'which it is'} is not known: "
            "say --exchange, or the zone with --zone"
        )
    return zone


def _settled(raw: pl.DataFrame, mapping: Mapping, kind: str, asked: Asked) -> Mapping:
    """Fill in the unit of times, and refuse local times whose zone nobody said."""
    theirs = mapping.columns.get("ts")
    if theirs is None or mapping.since:
        return mapping
    sample = cells_of(raw, theirs)
    if is_counted(sample) or mapping.unit:
        return replace(mapping, unit=mapping.unit or unit_of(_largest(sample)))
    if mapping.zone or has_zone(sample) or "%z" in mapping.time_format:
        return mapping
    raise InvalidTime(_zone_wanted(sample, theirs, kind, mapping, asked))


def _largest(counts: pl.Series) -> int:
    text = counts.cast(pl.String).str.extract(r"^(\d+)", 1).cast(pl.Int64, strict=False).drop_nulls()
    return int(text.sort()[-1]) if text.len() else 0


def _zone_wanted(sample: pl.Series, theirs: str, kind: str, mapping: Mapping, asked: Asked) -> str:
    hint = ""
    if kind == "funding":
        local = read_times(sample, TimeWords(zone="UTC", form=mapping.time_format), asked.now)
        hint = f" ({zone_hint(funding_shift(local, asked.dataset.exchange if asked.dataset else ''))})"
    return (
        f"column {theirs!r} has times like {sample.drop_nulls()[0]!r} without a zone{hint}: say where they are local with "
        "zone='Europe/Moscow', or zone='UTC' (--zone)"
    )


@dataclass(frozen=True, slots=True)
class _Market:
    """Which rows of a frame are of one market, and what they say of it: symbol, timeframe, exchange."""

    rows: pl.Series
    names: tuple[str, str, str] = ("", "", "")


def _by_market(raw: pl.DataFrame, plan: FilePlan) -> Iterator[_Market]:
    """Tell which rows are of which exchange, symbol and timeframe, as far as those stand in them."""
    columns = plan.mapping.columns
    counts = _flags(raw, plan.preset.only)
    owners = {ours: cells_of(raw, columns[ours]).cast(pl.String) for ours in _OWNERS if ours in columns}
    if not owners:
        yield _Market(counts)
        return
    table = pl.DataFrame([cells.alias(ours) for ours, cells in owners.items()])
    for found in table.unique(maintain_order=True).iter_rows(named=True):
        same = pl.all_horizontal(pl.col(ours).eq_missing(pl.lit(text)) for ours, text in found.items())
        exchange, market = venue_of(found.get("exchange") or "")
        native = found.get("symbol") or ""
        where = exchange or plan.named.exchange
        if market is None and where in plan.preset.derivatives:
            market = contract_market(native, where)
        symbol = plan.markets.unified(native, market or plan.preset.market, where) or native
        rows = table.select(same).to_series() & counts
        if rows.any():
            yield _Market(rows, (symbol, found.get("timeframe") or "", exchange))


def _flags(raw: pl.DataFrame, column: str) -> pl.Series:
    """Return which rows count: those of which a column is true, or all if it is not there."""
    if not column or column not in raw.columns:
        return pl.Series([True]).new_from_index(0, raw.height)
    return raw[column].cast(pl.String).str.to_lowercase().is_in(["true", "1", "1.0"]).fill_null(False)


_OWNERS = ("exchange", "symbol", "timeframe")
