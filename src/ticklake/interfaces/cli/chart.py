"""A chart of characters: candles of bars, or the range of prices of trades, over time; holes are shaded, not joined.

A line of it is a list of texts, each with its style in rich's words.
"""

from __future__ import annotations

import sys
from collections import Counter
from collections.abc import Collection, Iterator, Sequence
from shutil import get_terminal_size
from typing import TYPE_CHECKING

import polars as pl

from ticklake.core.dataset import Dataset
from ticklake.core.display import GAP_COLOURS
from ticklake.core.gaps import Gap, GapReason, gaps_within
from ticklake.core.span import Span
from ticklake.core.time import SECOND, format_time
from ticklake.errors import BadInput
from ticklake.interfaces.cli.chart_axis import Axis, Subject, axis_of_bars, axis_of_time, time_labels
from ticklake.interfaces.cli.chart_candles import Candle, Scale, candle_cells, price_labels, range_cells, scale_of
from ticklake.interfaces.cli.output import console, count_of

if TYPE_CHECKING:
    from ticklake.lake.view import View

__all__ = ["Line", "Subject", "chart", "columns_to_draw", "print_chart"]

Line = list[tuple[str, str]]

_SOFT = "dim"
_BAR_PRICES = ["open", "high", "low", "close"]
_BLOCKS = " ▁▂▃▄▅▆▇█"
_LETTERS = {
    GapReason.NOT_FETCHED: "n",
    GapReason.NO_TRADES: "t",
    GapReason.OUTAGE: "o",
    GapReason.UNAVAILABLE: "u",
    GapReason.LOST: "l",
    GapReason.INVALID: "i",
}
_NARROWEST, _LOWEST, _VOLUME_LINES, _WIDEST_VOLUME = 20, 5, 3, 5


def print_chart(view: View, dataset: Dataset, rows: pl.DataFrame, subject: Subject | None = None) -> None:
    """Print a chart that fills the terminal; in colours if it has them, and ``NO_COLOR`` is not set.

    Parameters
    ----------
    dataset
        The one whose holes are drawn.
    subject
        What the rows are, if they are not those of the dataset but made of them.
    """
    from rich.text import Text

    _check_encoding(sys.stdout.encoding)
    gaps: list[Gap] = []
    subject = subject or Subject.of(dataset)
    if not rows.is_empty():
        span = _span_of(rows, subject)
        gaps = view.gaps(dataset, span.start, span.end)
    size = get_terminal_size()
    printer = console(width=size.columns)
    # A line is left for the prompt.
    for line in chart(rows, subject, gaps, size.columns, size.lines - 1):
        printer.print(Text.assemble(*line, end=""), soft_wrap=True)


def _check_encoding(encoding: str) -> None:
    try:
        _BLOCKS.encode(encoding)
    except UnicodeEncodeError as error:
        raise BadInput(
            f"a chart is made of characters that {encoding} does not have: set PYTHONIOENCODING=utf-8"
        ) from error


def columns_to_draw(dataset: Dataset) -> list[str]:
    """Return the columns that a chart of the dataset's rows needs.

    Raises
    ------
    BadInput
        If it holds neither bars nor trades.
    """
    known = dataset.spec.names
    if set(_BAR_PRICES) <= set(known):
        return ["ts", *_BAR_PRICES, *(name for name in ("volume", "close_time") if name in known)]
    if dataset.kind == "trades":
        return ["ts", "price", "amount"]
    raise BadInput(f"--chart draws bars and trades, not {dataset.kind}")


