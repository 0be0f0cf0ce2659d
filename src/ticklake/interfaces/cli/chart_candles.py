"""How prices become characters: two halves a character, for the range of a candle and its body."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from math import ceil, floor, isfinite, log10

from ticklake.errors import BadInput

__all__ = ["Candle", "Scale", "candle_cells", "price_labels", "range_cells", "scale_of"]

_ROSE, _FELL = "green", "red"
# What each half of a character shows: nothing, the thin line between low and high, the body between open and close.
_NOTHING, _RANGE, _BODY = range(3)
_THIN = {
    (_NOTHING, _NOTHING): " ", (_RANGE, _RANGE): "│", (_NOTHING, _RANGE): "╷", (_RANGE, _NOTHING): "╵",
}  # fmt: skip
_WHEN_RISEN = _THIN | {
    (_BODY, _BODY): "┃", (_NOTHING, _BODY): "╻", (_BODY, _NOTHING): "╹", (_RANGE, _BODY): "╽", (_BODY, _RANGE): "╿",
}  # fmt: skip
_WHEN_FALLEN = _THIN | {
    (_BODY, _BODY): "█", (_NOTHING, _BODY): "▄", (_BODY, _NOTHING): "▀", (_RANGE, _BODY): "▄", (_BODY, _RANGE): "▀",
}  # fmt: skip


@dataclass(frozen=True, slots=True)
class Candle:
    """What one column of the chart shows; without bars only the range counts."""

    open: float
    high: float
    low: float
    close: float
    volume: float | None


@dataclass(frozen=True, slots=True)
class Scale:
    """Which of the half lines of the chart, counted from below, a price is on."""

    low: float
    high: float
    lines: int

    def level(self, price: float) -> int:
        """Return the half line of a price."""
        return round((price - self.low) / (self.high - self.low) * (2 * self.lines - 1))


def scale_of(low: float, high: float, lines: int) -> Scale:
    """Return the scale on which the lowest price is on the lowest half line and the highest on the highest.

    Raises
    ------
    BadInput
        If one of them is no finite number.
    """
    if not (isfinite(low) and isfinite(high)):
        raise BadInput("a price is no finite number: a chart has no place for it")
    if low == high:
        # One price: it is drawn in the middle.
        around = abs(low) * 0.01 or 1.0
        return Scale(low - around, high + around, lines)
    return Scale(low, high, lines)


def price_labels(scale: Scale) -> dict[int, str]:
    """Return round prices by the line that they are on, counted from above: one in two lines, or fewer."""
    rough = (scale.high - scale.low) / max(scale.lines / 2, 1)
    unit = 10.0 ** floor(log10(rough))
    step = next(factor * unit for factor in (1, 2, 5, 10) if factor * unit >= rough)
    decimals = max(0, -floor(log10(step)))
    labels: dict[int, str] = {}
    for number in range(ceil(scale.low / step), floor(scale.high / step) + 1):
        price = number * step
        labels[scale.lines - 1 - scale.level(price) // 2] = f"{price:,.{decimals}f}"
    return labels


def candle_cells(candle: Candle, scale: Scale, step: int) -> Iterator[tuple[str, str]]:
    """Yield the characters of a candle from above."""
    body = sorted((scale.level(candle.open), scale.level(candle.close)))
    low, high = scale.level(candle.low), scale.level(candle.high)
    characters, style = _WHEN_RISEN, _ROSE
    if candle.close < candle.open:
        characters, style = _WHEN_FALLEN, _FELL
    for line in reversed(range(scale.lines)):
        halves = tuple(_part(level, low, high, body) for level in (2 * line + 1, 2 * line))
        yield characters[halves].ljust(step), style  # type: ignore[index]


def _part(level: int, low: int, high: int, body: Sequence[int]) -> int:
    if body[0] <= level <= body[1]:
        return _BODY
    if low <= level <= high:
        return _RANGE
    return _NOTHING


def range_cells(candle: Candle, scale: Scale) -> Iterator[tuple[str, str]]:
    """Yield the characters of the range of prices from above."""
    low, high = scale.level(candle.low), scale.level(candle.high)
    for line in reversed(range(scale.lines)):
        upper, lower = low <= 2 * line + 1 <= high, low <= 2 * line <= high
        yield {(True, True): "█", (True, False): "▀", (False, True): "▄", (False, False): " "}[upper, lower], ""
