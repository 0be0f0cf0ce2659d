"""The page loops against scripted exchanges: nothing is lost, nothing is claimed that was not seen, nothing loops."""

from __future__ import annotations

import asyncio
import random
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass, field
from itertools import pairwise

import polars as pl
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from ticklake.core.coverage import Found
from ticklake.core.dataset import Dataset
from ticklake.core.evidence import ASKS, CONFIRMS, CoverageWalk
from ticklake.core.kinds import TIME
from ticklake.core.questions import BarGrid
from ticklake.core.span import Span, normalise
from ticklake.core.time import HOUR, MINUTE, MS, parse_time
from ticklake.core.timeframe import Timeframe
from ticklake.errors import AccessDenied, Banned, SourceError, SourceUnavailable
from ticklake.sources.base import Page
from ticklake.sources.ccxt import cursor_paging, id_paging, paging
from ticklake.sources.ccxt.row_counts import Answer
from ticklake.sources.ccxt.trade_calls import TradeCalls
from ticklake.sources.ccxt.trade_paging import WindowWalk

T0 = parse_time("2024-01-01")
MINUTES = Dataset.of("binance", "BTC/USDT", "ohlcv", "1m")

Row = tuple[int, int]
"""A time and an id: all that paging looks at."""


def frame(rows: list[Row]) -> pl.DataFrame:
    columns = {"ts": [ts for ts, _ in rows], "id": [str(number) for _, number in rows]}
    return pl.DataFrame(columns, schema={"ts": pl.Int64, "id": pl.String}).with_columns(pl.col("ts").cast(TIME))


def pairs(rows: pl.DataFrame) -> list[Row]:
    return [(ts, int(text)) for ts, text in zip(rows["ts"].to_physical(), rows["id"], strict=True)]


@dataclass
class Scripted:
    """An exchange that holds *rows* and answers as badly as it is told to; it dies after *budget* calls."""

    rows: list[Row]
    limit: int = 1000
    newest: bool = False
    exclusive_start: bool = False
    inclusive_end: bool = False
    lies: int = 0
    duplicates: int = 0
    shuffled: bool = False
    late: int = 0
    budget: int = 2000
    calls: int = 0
    lied: dict[object, int] = field(default_factory=dict)

    async def span(self, span: Span) -> pl.DataFrame:
        """Answer a question for a window."""
        return self._answer(span, lambda ts: self._after(ts, span.start) and self._until(ts, span.end))

    async def by_time(self, span: Span) -> pl.DataFrame:
        """Answer with trades of a window; the first few may be left out."""
        rows = await self.span(span)
        return rows.slice(min(self.late, max(rows.height - 1, 0)))

    async def since(self, cursor: int) -> pl.DataFrame:
        """Answer with what comes from a time on, in time order as the mapping brings it."""
        rows = self._answer(cursor, lambda ts: self._after(ts, cursor))
        return rows.sort("ts", maintain_order=True)

    async def by_id(self, first: int) -> pl.DataFrame:
        """Answer with what comes from an id on."""
        if self._lie(first):
            return frame([])
        return frame([row for row in self.rows if row[1] >= first][: self.limit])

    async def latest(self) -> pl.DataFrame:
        """Answer with the newest trades."""
        return frame(sorted(self.rows)[-self.limit :])

    def _after(self, ts: int, start: int) -> bool:
        return ts > start if self.exclusive_start else ts >= start

    def _until(self, ts: int, end: int) -> bool:
        return ts <= end if self.inclusive_end else ts < end

    def _lie(self, question: object) -> bool:
        self.calls += 1
        assert self.calls <= self.budget, f"asked more than {self.budget} times: it loops"
        told = self.lied.get(question, 0)
        self.lied[question] = told + 1
        return told < self.lies

    def _answer(self, question: object, wanted: Callable[[int], bool]) -> pl.DataFrame:
        if self._lie(question):
            return frame([])
        found = [row for row in self.rows if wanted(row[0])]
        kept = found[-self.limit :] if self.newest else found[: self.limit]
        kept = kept + kept[: self.duplicates]
        if self.shuffled:
            random.Random(self.calls).shuffle(kept)
        return frame(kept)


def bar_pages(ask, dataset: Dataset, span: Span, page: int, **known) -> AsyncIterator[Page]:
    """Walk over bars as a source that keeps everything, unless said otherwise."""
    assert dataset.timeframe is not None
    known = {"keeps_all": True, "now": span.end + dataset.timeframe.length, **known}
    grid = BarGrid(dataset.timeframe, dataset.anchor)
    return paging.coverage_pages(CoverageWalk(span, grid, page, **known), ask, known_trades(span), other=every_minute)


async def every_minute(span: Span) -> pl.DataFrame:
    """Return the rows of another market, which is never silent."""
    first = span.start // MINUTE * MINUTE
    return frame([(ts, 0) for ts in range(first, min(span.end, first + 1000 * MINUTE), MINUTE)])


