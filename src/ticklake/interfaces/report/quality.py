"""The quality of a lake as one page that stands alone: no script, nothing to load, readable when mailed."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from jinja2 import Environment, PackageLoader, StrictUndefined

from ticklake.core.dataset import Dataset
from ticklake.core.gaps import GapReason
from ticklake.core.metrics import format_score, format_share
from ticklake.core.quality import Holes, Quality, shown_metrics, total
from ticklake.core.time import DAY, HOUR, MINUTE, SECOND, format_time
from ticklake.interfaces.report.strips import Strip, strip_of

__all__ = ["quality_page"]

WORDS = {
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
class _Word:
    """A reason for gaps: what it means, what it comes to, and in which datasets."""

    reason: str
    meaning: str
    holes: Holes
    datasets: tuple[Dataset, ...]
    excused: bool


@dataclass(frozen=True, slots=True)
class _Refusal:
    """A reason for refusing rows: how many, and in which datasets."""

    reason: str
    rows: int
    datasets: tuple[Dataset, ...]


def quality_page(found: Sequence[Quality], lake: str, now: int, tool: str) -> str:
    """Return the page as HTML text.

    Parameters
    ----------
    found
        The qualities, in the order in which they are to be shown.
    lake
        What to call the lake.
    now
        When this was measured, in nanoseconds.
    tool
        Name and version of what measured it.
    """
    environment = Environment(
        loader=PackageLoader("ticklake.interfaces.report", "templates"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters |= {
        "number": _number,
        "share": format_share,
        "points": format_score,
        "lasting": _lasting,
        "moment": format_time,
    }
    rows = [_Row(f"d{number}", quality, strip_of(quality.days)) for number, quality in enumerate(found, 1)]
    return environment.get_template("quality.html").render(
        lake=lake,
        now=now,
        tool=tool,
        rows=rows,
        metrics=[metric for metric in shown_metrics() if metric.on_page and metric.name != "score"],
        sums=total(found),
        incomplete=[quality for quality in found if not quality.is_complete],
        words=list(_words(found)),
        refusals=sorted(_refusals(found), key=lambda refusal: -refusal.rows),
    )


def _words(found: Sequence[Quality]) -> Iterable[_Word]:
    for reason, meaning in WORDS.items():
        holes, datasets = Holes(), []
        for quality in found:
            if reason in quality.gaps:
                holes += quality.gaps[reason]
                datasets.append(quality.dataset)
        if datasets:
            yield _Word(str(reason), meaning, holes, tuple(datasets), not reason.is_missing)


def _refusals(found: Sequence[Quality]) -> Iterable[_Refusal]:
    rows: Counter[str] = Counter()
    datasets: dict[str, list[Dataset]] = {}
    for quality in found:
        for reason, count in quality.quarantined.items():
            rows[reason] += count
            datasets.setdefault(reason, []).append(quality.dataset)
    for reason in sorted(rows):
        yield _Refusal(reason.replace("_", " "), rows[reason], tuple(datasets[reason]))


def _number(number: int | None) -> str:
    return "?" if number is None else f"{number:,}"


def _lasting(ns: int | None) -> str:
    """Write a length of time in the largest unit of which it has two."""
    if ns is None:
        return ""
    if ns < SECOND:
        return "an instant" if ns else ""
    unit, length = next((pair for pair in _UNITS if ns >= 2 * pair[1]), _UNITS[-1])
    return f"{ns // length:,} {unit}"
