"""Sessions: when a market is open, so that nights, weekends and holidays are no gaps."""

from __future__ import annotations

import datetime as dt
import re
from collections.abc import Iterable
from dataclasses import dataclass
from zoneinfo import ZoneInfo

from ticklake.core.dataset import Dataset
from ticklake.core.span import Span, normalise, subtract
from ticklake.core.time import DAY, parse_time, parse_zone
from ticklake.errors import BadInput

__all__ = [
    "ALWAYS",
    "FOREX",
    "VENUES",
    "SessionDay",
    "Sessions",
    "Venue",
    "between",
    "day_of_calendar",
    "forex_closed",
    "keeps_days",
]

ALWAYS = "always"
"""The calendar of markets that never close: all crypto exchanges."""
FOREX = "forex"
"""The calendar of interbank currency trading: from Sunday to Friday, 17:00 New York time."""
_NEW_YORK = ZoneInfo("America/New_York")
_SATURDAY = 5
_NOON = 12 * 60
_FIVE_PM = 17 * 60
_DAY_TEXT = re.compile(r"(?:([01]\d|2[0-3]):([0-5]\d)\s+)?(\S+)")


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


@dataclass(frozen=True, slots=True)
class SessionDay:
    """When the days of sessions begin: so many *minutes* after midnight in a time zone, summer time or not.

    Days are numbered by their date since 1970-01-01. One that begins at noon or later has the date after it, as the days of currency
    trading do.
    """

    zone: str
    minutes: int = 0

    @classmethod
    def parse(cls, text: str | None) -> SessionDay:
        """Read ``America/New_York`` or ``17:00 America/New_York``.

        Raises
        ------
        BadInput
            If it is neither.
        """
        match = _DAY_TEXT.fullmatch(text) if isinstance(text, str) else None
        if match is None:
            raise BadInput(
                f"session={text!r} is none: write a time zone, like 'America/New_York' or '17:00 America/New_York'"
            )
        parse_zone(match[3])
        return cls(match[3], int(match[1] or 0) * 60 + int(match[2] or 0))

    def start(self, day: int) -> int:
        """Return when a day begins, in nanoseconds UTC."""
        if self.minutes >= _NOON:
            day -= 1
        clock = dt.time(*divmod(self.minutes, 60))
        date = dt.date(1970, 1, 1) + dt.timedelta(days=day)
        # A time that a change of the clock skips is taken to be as long after midnight as it says.
        return parse_time(dt.datetime.combine(date, clock, ZoneInfo(self.zone)))

    def day(self, ts: int) -> int:
        """Return the day that contains *ts*."""
        # No zone is further than a day from UTC, and no day begins later than a day after its date.
        day = ts // DAY + 2
        while self.start(day) > ts:
            day -= 1
        return day


class Sessions:
    """Knows when markets are closed. This one believes that they never are."""

    def closed(self, dataset: Dataset, span: Span) -> list[Span]:
        """Return the closed stretches that meet *span*, sorted and disjoint.

        For bars of a day or longer a day of the calendar is open as a whole, named by its date: the bar of a session
        opens at midnight UTC of the session's date.
        """
        del dataset, span
        return []

    def day(self, exchange: str) -> SessionDay:
        """Return where the days of the exchange's sessions begin: of currency trading at 17:00 in New York, else at midnight."""
        return _day_of(VENUES.get(exchange))

    def zone(self, exchange: str) -> str:
        """Return the time zone whose dates the exchange's sessions have."""
        if exchange not in VENUES:
            return "UTC"
        return VENUES[exchange].zone


def day_of_calendar(calendar: str) -> SessionDay:
    """Return where the days of a calendar begin: in the zone of the venues that have it, in UTC if there are none."""
    for venue in VENUES.values():
        if venue.calendar == calendar:
            return _day_of(venue)
    return _day_of(None)


def _day_of(venue: Venue | None) -> SessionDay:
    if venue is None:
        return SessionDay("UTC")
    if venue.calendar == FOREX:
        return SessionDay(venue.zone, _FIVE_PM)
    return SessionDay(venue.zone)


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
