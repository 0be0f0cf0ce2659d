"""Sessions: when a market is open, so that nights, weekends and holidays are no gaps."""

from __future__ import annotations

import datetime as dt
from collections.abc import Iterable
from dataclasses import dataclass
from zoneinfo import ZoneInfo

from ticklake.core.dataset import Dataset
from ticklake.core.span import Span, normalise, subtract
from ticklake.core.time import DAY, parse_time

__all__ = ["ALWAYS", "FOREX", "VENUES", "Sessions", "Venue", "between", "forex_closed", "keeps_days"]

ALWAYS = "always"
"""The calendar of markets that never close: all crypto exchanges."""
FOREX = "forex"
"""The calendar of interbank currency trading: from Sunday to Friday, 17:00 New York time."""
_NEW_YORK = ZoneInfo("America/New_York")
_SATURDAY = 5


@dataclass(frozen=True, slots=True)
class Venue:
    """A place that closes: its calendar (a name of the package exchange_calendars, or ``forex``) and time zone."""

    calendar: str
    zone: str


VENUES: dict[str, Venue] = {
    "nyse": Venue("XNYS", "America/New_York"),
    "nasdaq": Venue("XNYS", "America/New_York"),
    "amex": Venue("XNYS", "America/New_York"),
    "arca": Venue("XNYS", "America/New_York"),
    # What LEAN calls the market of all equities of the United States.
    "usa": Venue("XNYS", "America/New_York"),
    "tsx": Venue("XTSE", "America/Toronto"),
    "lse": Venue("XLON", "Europe/London"),
    "xetra": Venue("XETR", "Europe/Berlin"),
    "paris": Venue("XPAR", "Europe/Paris"),
    "amsterdam": Venue("XAMS", "Europe/Amsterdam"),
    "milan": Venue("XMIL", "Europe/Rome"),
    "madrid": Venue("XMAD", "Europe/Madrid"),
    "swiss": Venue("XSWX", "Europe/Zurich"),
    "tokyo": Venue("XTKS", "Asia/Tokyo"),
    "hongkong": Venue("XHKG", "Asia/Hong_Kong"),
    "asx": Venue("XASX", "Australia/Sydney"),
    "dukascopy": Venue(FOREX, "America/New_York"),
    "fxcm": Venue(FOREX, "America/New_York"),
    "oanda": Venue(FOREX, "America/New_York"),
}
"""Exchange ids whose markets close. The setting ``exchanges.NAME.calendar`` adds others."""


class Sessions:
    """Knows when markets are closed. This one believes that they never are."""

    def closed(self, dataset: Dataset, span: Span) -> list[Span]:
        """Return the closed stretches that meet *span*, sorted and disjoint.

        For bars of a day or longer a day of the calendar is open as a whole, named by its date: the bar of a session
        opens at midnight UTC of the session's date.
        """
        del dataset, span
        return []

    def zone(self, exchange: str) -> str:
        """Return the time zone whose dates the exchange's sessions have."""
        if exchange not in VENUES:
            return "UTC"
        return VENUES[exchange].zone


def between(opens: Iterable[Span], span: Span) -> list[Span]:
    """Return the parts of *span* outside the *opens*: the closed stretches."""
    return list(subtract(span, normalise(opens)))


def keeps_days(dataset: Dataset) -> bool:
    """Whether its bars are named by the date of their session, because they last a day or longer."""
    return dataset.timeframe is not None and dataset.timeframe.length >= DAY


def forex_closed(span: Span) -> list[Span]:
    """Return the weekends that meet *span*: from Friday to Sunday, 17:00 in New York, summer time or not.

    That is 21:00 UTC while New York keeps summer time, else 22:00. Banks' holidays are not counted: some quote.
    """
    # From a week before: a weekend that began there may reach into the span.
    day = dt.date(1970, 1, 1) + dt.timedelta(days=span.start // DAY - 7)
    last = dt.date(1970, 1, 1) + dt.timedelta(days=span.end // DAY + 1)
    day += dt.timedelta(days=(_SATURDAY - day.weekday()) % 7)
    weekends: list[Span] = []
    while day <= last:
        weekends.append(Span(_five_pm(day - dt.timedelta(days=1)), _five_pm(day + dt.timedelta(days=1))))
        day += dt.timedelta(days=7)
    return [weekend for weekend in weekends if weekend.overlaps(span)]


def _five_pm(day: dt.date) -> int:
    return parse_time(dt.datetime.combine(day, dt.time(17), _NEW_YORK))
