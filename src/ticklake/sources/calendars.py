"""The door to the package exchange_calendars, which knows the sessions of securities exchanges."""

from __future__ import annotations

import warnings
from collections.abc import Mapping
from functools import lru_cache
from typing import Any

from ticklake.core.dataset import Dataset
from ticklake.core.sessions import ALWAYS, FOREX, VENUES, Sessions, between, forex_closed, keeps_days
from ticklake.core.span import Span
from ticklake.core.time import DAY
from ticklake.errors import BadInput, MissingExtra

__all__ = ["KnownSessions"]

_YEAR = 366 * DAY
_FIRST = 1990
_LAST = 2100
"""Calendars are made for these years: outside them, every time counts as open."""


class KnownSessions(Sessions):
    """Sessions by exchange id: forex by rule, securities exchanges from exchange_calendars, all others never closed.

    Parameters
    ----------
    named
        Calendars of further exchange ids: a name of exchange_calendars like ``XNYS``, ``forex`` or ``always``.
    """

    def __init__(self, named: Mapping[str, str] | None = None) -> None:
        self._named = {**{name: venue.calendar for name, venue in VENUES.items()}, **(named or {})}

    def closed(self, dataset: Dataset, span: Span) -> list[Span]:
        """Return the closed stretches that meet *span*.

        Raises
        ------
        MissingExtra
            If the calendar is one of exchange_calendars, and that is not installed.
        BadInput
            If it knows no calendar of that name.
        """
        name = self._named.get(dataset.exchange, ALWAYS)
        if name == ALWAYS:
            return []
        if name == FOREX:
            return forex_closed(span)
        opens = _sessions(name, *_years(span), keeps_days(dataset))
        known = Span(opens[0].start // DAY * DAY, -(-opens[-1].end // DAY) * DAY).intersect(span) if opens else None
        return between((o for o in opens if o.overlaps(known)), known) if known else []


def _years(span: Span) -> tuple[int, int]:
    """Return the years that *span* meets: calendars are made, and kept, by year."""
    first, last = 1970 + span.start // _YEAR, 1971 + span.end // (365 * DAY)
    return max(first - 1, _FIRST), max(min(last, _LAST), _FIRST)


@lru_cache(maxsize=32)
def _sessions(name: str, first: int, last: int, days: bool) -> list[Span]:
    """Return when an exchange is open: from open to close without the lunch break, or whole *days* by date."""
    calendar = _calendar(name, first, last)
    if calendar is None:
        return []
    if days:
        dates = calendar.sessions.as_unit("ns").asi8.tolist()
        return [Span(date, date + DAY) for date in dates]
    schedule = calendar.schedule
    columns = {column: schedule[column].astype("int64").tolist() for column in schedule.columns}
    breaks = [not pause for pause in schedule["break_start"].isna().tolist()]
    spans: list[Span] = []
    for at, pauses in enumerate(breaks):
        opens, closes = columns["open"][at], columns["close"][at]
        if pauses:
            spans += [Span(opens, columns["break_start"][at]), Span(columns["break_end"][at], closes)]
        else:
            spans.append(Span(opens, closes))
    return spans


def _calendar(name: str, first: int, last: int) -> Any:
    """Make a calendar of these years, or of those of them that the package knows."""
    try:
        import exchange_calendars
        import pandas
    except ImportError as error:
        raise MissingExtra(
            f"the sessions of {name} need exchange_calendars: pip install 'ticklake[equities]'"
        ) from error
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        try:
            factory = type(exchange_calendars.get_calendar(name))
        except exchange_calendars.errors.InvalidCalendarName as error:
            raise BadInput(
                f"{name!r} is no calendar: use a name of exchange_calendars like XNYS, or forex, or always"
            ) from error
        bounds = (factory.bound_min(), factory.bound_max())
        start, end = pandas.Timestamp(first, 1, 1), pandas.Timestamp(last, 12, 31)
        start = start if bounds[0] is None else max(start, bounds[0])
        end = end if bounds[1] is None else min(end, bounds[1])
        return exchange_calendars.get_calendar(name, start=start, end=end) if start < end else None
