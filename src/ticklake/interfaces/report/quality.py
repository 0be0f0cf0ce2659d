"""The quality of a lake as one HTML page without scripts or other files, so that it can be sent by mail."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from jinja2 import Environment, PackageLoader, StrictUndefined

from ticklake.core.dataset import Dataset
from ticklake.core.gaps import GapReason
from ticklake.core.metrics import format_score, format_share
from ticklake.core.quality import Holes, Quality, incomplete, shown_metrics, total
from ticklake.core.time import DAY, HOUR, MINUTE, SECOND, format_time
from ticklake.interfaces.report.strips import Strip, strip_of

__all__ = ["quality_page"]

MEANINGS = {
    GapReason.NOT_FETCHED: "never asked, or asking failed: ticklake backfill brings it",
    GapReason.UNAVAILABLE: "the exchange no longer serves it: import it from elsewhere",
    GapReason.LOST: "served, but not whole: ask again with --retry, or take another source",
    GapReason.INVALID: "rows came and could not be true: they are in quarantine",
    GapReason.NO_TRADES: "asked, and nothing was traded: nothing is missing",
    GapReason.OUTAGE: "every symbol of the exchange was silent: nothing is missing",
}
_UNITS = (("years", 365 * DAY), ("days", DAY), ("hours", HOUR), ("minutes", MINUTE), ("seconds", SECOND))


@dataclass(frozen=True, slots=True)
class _Row:
    """A dataset on the page."""

    anchor: str
    quality: Quality
    strip: Strip

    @property
    def grade(self) -> str:
        score = self.quality.score
        if score is None:
            return "unknown"
        if score >= 99:
            return "good"
        if score >= 90:
            return "fair"
        return "bad"


@dataclass(frozen=True, slots=True)
class _ReasonRow:
    """A reason for gaps: what it means, the sum of its holes, and the datasets that have some."""

    reason: str
    meaning: str
    holes: Holes
    datasets: tuple[Dataset, ...]
    excused: bool


@dataclass(frozen=True, slots=True)
class _Refusal:
    """A reason for refused rows: how many there are, and the datasets that have some."""

    reason: str
    rows: int
    datasets: tuple[Dataset, ...]


def quality_page(qualities: Sequence[Quality], lake: str, now: int, tool: str) -> str:
    """Return the page as HTML text.

    Parameters
    ----------
    qualities
        Those of the datasets to show, in this order.
    lake
        The name of the lake.
    now
        When they were measured, in nanoseconds.
    tool
        Name and version of the program that measured them.
    """
    environment = Environment(
        loader=PackageLoader("ticklake.interfaces.report", "templates"),
        autoescape=True,
        # A misspelled name in the template is an error, and not an empty cell.
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters |= {
        "number": _number,
        "share": format_share,
        "points": format_score,
        "lasting": _duration_text,
        "moment": format_time,
    }
    rows = [_Row(f"d{number}", quality, strip_of(quality.days)) for number, quality in enumerate(qualities, 1)]
    return environment.get_template("quality.html").render(
        lake=lake,
        now=now,
        tool=tool,
        rows=rows,
        metrics=[metric for metric in shown_metrics() if metric.on_page and metric.name != "score"],
        sums=total(qualities),
        incomplete=incomplete(qualities),
        words=list(_reasons(qualities)),
        refusals=sorted(_refusals(qualities), key=lambda refusal: -refusal.rows),
    )


def _reasons(qualities: Sequence[Quality]) -> Iterable[_ReasonRow]:
    # In a fixed order and not by size: whoever compares pages finds a reason in the same place.
    for reason, meaning in MEANINGS.items():
        holes, datasets = Holes(), []
        for quality in qualities:
            if reason in quality.gaps:
                holes += quality.gaps[reason]
                datasets.append(quality.dataset)
        if datasets:
            yield _ReasonRow(str(reason), meaning, holes, tuple(datasets), not reason.is_missing)


def _refusals(qualities: Sequence[Quality]) -> Iterable[_Refusal]:
    rows: Counter[str] = Counter()
    datasets: dict[str, list[Dataset]] = {}
    for quality in qualities:
        for reason, count in quality.quarantined.items():
            rows[reason] += count
            datasets.setdefault(reason, []).append(quality.dataset)
    for reason in sorted(rows):
        yield _Refusal(reason.replace("_", " "), rows[reason], tuple(datasets[reason]))


def _number(number: int | None) -> str:
    if number is None:
        return "?"
    return f"{number:,}"


def _duration_text(ns: int | None) -> str:
    """Write a length of time in the largest unit of which it is at least two."""
    if not ns:
        return ""
    if ns < SECOND:
        return "an instant"
    for unit, length in _UNITS:
        if ns >= 2 * length:
            return f"{ns // length:,} {unit}"
    return f"{ns // SECOND:,} seconds"
