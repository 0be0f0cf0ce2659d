"""Candles for notebooks: bars with their volume, and their holes shaded, as a chart of Altair.

Altair is an optional part, imported on use.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import polars as pl

from ticklake.core.dataset import Dataset
from ticklake.core.display import GAP_COLOURS
from ticklake.core.gaps import Gap, gaps_within
from ticklake.core.knowledge import happened_at
from ticklake.core.span import Span
from ticklake.core.time import MS, format_time
from ticklake.errors import BadInput, MissingExtra

if TYPE_CHECKING:
    import altair as alt

__all__ = ["FEW_BARS", "MOST_BARS", "draw_candles"]

FEW_BARS = 500
"""So many of the newest bars are drawn where nothing else is asked for."""
MOST_BARS = 10_000
"""More bars than pixels: a browser takes seconds for them, and shows less."""
_ROSE, _FELL = "#14907d", "#cf5436"
_WIDTH, _PRICES_HEIGHT, _VOLUME_HEIGHT = 820, 320, 80
_PART = 0.8
"""How much of a bar's time its body takes, so that neighbours stand apart."""


def draw_candles(bars: pl.DataFrame, dataset: Dataset, gaps: Sequence[Gap]) -> alt.VConcatChart:
    """Return a chart of sorted bars: candles above, their volume below, and holes shaded in the colour of their reason.

    Raises
    ------
    BadInput
        If there are no bars, or more than :data:`MOST_BARS`.
    MissingExtra
        If Altair is not installed.
    """
    if bars.is_empty():
        raise BadInput(f"{dataset} has no bars to draw there")
    if bars.height > MOST_BARS:
        raise BadInput(
            f"{bars.height:,} bars are more than the {MOST_BARS:,} that can be drawn: "
            "ask for a shorter time, for last=500, or for a longer timeframe"
        )
    try:
        import altair as alt
    except ImportError as error:
        raise MissingExtra("charts in notebooks need Altair: pip install 'ticklake[plot]'") from error
    closes = happened_at(bars, dataset)
    opens = bars["ts"].to_physical()
    holes = gaps_within(gaps, Span(int(opens[0]), int(closes[-1])))
    # Given as values: Altair refuses frames of more than 5,000 rows, unless all charts of the process may have more.
    candles = alt.Chart(alt.InlineData(values=_candle_values(bars, opens, closes)))
    shades = alt.Chart(alt.InlineData(values=_hole_values(holes)))
    zoom = alt.selection_interval(bind="scales", encodings=["x"])
    shown = [_ranges(candles), _bodies(candles)]
    below = [_volumes(candles)]
    if holes:
        shown.insert(0, _shade(shades, holes))
        below.insert(0, _shade(shades))
    prices = alt.layer(*shown).properties(width=_WIDTH, height=_PRICES_HEIGHT, title=str(dataset))
    volumes = alt.layer(*below).properties(width=_WIDTH, height=_VOLUME_HEIGHT)
    # Both follow: they share the axis.
    chart: alt.VConcatChart = alt.vconcat(prices.add_params(zoom), volumes, spacing=6).resolve_scale(x="shared")
    return chart


def _candle_values(bars: pl.DataFrame, opens: pl.Series, closes: pl.Series) -> list[dict[str, Any]]:
    """Return a mapping for each bar; times are milliseconds, as in browsers."""
    ends = opens + ((closes - opens) * _PART).cast(pl.Int64)
    values = bars.select(
        pl.Series("time", list(map(format_time, opens.to_list()))),
        pl.Series("left", opens // MS),
        pl.Series("middle", (opens + ends) // 2 // MS),
        pl.Series("right", ends // MS),
        *("open", "high", "low", "close", "volume"),
        rose=pl.col("close") >= pl.col("open"),
    )
    return values.to_dicts()


def _hole_values(holes: Sequence[Gap]) -> list[dict[str, Any]]:
    values: list[dict[str, Any]] = []
    for hole in holes:
        start, end = hole.span
        values.append(
            {
                "left": start // MS,
                "right": end // MS,
                "reason": str(hole.reason),
                "from": format_time(start),
                "to": format_time(end),
                "missing": hole.missing,
                "detail": hole.detail,
            }
        )
    return values


def _time_axis() -> alt.X:
    import altair as alt

    # UTC, as everywhere; a browser would show its own time zone.
    return alt.X("left:T").scale(type="utc").axis(title=None)


def _ranges(candles: alt.Chart) -> alt.Chart:
    """Return the thin lines from low to high."""
    import altair as alt

    low = alt.Y("low:Q").scale(zero=False).axis(title=None, orient="right")
    middle = alt.X("middle:T").scale(type="utc")
    lines: alt.Chart = candles.mark_rule().encode(x=middle, y=low, y2="high:Q", color=_colour(), tooltip=_shown())
    return lines


def _bodies(candles: alt.Chart) -> alt.Chart:
    """Return the boxes from open to close; their frame shows also where both are the same."""
    import altair as alt

    opened = alt.Y("open:Q").scale(zero=False)
    boxes: alt.Chart = candles.mark_rect(strokeWidth=1).encode(
        x=_time_axis(), x2="right:T", y=opened, y2="close:Q", color=_colour(), stroke=_colour(), tooltip=_shown()
    )
    return boxes


def _volumes(candles: alt.Chart) -> alt.Chart:
    import altair as alt

    volume = alt.Y("volume:Q").axis(title="volume", orient="right", tickCount=2)
    boxes: alt.Chart = candles.mark_rect(opacity=0.6).encode(
        x=_time_axis(), x2="right:T", y=volume, color=_colour(), tooltip=_shown()
    )
    return boxes


def _shade(shades: alt.Chart, in_legend: Sequence[Gap] = ()) -> alt.Chart:
    import altair as alt

    colour = alt.Color("reason:N").scale(domain=list(GAP_COLOURS), range=list(GAP_COLOURS.values())).legend(None)
    if in_legend:
        colour = colour.legend(title="holes", values=sorted({str(hole.reason) for hole in in_legend}))
    tooltip = ["reason:N", "from:N", "to:N", "missing:Q", "detail:N"]
    shaded: alt.Chart = shades.mark_rect(opacity=0.35).encode(
        x=_time_axis(), x2="right:T", color=colour, tooltip=tooltip
    )
    return shaded


def _colour() -> Any:
    import altair as alt

    return alt.condition("datum.rose", alt.value(_ROSE), alt.value(_FELL))


def _shown() -> list[str]:
    return ["time:N", "open:Q", "high:Q", "low:Q", "close:Q", "volume:Q"]