def chart(rows: pl.DataFrame, subject: Subject, gaps: Sequence[Gap], width: int, height: int) -> list[Line]:
    """Return the lines of a chart of sorted rows, at most *width* characters wide and *height* lines high if they are enough.

    Parameters
    ----------
    rows
        Bars or trades with the columns of :func:`columns_to_draw`.
    gaps
        Their holes; those before the first or after the last row are left out.
    """
    prices = _prices(rows)
    rows = rows.with_columns(pl.col(prices).fill_nan(None)).drop_nulls(prices)
    if rows.is_empty():
        return [[("no rows to draw", "")]]
    span = _span_of(rows, subject)
    holes = gaps_within(gaps, span)
    has_volume = _has_volume(rows)
    scale = _scale_for(rows.select(prices), height, has_holes=bool(holes), has_volume=has_volume)
    labels = price_labels(scale)
    margin = max(map(len, [*labels.values(), " " * _WIDEST_VOLUME * has_volume]), default=0)
    room = max(width - margin - 2, _NARROWEST)
    axis = axis_of_time(span, room)
    if prices == _BAR_PRICES:
        axis = axis_of_bars(rows["ts"].to_physical(), holes, subject.grid, room)
    candles = _candles(rows, axis)
    drawn = [_title(rows, subject, axis), _period(rows)]
    for line, cells in enumerate(_price_cells(candles, axis, scale, _shading(holes, axis))):
        drawn.append([_edge(labels.get(line, ""), margin, is_tick=line in labels), *cells])
    if holes:
        drawn.append([_edge("", margin), *_letters(holes, axis, candles)])
    if has_volume:
        drawn += _volume_lines(candles, axis, margin)
    ruler, times = time_labels(axis, room)
    drawn.append([(" " * margin + " └" + ruler, _SOFT)])
    drawn.append([(" " * (margin + 2) + times, _SOFT)])
    if holes:
        drawn.append(_legend(holes))
    return drawn


def _edge(label: str, margin: int, *, is_tick: bool = False) -> tuple[str, str]:
    """Return what stands left of a line's columns."""
    if is_tick:
        return f"{label.rjust(margin)} ┤", _SOFT
    return f"{label.rjust(margin)} │", _SOFT


def _prices(rows: pl.DataFrame) -> list[str]:
    if "price" in rows.columns:
        return ["price"]
    return _BAR_PRICES


def _has_volume(rows: pl.DataFrame) -> bool:
    names = {"volume", "amount"}.intersection(rows.columns)
    return any(rows[name].null_count() < rows.height for name in names)


def _span_of(rows: pl.DataFrame, subject: Subject) -> Span:
    first, last = int(rows["ts"].to_physical()[0]), int(rows["ts"].to_physical()[-1])
    end = last + 1
    if "close_time" in rows.columns:
        end = max(int(rows["close_time"].to_physical()[-1]), end)
    if subject.grid is not None:
        # The last bar reaches to its close, which its row does not say.
        end = max(subject.grid.timeframe.next(last, subject.grid.anchor), end)
    return Span(first, end)


def _candles(rows: pl.DataFrame, axis: Axis) -> dict[int, Candle]:
    """Return what each column shows, by its number, of those with rows."""
    starts = pl.Series(axis.starts, dtype=pl.Int64)
    column = starts.search_sorted(rows["ts"].to_physical(), side="right")
    names = ("open", "high", "low", "close", "volume")
    if "price" in rows.columns:
        names = ("price", "price", "price", "price", "amount")
    opened, high, low, close, volume = map(pl.col, names)
    if names[-1] not in rows.columns:
        volume = pl.lit(None, pl.Float64)
    grouped = rows.group_by((column.cast(pl.Int64) - 1).alias("column"), maintain_order=True).agg(
        open=opened.first(),
        high=high.max(),
        low=low.min(),
        close=close.last(),
        volume=pl.when(volume.is_not_null().any()).then(volume.sum()),
    )
    return {column: Candle(*values) for column, *values in grouped.iter_rows()}


def _scale_for(prices: pl.DataFrame, height: int, *, has_holes: bool, has_volume: bool) -> Scale:
    """Return the scale of the lines that the others leave."""
    others = 4 + 2 * has_holes + _VOLUME_LINES * has_volume
    lowest = min(float(column.min()) for column in prices)  # type: ignore[arg-type]
    highest = max(float(column.max()) for column in prices)  # type: ignore[arg-type]
    return scale_of(lowest, highest, max(height - others, _LOWEST))