def known_trades(span: Span):
    """Return what tells that nobody traded since before a span, as where the feed is not late."""

    async def newest() -> pl.DataFrame:
        return frame([(span.start - HOUR, 0)])

    return newest


def cursor_pages(ask, span: Span, limit: int, unit: int) -> AsyncIterator[Page]:
    return cursor_paging.cursor_pages(ask, span, limit, unit, other=every_minute)


def id_pages(exchange: Scripted, span: Span, window: int, limit: int, by_id=None) -> AsyncIterator[Page]:
    async def ask(part: Span, _exactly: bool) -> Answer:
        rows = await exchange.by_time(part)
        return Answer(rows, rows.height)

    walk_over = WindowWalk(ask, TradeCalls(longest=window), limit)
    return id_paging.id_pages(walk_over, by_id or exchange.by_id, exchange.latest, span, frame([]))


def event_pages(ask, span: Span, window: int) -> AsyncIterator[Page]:
    walk_over = CoverageWalk(span, BarGrid(Timeframe(1, "m")), window // MINUTE, span.end, keeps_all=True)
    return paging.coverage_pages(walk_over, ask, known_trades(span), other=every_minute)


def walk(pages: AsyncIterator[Page]) -> list[Page]:
    async def collect() -> list[Page]:
        return [page async for page in pages]

    return asyncio.run(collect())


def rows_of(pages: list[Page], span: Span) -> list[Row]:
    return sorted({row for page in pages for row in pairs(page.frame) if row[0] in span})


def spans_of(pages: list[Page], *found: Found) -> list[Span]:
    return [piece.span for page in pages for piece in page.covered if not found or piece.found in found]


def truth_in(rows: list[Row], span: Span) -> list[Row]:
    return sorted(row for row in rows if row[0] in span)


def assert_tiled(pages: list[Page], span: Span) -> None:
    """The covered spans are the asked span, each instant once."""
    pieces = spans_of(pages)
    assert sum(piece.length for piece in pieces) == span.length
    assert normalise(pieces) == [span]


def assert_honest(pages: list[Page], rows: list[Row]) -> None:
    """What a page covers as data is whole by then: a run that dies here leaves no silent hole."""
    brought: set[Row] = set()
    for page in pages:
        brought |= set(pairs(page.frame))
        for piece in page.covered:
            if piece.found is Found.DATA:
                assert set(truth_in(rows, piece.span)) <= brought


def assert_exact(pages: list[Page], rows: list[Row], span: Span) -> None:
    assert rows_of(pages, span) == truth_in(rows, span)
    assert spans_of(pages, Found.LOST, Found.UNAVAILABLE) == []
    assert_tiled(pages, span)
    assert_honest(pages, rows)


def bars_at(*minutes: int) -> list[Row]:
    return [(T0 + minute * MINUTE, minute) for minute in minutes]


def trades_at(*milliseconds: int, first_id: int = 1) -> list[Row]:
    return [(T0 + ms * MS, number) for number, ms in enumerate(sorted(milliseconds), first_id)]


def minutes(start: int, end: int) -> Span:
    return Span(T0 + start * MINUTE, T0 + end * MINUTE)


def ms(start: int, end: int) -> Span:
    return Span(T0 + start * MS, T0 + end * MS)


sparse = st.sets(st.integers(-20, 220), max_size=160).map(lambda found: bars_at(*sorted(found)))
windows = st.tuples(st.integers(0, 199), st.integers(1, 200)).map(lambda cut: minutes(cut[0], cut[0] + cut[1]))


class TestBars:
    @given(rows=sparse, span=windows, page=st.integers(2, 60), bad=st.data())
    @settings(max_examples=30, deadline=None)
    def test_any_sparse_series_through_any_page_limit_is_whole(self, rows, span, page, bad):
        """Field note: cursors differ (exclusive and inclusive bounds), pages repeat rows, empty pages are not the end."""
        exchange = Scripted(
            rows,
            limit=page,
            newest=bad.draw(st.booleans()),
            exclusive_start=bad.draw(st.booleans()),
            inclusive_end=bad.draw(st.booleans()),
            lies=bad.draw(st.integers(0, 2)),
            duplicates=bad.draw(st.integers(0, 3)),
            shuffled=bad.draw(st.booleans()),
        )

        pages = walk(bar_pages(exchange.span, MINUTES, span, page))

        assert_exact(pages, rows, span)
        assert exchange.calls <= 9 * (span.length // MINUTE + 1)
        assert exchange.calls <= sum(page.requests for page in pages) <= exchange.calls + 1, (
            "trades may be asked for once"
        )

    @pytest.mark.parametrize("newest", [False, True], ids=["oldest first", "newest first"])
    @pytest.mark.parametrize("limit", [50, 100, 200])
    def test_a_limit_nobody_told_us_of_loses_no_bar(self, limit, newest):
        """Field note: page limits depend on the age of the data (Bitget 200 old, 1000 recent)."""
        rows = bars_at(*(minute for minute in range(2500) if minute % 7))
        exchange = Scripted(rows, limit=limit, newest=newest)

        pages = walk(bar_pages(exchange.span, MINUTES, minutes(0, 2500), 1000))

        assert_exact(pages, rows, minutes(0, 2500))

    def test_old_data_with_a_smaller_limit_than_recent_data_is_whole(self):
        """Field note: Bitget serves 200 old bars a page and 1000 recent ones."""
        rows = bars_at(*range(3000))

        async def bitget(span: Span) -> pl.DataFrame:
            found = truth_in(rows, span)
            return frame(found[:200] if span.start < T0 + 1500 * MINUTE else found[:1000])

        assert_exact(walk(bar_pages(bitget, MINUTES, minutes(0, 3000), 1000)), rows, minutes(0, 3000))

    @pytest.mark.parametrize("newest", [False, True], ids=["oldest first", "newest first"])
    def test_repeated_rows_do_not_hide_that_a_page_was_cut(self, newest):
        """Field note: page limits depend on the endpoint; a page of 200 with three rows twice is still cut at 200."""
        rows = bars_at(*range(1000))
        exchange = Scripted(rows, limit=200, newest=newest, duplicates=3)

        assert_exact(walk(bar_pages(exchange.span, MINUTES, minutes(0, 999), 1000)), rows, minutes(0, 999))

    def test_an_outage_of_many_windows_is_walked_over(self):
        """Field note: an empty page is not the end (a peer stopped at a 19-day outage)."""
        rows = bars_at(*range(10), *range(19 * 1440, 19 * 1440 + 10))
        span = minutes(0, 19 * 1440 + 10)

        assert_exact(walk(bar_pages(Scripted(rows).span, MINUTES, span, 1000)), rows, span)

    def test_an_empty_answer_is_believed_after_three_times_and_again_when_the_exchange_is_awake(self):
        exchange = Scripted([], limit=100)

        (page,) = walk(bar_pages(exchange.span, MINUTES, minutes(0, 50), 100))

        asked = ASKS + CONFIRMS
        assert (exchange.calls, page.requests) == (asked, asked + 1), "and the newest trades"

    def test_a_full_page_is_asked_for_once(self):
        exchange = Scripted(bars_at(*range(-1, 99)), limit=100)

        walk(bar_pages(exchange.span, MINUTES, minutes(0, 99), 100))

        assert exchange.calls == 1

    def test_no_call_asks_for_more_bars_than_fit(self):
        """Field note: never ask for more than fits."""
        asked: list[Span] = []
        exchange = Scripted(bars_at(*range(500)), limit=100)

        async def watched(span: Span) -> pl.DataFrame:
            asked.append(span)
            return await exchange.span(span)

        walk(bar_pages(watched, MINUTES, minutes(3, 480), 100))

        assert max(span.length for span in asked) <= 100 * MINUTE

    def test_pages_overlap_by_two_bars(self):
        """Field note: overlap pages by at least one item; the first may be one that is sent along with every answer."""
        asked: list[Span] = []
        exchange = Scripted(bars_at(*range(500)), limit=100)

        async def watched(span: Span) -> pl.DataFrame:
            asked.append(span)
            return await exchange.span(span)

        walk(bar_pages(watched, MINUTES, minutes(0, 500), 100))

        assert all(later.start == earlier.end - 2 * MINUTE for earlier, later in pairwise(asked))

    @pytest.mark.parametrize("timeframe", ["1w", "1M"])
    def test_weeks_and_months_are_paged_by_the_calendar(self, timeframe):
        dataset = Dataset.of("binance", "BTC/USDT", "ohlcv", timeframe)
        assert dataset.timeframe is not None
        span = Span.parse("2015-01-01", "2024-01-01")
        opens = dataset.timeframe.opens(Span.parse("2014-01-01", "2025-01-01"), dataset.anchor).to_list()
        rows = [(ts, number) for number, ts in enumerate(opens)]
        exchange = Scripted(rows, limit=12)

        assert_exact(walk(bar_pages(exchange.span, dataset, span, 12)), rows, span)

    @given(offset=st.integers(1, MINUTE - 1), length=st.integers(1, 90 * MINUTE))
    @settings(max_examples=30, deadline=None)
    def test_a_span_that_is_not_on_the_grid_is_tiled_too(self, offset, length):
        rows = bars_at(*range(200))
        span = Span(T0 + 5 * MINUTE + offset, T0 + 5 * MINUTE + offset + length)

        assert_exact(walk(bar_pages(Scripted(rows, limit=10).span, MINUTES, span, 10)), rows, span)

    def test_an_exchange_that_answers_the_same_whatever_is_asked_does_not_loop(self):
        newest = frame(bars_at(*range(900, 1000)))
        calls = 0

        async def deaf(_span: Span) -> pl.DataFrame:
            nonlocal calls
            calls += 1
            assert calls < 200
            return newest

        pages = walk(bar_pages(deaf, MINUTES, minutes(0, 1000), 100))

        assert_tiled(pages, minutes(0, 1000))


class TestRecentBars:
    """Field note: history may be recent-only (Kraken bars)."""

    def test_what_is_older_is_unavailable_and_the_rest_exact(self):
        rows = bars_at(*range(2000))
        exchange = Scripted(rows[-720:])
        span = minutes(0, 2000)

        (page,) = walk(bar_pages(exchange.span, MINUTES, span, 720, keeps_all=False, keeps_rows=720))

        assert spans_of([page], Found.UNAVAILABLE) == [minutes(0, 1280)]
        assert spans_of([page], Found.DATA) == [minutes(1280, 2000)]
        assert rows_of([page], span) == truth_in(rows, minutes(1280, 2000))
        assert "nothing older than 2024-01-01T21:20:00Z" in page.covered[0].reason

    def test_a_span_that_is_wholly_too_old_is_unavailable(self):
        """The exchange answers with its newest bars, all after the span."""
        newest = frame(bars_at(*range(5000, 5720)))

        async def ask(_span: Span) -> pl.DataFrame:
            return newest

        (page,) = walk(bar_pages(ask, MINUTES, minutes(0, 100), 720, keeps_all=False, keeps_rows=720))

        assert [(piece.span, piece.found) for piece in page.covered] == [(minutes(0, 100), Found.UNAVAILABLE)]
        assert page.frame.height == 0

    def test_a_span_inside_what_is_served_is_covered_whole(self):
        rows = bars_at(*range(0, 700, 3))

        assert_exact(
            walk(bar_pages(Scripted(rows).span, MINUTES, minutes(30, 700), 720, keeps_all=False, keeps_rows=720)),
            rows,
            minutes(30, 700),
        )

    @pytest.mark.parametrize("lies", [1, 2])
    def test_an_empty_lie_is_asked_again(self, lies):
        rows = bars_at(*range(100))
        exchange = Scripted(rows, lies=lies)

        assert_exact(
            walk(bar_pages(exchange.span, MINUTES, minutes(0, 100), 720, keeps_all=False, keeps_rows=720)),
            rows,
            minutes(0, 100),
        )
        assert exchange.calls == lies + 1

    @pytest.mark.parametrize(("first", "pause"), [(2000, 1), (9000, 40), (100, 3)])
    def test_the_time_before_fewer_bars_than_it_keeps_is_covered(self, first, pause):
        """A new market, asked for from before its listing: these are all bars there are, however the source is asked."""
        rows = bars_at(*range(first, 10_000, pause))[-700:]
        exchange = Scripted(rows)

        async def since(span: Span) -> pl.DataFrame:
            return await exchange.since(span.start)

        assert_exact(
            walk(bar_pages(since, MINUTES, minutes(0, 10_000), 720, keeps_all=False, keeps_rows=720, sends_end=False)),
            rows,
            minutes(0, 10_000),
        )

    def test_repeated_rows_do_not_make_old_bars_unavailable(self):
        """717 bars of which three come twice are not 720 bars."""
        rows = bars_at(*range(100, 817))
        exchange = Scripted(rows, duplicates=3)

        async def since(span: Span) -> pl.DataFrame:
            return await exchange.since(span.start)

        assert_exact(
            walk(bar_pages(since, MINUTES, minutes(0, 900), 720, keeps_all=False, keeps_rows=720)),
            rows,
            minutes(0, 900),
        )


bursts = st.lists(st.integers(0, 40), max_size=120)
"""Milliseconds of trades: few values, so that many trades share one."""


class TestIds:
    @given(times=bursts, limit=st.integers(1, 12), cut=st.tuples(st.integers(0, 35), st.integers(1, 20)), bad=st.data())
    @settings(max_examples=60, deadline=None)
    def test_every_trade_of_any_burst_is_kept(self, times, limit, cut, bad):
        """Field note: same-millisecond trades at a page edge are lost by time cursors; ids cannot lose them."""
        first_id = bad.draw(st.sampled_from([0, 1, 7, 5_000_000_000]))
        older = [-1000] if first_id > 1 or not times else []
        rows = trades_at(*older, *times, first_id=first_id)
        span = ms(cut[0], cut[0] + cut[1])
        exchange = Scripted(
            rows,
            limit=limit,
            newest=bad.draw(st.booleans()),
            late=bad.draw(st.integers(0, 5)),
            lies=bad.draw(st.integers(0, 2)),
            shuffled=bad.draw(st.booleans()),
        )
        window = bad.draw(st.sampled_from([MS, 5 * MS, HOUR]))

        pages = walk(id_pages(exchange, span, window, limit))

        assert_exact(pages, rows, span)

    @pytest.mark.parametrize("late", [1, 9, 250])
    def test_the_first_trade_is_found_though_the_answer_by_time_begins_late(self, late):
        """Field note: Binance's aggregate trades by time may start late."""
        rows = trades_at(*range(0, 3000, 3))
        exchange = Scripted(rows, limit=100, late=late)
        span = ms(300, 2900)

        assert_exact(walk(id_pages(exchange, span, HOUR, 100)), rows, span)

    def test_a_burst_of_one_millisecond_longer_than_three_pages_is_whole(self):
        """Field note: a peer kept 2,863 of 3,000 trades of one millisecond."""
        rows = trades_at(*[5] * 3000, *range(6, 20))
        exchange = Scripted(rows, limit=1000)

        assert_exact(
            walk(id_pages(exchange, ms(0, 30), HOUR, 1000)),
            rows,
            ms(0, 30),
        )

    def test_a_limit_smaller_than_ours_loses_nothing(self):
        rows = trades_at(*[number // 3 for number in range(900)])
        exchange = Scripted(rows, limit=70)

        assert_exact(
            walk(id_pages(exchange, ms(20, 250), HOUR, 1000)),
            rows,
            ms(20, 250),
        )

    def test_what_lies_before_the_first_id_that_is_served_is_unavailable(self):
        """Ids count from the beginning of the market: a first one of 300 says that 300 trades are no longer served."""
        whole = trades_at(*range(600))
        exchange = Scripted(whole[300:], limit=100)

        pages = walk(id_pages(exchange, ms(100, 600), HOUR, 100))

        assert_honest(pages, whole)
        assert normalise(spans_of(pages, Found.UNAVAILABLE)) == [ms(100, 300)]

    def test_quiet_time_is_covered_with_the_trade_after_it(self):
        """Before that, nobody knows whether ids are missing in it."""
        rows = trades_at(*range(500, 510))
        exchange = Scripted(rows, limit=100)

        pages = walk(id_pages(exchange, ms(0, 600), 100 * MS, 100))

        assert_exact(pages, rows, ms(0, 600))
        assert pages[0].frame.height > 0

    def test_ids_that_are_missing_over_several_silent_windows_are_one_hole_from_trade_to_trade(self):
        rows = [row for row in trades_at(*range(0, 1000, 10)) if not 41 <= row[1] <= 90]
        pages = walk(id_pages(Scripted(rows, limit=1000), ms(0, 1000), 30 * MS, 1000))

        assert normalise(spans_of(pages, Found.LOST)) == [ms(390, 900)]

    def test_missing_ids_are_a_lost_span_between_their_neighbours(self):
        """Field note: ids jump although we covered the span: lost."""
        rows = [row for row in trades_at(*range(100)) if not 41 <= row[1] <= 60]
        pages = walk(id_pages(Scripted(rows, limit=1000), ms(0, 100), HOUR, 1000))

        assert spans_of(pages, Found.LOST) == [ms(39, 60)]
        assert rows_of(pages, ms(0, 100)) == rows
        assert_tiled(pages, ms(0, 100))
        assert [note for page in pages for note in page.notes] == ["trade ids 41 to 60 are not served"]

    def test_missing_ids_at_a_page_seam_are_a_lost_span_between_their_neighbours(self):
        """The row before the jump came with the page before."""
        rows = [row for row in trades_at(*range(100)) if not 41 <= row[1] <= 60]
        pages = walk(id_pages(Scripted(rows, limit=40), ms(0, 100), HOUR, 40))

        assert spans_of(pages, Found.LOST) == [ms(39, 60)]
        assert_tiled(pages, ms(0, 100))

    @example(gone={3, 6}, limit=1, per_ms=4)
    @given(gone=st.sets(st.integers(3, 58), max_size=30), limit=st.integers(1, 20), per_ms=st.integers(1, 4))
    @settings(max_examples=40, deadline=None)
    def test_every_jump_is_lost_and_every_other_instant_is_covered_once(self, gone, limit, per_ms):
        whole = trades_at(*[number // per_ms for number in range(60)])
        rows = [row for row in whole if row[1] not in gone]
        span = ms(0, 60)
        pages = walk(id_pages(Scripted(rows, limit=limit), span, HOUR, limit))

        assert rows_of(pages, span) == rows
        data = spans_of(pages, Found.DATA)
        lost = normalise(spans_of(pages, Found.LOST))
        for ts, number in whole:
            if number in gone:
                assert any(ts in piece or ts == piece.end for piece in lost), f"id {number} is gone and nobody knows"
        assert_tiled(pages, span)
        assert not any(one.overlaps(two) for one in data for two in lost)

    def test_a_jump_after_the_asked_span_is_not_this_spans_business(self):
        """The last page reaches beyond the span; to mark what lies there would hide it from the next run."""
        rows = [row for row in trades_at(*range(100)) if not 61 <= row[1] <= 70]
        pages = walk(id_pages(Scripted(rows, limit=1000), ms(0, 50), HOUR, 1000))

        assert_tiled(pages, ms(0, 50))

    def test_a_jump_before_the_asked_span_is_not_this_spans_business(self):
        rows = [row for row in trades_at(*range(100)) if not 11 <= row[1] <= 20]
        exchange = Scripted(rows, limit=30, late=60)
        pages = walk(id_pages(exchange, ms(30, 90), HOUR, 30))

        assert_tiled(pages, ms(30, 90))
        assert rows_of(pages, ms(30, 90)) == truth_in(rows, ms(30, 90))

    def test_a_late_answer_behind_a_jump_does_not_hide_what_came_before_the_jump(self):
        """Both at once: the answer by time begins late, and the ids right before it are gone."""
        rows = [*trades_at(*range(50)), *trades_at(*range(50, 100), first_id=500)]
        exchange = Scripted(rows, limit=100, late=25)

        pages = walk(id_pages(exchange, ms(30, 100), HOUR, 100))

        assert_honest(pages, rows)

    @pytest.mark.parametrize("length", [20, 50, 200])
    @pytest.mark.parametrize("which", ["newest", "oldest"])
    @pytest.mark.parametrize("limit", [7, 40, 1000])
    def test_ids_that_begin_anew_lose_nothing(self, length, which, limit):
        """Field note: ids may restart after a relisting. A call by id then finds the new trades, or both kinds."""
        old, new = trades_at(*range(100), first_id=1000), trades_at(*range(200, 200 + length))
        exchange = Scripted([*old, *new], limit=limit)

        async def by_id(first: int) -> pl.DataFrame:
            era = {"newest": new, "oldest": old if first >= 1000 else new}[which]
            return frame([row for row in era if row[1] >= first][:limit])

        for span in (ms(0, 500), ms(50, 210), ms(150, 500)):
            pages = walk(id_pages(exchange, span, 30 * MS, limit, by_id))
            assert_exact(pages, [*old, *new], span)

    def test_an_exchange_that_ignores_the_id_does_not_make_it_loop(self):
        rows = trades_at(*range(50))
        exchange = Scripted(rows, budget=100)

        async def deaf(_first: int) -> pl.DataFrame:
            return await exchange.by_id(40)

        pages = walk(id_pages(exchange, ms(0, 100), HOUR, 1000, deaf))

        assert normalise(spans_of(pages)) == [ms(0, 100)]


class TestCursor:
    @given(
        times=st.lists(st.integers(0, 60), max_size=100),
        limit=st.integers(2, 12),
        cut=st.tuples(st.integers(0, 50), st.integers(1, 40)),
        unit=st.sampled_from([1, MS]),
        lies=st.integers(0, 2),
    )
    @settings(max_examples=150, deadline=None)
    def test_all_but_instants_longer_than_a_page_is_whole(self, times, limit, cut, unit, lies):
        """Field note: ask the boundary instant again until it fits; if it holds more than a page, record that hole."""
        rows = [(T0 + ms_ * unit, number) for number, ms_ in enumerate(sorted(times))]
        span = Span(T0 + cut[0] * unit, T0 + (cut[0] + cut[1]) * unit)
        exchange = Scripted(rows, limit=limit, lies=lies)

        pages = walk(cursor_pages(exchange.since, span, limit, unit))

        crowded = {ts for ts, _ in rows if sum(1 for other, _ in rows if other == ts) >= limit}
        lost = spans_of(pages, Found.LOST)
        assert all(piece.length == unit and piece.start in crowded for piece in lost)
        overfull = {ts for ts in crowded if ts in span and len(truth_in(rows, Span(ts, ts + 1))) > limit}
        assert overfull <= {piece.start for piece in lost}
        assert [row for row in truth_in(rows, span) if row[0] not in overfull] == [
            row for row in rows_of(pages, span) if row[0] not in overfull
        ]
        assert_tiled(pages, span)
        assert_honest(pages, rows)

    def test_an_instant_cut_by_the_page_is_asked_again(self):
        rows = trades_at(*range(8), *[9] * 4, 10, 11)

        assert_exact(walk(cursor_pages(Scripted(rows, limit=10).since, ms(0, 20), 10, MS)), rows, ms(0, 20))

    def test_an_instant_with_more_rows_than_a_page_is_lost_and_said_so(self):
        rows = trades_at(*range(5), *[7] * 25, 8, 9)

        pages = walk(cursor_pages(Scripted(rows, limit=10).since, ms(0, 20), 10, MS))

        assert spans_of(pages, Found.LOST) == [ms(7, 8)]
        assert [note for page in pages for note in page.notes] == [
            "more than 10 rows at 2024-01-01T00:00:00.007Z, which is all a call brings"
        ]
        assert truth_in(rows, ms(8, 20)) == rows_of(pages, ms(8, 20))
        assert_tiled(pages, ms(0, 20))

    @pytest.mark.parametrize("unit", [1, MS])
    @pytest.mark.parametrize("exclusive", [False, True])
    @pytest.mark.parametrize("known_limit", [10, 1000])
    def test_an_instant_that_a_page_cuts_is_lost_alone(self, unit, exclusive, known_limit):
        """The page is shorter than our limit, but more comes later: so it was cut, at its only instant."""
        rows = [(T0 + at * unit, n) for n, at in enumerate([*range(5), *[7] * 25, *range(8, 40)])]
        span = Span(T0, T0 + 40 * unit)
        exchange = Scripted(rows, limit=10, exclusive_start=exclusive)

        pages = walk(cursor_pages(exchange.since, span, known_limit, unit))

        assert spans_of(pages, Found.LOST) == [Span(T0 + 7 * unit, T0 + 8 * unit)]
        assert [row for row in rows_of(pages, span) if row[0] != T0 + 7 * unit] == rows[:5] + rows[30:]
        assert_tiled(pages, span)

    def test_a_cursor_that_brings_older_rows_alone_proves_nothing(self):
        rows = [(T0 + number * HOUR, number) for number in range(100)]

        async def oldest(_cursor: int) -> pl.DataFrame:
            return frame(rows[:10])

        pages = walk(cursor_paging.cursor_pages(oldest, Span(T0 + 50 * HOUR, T0 + 90 * HOUR), 10, MS))

        assert {piece.found for page in pages for piece in page.covered} == {Found.UNAVAILABLE}

    def test_a_nanosecond_cursor_loses_one_nanosecond_only(self):
        rows = [(T0 + 3, number) for number in range(6)] + [(T0 + 4, 6), (T0 + 5, 7)]

        pages = walk(cursor_pages(Scripted(rows, limit=5).since, Span(T0, T0 + 100), 5, 1))

        assert spans_of(pages, Found.LOST) == [Span(T0 + 3, T0 + 4)]
        assert {number for _, number in rows_of(pages, Span(T0, T0 + 100))} >= {6, 7}

    @pytest.mark.parametrize("lies", [1, 2])
    def test_an_empty_lie_is_not_the_end(self, lies):
        """Field note: an empty page is not the end."""
        rows = trades_at(*range(0, 200, 2))
        exchange = Scripted(rows, limit=7, lies=lies)

        assert_exact(walk(cursor_pages(exchange.since, ms(0, 200), 7, MS)), rows, ms(0, 200))

    def test_an_exclusive_start_loses_no_row_at_a_seam(self):
        """Field note: OKX before/after exclude the bound; overlap pages by at least one item."""
        rows = trades_at(*range(100))
        exchange = Scripted(rows, limit=10, exclusive_start=True)

        pages = walk(cursor_pages(exchange.since, ms(5, 90), 10, MS))

        assert_honest(pages, rows)

    @pytest.mark.parametrize("outage", [range(1, 4), range(3, 6), range(2, 9), range(9, 10**6)])
    def test_an_outage_that_is_over_before_the_exchange_is_looked_at_is_no_silence(self, outage):
        rows = trades_at(*range(0, 200, 2))
        exchange = Scripted(rows, limit=7)

        async def since(cursor: int) -> pl.DataFrame:
            answer = await exchange.since(cursor)
            return answer.clear() if exchange.calls in outage else answer

        pages = walk(cursor_pages(since, ms(0, 200), 7, MS))

        assert_honest(pages, rows)
        assert outage.start > 1 or rows_of(pages, ms(0, 200)) == rows

    @pytest.mark.parametrize("limit", [1, 2, 10])
    def test_an_exchange_that_ignores_the_cursor_does_not_make_it_loop(self, limit):
        rows = trades_at(*range(50))
        exchange = Scripted(rows, limit=limit, budget=200)

        async def deaf(_cursor: int) -> pl.DataFrame:
            return await exchange.since(T0)

        assert_tiled(walk(cursor_pages(deaf, ms(0, 100), limit, MS)), ms(0, 100))


class TestHorizonOfCursors:
    """Silence before the first row is only true where the source serves an older one."""

    def test_what_a_short_history_does_not_serve_is_unavailable(self):
        rows = trades_at(*range(500, 600))
        pages = walk(cursor_paging.cursor_pages(Scripted(rows, limit=30).since, ms(0, 600), 30, MS))

        assert spans_of(pages, Found.UNAVAILABLE) == [ms(0, 500)]
        assert_tiled(pages, ms(0, 600))
        assert rows_of(pages, ms(0, 600)) == rows

    def test_a_silence_after_a_row_that_is_served_is_true(self):
        rows = trades_at(10, *range(500, 600))

        assert_exact(
            walk(cursor_paging.cursor_pages(Scripted(rows, limit=30).since, ms(100, 600), 30, MS)), rows, ms(100, 600)
        )

    def test_a_cursor_that_is_ignored_proves_nothing_about_what_was_asked(self):
        rows = trades_at(*range(1000))

        async def newest(_cursor: int) -> pl.DataFrame:
            return frame(rows[-30:])

        pages = walk(cursor_paging.cursor_pages(newest, ms(0, 1000), 30, MS))

        assert_honest(pages, rows)
        assert spans_of(pages, Found.UNAVAILABLE) == [ms(0, 970)]

    def test_no_trades_at_all_prove_nothing(self):
        pages = walk(cursor_paging.cursor_pages(Scripted([]).since, ms(0, 100), 30, MS))

        assert spans_of(pages, Found.UNAVAILABLE) == [ms(0, 100)]

    def test_a_newest_page_without_rows_proves_nothing(self):
        (page,) = walk(paging.newest_page(lambda: Scripted([]).since(0), ms(0, 100)))

        assert spans_of([page], Found.UNAVAILABLE) == [ms(0, 100)]


class TestRefusals:
    """Some exchanges answer with an error beyond their history. That is no silence."""

    @staticmethod
    def bars(error, *, served_from: int, keeps_all: bool):
        exchange = Scripted(bars_at(*range(served_from, 500)), limit=100)

        async def ask(span: Span) -> pl.DataFrame:
            if span.start < T0 + served_from * MINUTE:
                raise error
            return await exchange.span(span)

        span = minutes(0, 500)
        walk_over = CoverageWalk(span, BarGrid(Timeframe(1, "m")), 100, span.end, keeps_all=keeps_all)
        return walk(paging.coverage_pages(walk_over, ask, known_trades(span)))

    @pytest.mark.parametrize("keeps_all", [False, True])
    def test_what_is_refused_is_unavailable_and_the_rest_is_fetched(self, keeps_all):
        pages = self.bars(SourceError("too long ago"), served_from=200, keeps_all=keeps_all)

        gone = [piece for page in pages for piece in page.covered if piece.found is Found.UNAVAILABLE]
        assert normalise(piece.span for piece in gone) == [minutes(0, 200)]
        assert "too long ago" in gone[0].reason
        assert len(rows_of(pages, minutes(0, 500))) == 300

    def test_an_error_for_everything_is_an_error(self):
        with pytest.raises(SourceError, match="no such market"):
            self.bars(SourceError("no such market"), served_from=600, keeps_all=True)

    @pytest.mark.parametrize("error", [AccessDenied("key"), Banned("until"), SourceUnavailable("503")])
    def test_what_is_no_refusal_is_passed_on(self, error):
        with pytest.raises(type(error)):
            self.bars(error, served_from=200, keeps_all=False)

    def test_a_refused_look_back_shows_nothing(self):
        rows = trades_at(*range(500, 600))
        exchange = Scripted(rows, limit=30)

        async def since(cursor: int) -> pl.DataFrame:
            if cursor < T0 - MINUTE:
                raise SourceError("too long ago")
            return await exchange.since(cursor)

        pages = walk(cursor_paging.cursor_pages(since, ms(0, 600), 30, MS))
        assert spans_of(pages, Found.UNAVAILABLE) == [ms(0, 500)]


class TestNewestOnly:
    """Field note: history may be recent-only (spot trades on Bybit and OKX)."""

    def test_what_is_older_than_a_full_page_is_unavailable(self):
        rows = trades_at(*range(100))
        exchange = Scripted(rows, limit=10, newest=True)

        (page,) = walk(paging.newest_page(lambda: exchange.since(0), ms(0, 100)))

        (gone,) = spans_of([page], Found.UNAVAILABLE)
        assert gone.start == T0
        assert gone.end > rows[-10][0], "the oldest instant of the page may be cut"
        assert rows_of([page], ms(0, 100)) == rows[-10:]
        assert_tiled([page], ms(0, 100))
        assert_honest([page], rows)

    def test_a_span_older_than_the_page_is_wholly_unavailable(self):
        exchange = Scripted(trades_at(*range(100)), limit=10, newest=True)

        (page,) = walk(paging.newest_page(lambda: exchange.since(0), ms(0, 50)))

        assert spans_of([page], Found.UNAVAILABLE) == [ms(0, 50)]
        assert page.frame.height == 0

    def test_a_page_cut_by_a_limit_nobody_told_us_of_covers_no_more_than_it_shows(self):
        """Field note: page limits depend on the endpoint (Bybit spot gives 60 trades, whatever is asked)."""
        rows = trades_at(*range(1000))
        exchange = Scripted(rows, limit=60, newest=True)

        (page,) = walk(paging.newest_page(lambda: exchange.since(0), ms(0, 1000)))

        assert_honest([page], rows)

    def test_an_empty_lie_is_asked_again(self):
        """Field note: an empty page is not the end."""
        rows = trades_at(*range(100))
        exchange = Scripted(rows, limit=500, lies=1)

        (page,) = walk(paging.newest_page(lambda: exchange.since(0), ms(0, 100)))

        assert rows_of([page], ms(1, 100)) == truth_in(rows, ms(1, 100))


class TestWindows:
    @given(rows=sparse, span=windows, window=st.integers(1, 50), lies=st.integers(0, 2), inclusive=st.booleans())
    @settings(max_examples=25, deadline=None)
    def test_any_sparse_series_is_whole(self, rows, span, window, lies, inclusive):
        exchange = Scripted(rows, limit=window + 1, lies=lies, inclusive_end=inclusive)

        assert_exact(walk(event_pages(exchange.span, span, window * MINUTE)), rows, span)

    @pytest.mark.parametrize("newest", [False, True], ids=["oldest first", "newest first"])
    def test_a_limit_smaller_than_the_window_is_not_taken_for_all_there_is(self, newest):
        """Field note: page limits depend on the endpoint (Bybit's open interest brings 200 rows, not 500)."""
        rows = bars_at(*range(499))
        exchange = Scripted(rows, limit=200, newest=newest)

        assert_honest(walk(event_pages(exchange.span, minutes(0, 499), 499 * MINUTE)), rows)