def _title(rows: pl.DataFrame, subject: Subject, axis: Axis) -> Line:
    what = "bar"
    if axis.bars == 0:
        what = "trade"
    text = f", {count_of(rows.height, what)}"
    if axis.bars > 1:
        text += f", {axis.bars} in each column"
    return [(subject.name, "bold"), (text, "")]


def _period(rows: pl.DataFrame) -> Line:
    times = rows["ts"].to_physical()
    first, last = (format_time(int(ts) // SECOND * SECOND) for ts in (times[0], times[-1]))
    return [(f"{first} to {last}", _SOFT)]


def _price_cells(candles: dict[int, Candle], axis: Axis, scale: Scale, shading: dict[int, str]) -> Iterator[Line]:
    """Yield the columns' characters of each line, from above."""
    columns: list[Line] = []
    for number in range(len(axis.starts)):
        candle = candles.get(number)
        if candle is not None and axis.bars:
            columns.append(list(candle_cells(candle, scale, axis.step)))
        elif candle is not None:
            columns.append(list(range_cells(candle, scale)))
        elif number in shading:
            columns.append([("░" * axis.step, shading[number])] * scale.lines)
        else:
            # Without rows it stays empty, and its neighbours are not joined: what nobody knows is not drawn.
            columns.append([(" " * axis.step, "")] * scale.lines)
    for line in range(scale.lines):
        yield [column[line] for column in columns]


def _shading(holes: Sequence[Gap], axis: Axis) -> dict[int, str]:
    return {column: GAP_COLOURS[reason] for column, reason in _reasons(holes, axis).items()}


def _reasons(holes: Sequence[Gap], axis: Axis) -> dict[int, GapReason]:
    """Return why rows are missing in each column in which some are; one reason of several, of rows that should be there if any."""
    reasons: dict[int, GapReason] = {}
    for hole in holes:
        for column in range(axis.column_of(hole.span.start), axis.column_of(hole.span.end - 1) + 1):
            before = reasons.get(column)
            if before is None or not before.is_missing:
                reasons[column] = hole.reason
    return reasons


def _letters(holes: Sequence[Gap], axis: Axis, candles: Collection[int]) -> Line:
    reasons = _reasons(holes, axis)
    cells: Line = []
    for column in range(len(axis.starts)):
        reason = reasons.get(column)
        # A quiet minute beside others that are shown is no hole in the chart.
        if reason is None or (column in candles and not reason.is_missing):
            cells.append((" " * axis.step, ""))
        else:
            cells.append((_LETTERS[reason].ljust(axis.step), GAP_COLOURS[reason]))
    return cells


def _legend(holes: Sequence[Gap]) -> Line:
    counts = Counter(hole.reason for hole in holes)
    line: Line = [("░ holes: ", _SOFT)]
    for place, reason in enumerate(sorted(counts)):
        line.append((", " * bool(place) + f"{counts[reason]:,} {reason} ({_LETTERS[reason]})", GAP_COLOURS[reason]))
    return line


def _volume_lines(candles: dict[int, Candle], axis: Axis, margin: int) -> Iterator[Line]:
    most = max(candle.volume or 0.0 for candle in candles.values()) or 1.0
    label = _short(most)
    for line in reversed(range(_VOLUME_LINES)):
        cells: Line = [_edge(label, margin)]
        # Beside the highest line only: it is what a full column stands for.
        label = ""
        for column in range(len(axis.starts)):
            candle = candles.get(column)
            eighths = 0
            if candle is not None and candle.volume:
                # At least an eighth: a little was traded, which is not nothing.
                eighths = max(round(candle.volume / most * 8 * _VOLUME_LINES), 1)
            cells.append((_BLOCKS[min(max(eighths - 8 * line, 0), 8)].ljust(axis.step), _SOFT))
        yield cells


def _short(number: float) -> str:
    """Write a volume in five characters.

    >>> _short(12.3456), _short(1234567)
    ('12.3', '1.23M')
    """
    for unit, size in (("T", 1e12), ("G", 1e9), ("M", 1e6), ("k", 1e3)):
        if number >= size:
            return f"{number / size:.3g}{unit}"[:_WIDEST_VOLUME]
    return f"{number:.3g}"[:_WIDEST_VOLUME]
