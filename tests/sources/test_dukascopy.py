"""Dukascopy's hourly files, from a feed on loopback."""

from __future__ import annotations

import lzma
import struct
import threading
from collections import Counter
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest

from ticklake.app import memory_lake
from ticklake.config import Settings
from ticklake.core.gaps import GapReason
from ticklake.core.span import Span
from ticklake.core.symbol import Symbol
from ticklake.core.time import HOUR, MS, parse_time
from ticklake.errors import BadResponse, UnknownSymbol, Unsupported
from ticklake.sources.dukascopy.files import PAIRS, decode, path_of, points_of

EURUSD = "dukascopy:quotes:EUR/USD"
FRIDAY_NOON, MONDAY = "2024-01-05T12:00", "2024-01-08"
NOW = parse_time("2024-02-01")
TICKS = [(173, 111815, 111812, 1.12, 0.75), (173, 111815, 111812, 1.12, 0.75), (1_500, 111816, 111812, 37.12, 2.25)]


def bi5(ticks=TICKS):
    raw = b"".join(struct.pack(">3I2f", *tick) for tick in ticks)
    return lzma.compress(raw, lzma.FORMAT_ALONE)


class Feed:
    """Serves files by path; ``answers`` are taken first, one a request."""

    def __init__(self):
        self.files, self.answers, self.asked = {}, {}, Counter()
        feed = self

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self):
                path = self.path.lstrip("/")
                feed.asked[path] += 1
                queue = feed.answers.get(path, [])
                status, body = queue.pop(0) if queue else (200, feed.files[path]) if path in feed.files else (404, b"")
                self.send_response(status)
                self.send_header("Content-Length", str(len(body)))
                self.end_headers()
                self.wfile.write(body)

            def log_message(self, *_):
                pass

        self.server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self.server.server_port}"
        self.thread = threading.Thread(target=self.server.serve_forever, kwargs={"poll_interval": 0.01})
        self.thread.start()

    def put(self, start, end, symbol="EUR/USD", body=None):
        for hour in range(parse_time(start), parse_time(end), HOUR):
            self.files[path_of(Symbol(symbol), hour)] = bi5() if body is None else body

    def close(self):
        self.server.shutdown()
        self.server.server_close()
        self.thread.join()


@pytest.fixture
def feed():
    feed = Feed()
    yield feed
    feed.close()


@pytest.fixture
def lake(feed):
    settings = Settings(
        exchanges={"dukascopy": {"url": feed.url, "timeout": 5}},
        retry={"attempts": 3, "first_wait": 0, "longest_wait": 0},
    )
    with memory_lake(settings, lambda: NOW) as lake:
        yield lake


def fetch(lake, start=FRIDAY_NOON, end=MONDAY, **options):
    return lake.backfill("dukascopy", "EUR/USD", kind="quotes", start=start, end=end, **options)


def test_the_month_of_an_address_counts_from_zero():
    assert path_of(Symbol("EUR/USD"), parse_time("2024-01-05T13:00")) == "datafeed/EURUSD/2024/00/05/13h_ticks.bi5"


def test_prices_times_and_amounts_are_exact():
    hour = parse_time("2024-01-05T13:00")
    rows = decode(bi5(), hour, 100_000)
    assert rows["ts"].to_physical().to_list() == [hour + 173 * MS, hour + 173 * MS, hour + 1500 * MS]
    assert rows["ask_price"].to_list() == [1.11815, 1.11815, 1.11816]
    assert rows["bid_price"].to_list() == [1.11812] * 3
    assert rows["ask_amount"].to_list() == [1_120_000, 1_120_000, 37_120_000]
    assert rows["bid_amount"].to_list() == [750_000, 750_000, 2_250_000]


@pytest.mark.parametrize(("pair", "points"), [("EUR/USD", 100_000), ("USD/JPY", 1_000), ("XAU/USD", 1_000)])
def test_points_depend_on_the_pair(pair, points):
    assert points_of(Symbol(pair)) == points
    assert pair in PAIRS


def test_a_pair_of_unknown_scale_is_refused_not_guessed():
    with pytest.raises(UnknownSymbol, match="scale of prices"):
        points_of(Symbol("BTC/USD"))


@pytest.mark.parametrize(
    "body", [b"<html>busy</html>", bi5()[:-12], bi5([(3_600_000, 1, 1, 1.0, 1.0)])], ids=["no LZMA", "cut", "off"]
)
def test_what_is_no_file_of_ticks_is_refused(body):
    with pytest.raises(BadResponse):
        decode(body, 0, 100_000)


def sized(body, size):
    """Write into the header how many bytes are in the file, which then needs no mark of its end."""
    return body[:5] + struct.pack("<Q", size) + body[13:]


@pytest.mark.parametrize("says_size", [False, True])
def test_a_file_that_is_cut_anywhere_is_refused_or_has_all_its_ticks(says_size):
    ticks = [(number, 110_000 + number, 109_990, 1.0, 2.0) for number in range(40)]
    body = bi5(ticks)
    if says_size:
        body = sized(body, 20 * len(ticks))
    heights = set()
    for length in range(1, len(body) + 1):
        try:
            heights.add(decode(body[:length], 0, 100_000).height)
        except BadResponse:
            continue
    assert heights == {len(ticks)}


def test_a_file_that_unpacks_to_too_much_is_refused():
    with pytest.raises(BadResponse, match="more than"):
        decode(lzma.compress(bytes(65 * 2**20), lzma.FORMAT_ALONE), 0, 100_000)


def test_over_a_weekend_nothing_is_missing_and_no_closed_hour_is_asked(feed, lake):
    feed.put(FRIDAY_NOON, "2024-01-05T22:00")
    feed.put("2024-01-07T22:00", MONDAY)
    run = fetch(lake)
    assert run.state == "succeeded", run.outcome
    assert lake.gaps(EURUSD) == []
    assert lake.missing_intervals(EURUSD) == []
    assert sum(feed.asked.values()) == 12
    rows = lake.load(EURUSD)
    assert rows.height == 12 * 2, "identical quotes at one instant are one"
    assert rows["ts"].is_sorted()


def test_what_was_never_asked_is_not_fetched_but_for_the_weekend(feed, lake):
    feed.put("2024-01-05T20:00", "2024-01-05T22:00")
    fetch(lake, "2024-01-05T20:00", "2024-01-05T22:00")
    told = lake.gaps(EURUSD, "2024-01-05", "2024-01-09")
    assert [(gap.span, gap.reason) for gap in told] == [
        (Span.parse("2024-01-05", "2024-01-05T20:00"), GapReason.NOT_FETCHED),
        (Span.parse("2024-01-07T22:00", "2024-01-09"), GapReason.NOT_FETCHED),
    ]


def test_a_second_run_asks_for_nothing(feed, lake):
    feed.put(FRIDAY_NOON, "2024-01-05T22:00")
    feed.put("2024-01-07T22:00", MONDAY)
    fetch(lake)
    feed.asked.clear()
    assert fetch(lake).state == "succeeded"
    assert not feed.asked


def test_an_empty_file_is_an_hour_without_quotes(feed, lake):
    feed.put("2024-01-03", "2024-01-03T02:00", body=b"")
    assert fetch(lake, "2024-01-03", "2024-01-03T02:00").state == "succeeded"
    assert lake.gaps(EURUSD, "2024-01-03", "2024-01-03T02:00") == []


def test_an_hour_on_a_working_day_without_a_file_is_unavailable(feed, lake):
    feed.put("2024-01-03", "2024-01-03T02:00")
    run = fetch(lake, "2024-01-03", "2024-01-03T03:00")
    assert run.state == "incomplete"
    (gap,) = lake.gaps(EURUSD, "2024-01-03", "2024-01-03T03:00")
    assert (gap.span, gap.reason) == (Span.parse("2024-01-03T02:00", "2024-01-03T03:00"), GapReason.UNAVAILABLE)
    feed.put("2024-01-03T02:00", "2024-01-03T03:00")
    assert fetch(lake, "2024-01-03", "2024-01-03T03:00", retry=True).state == "succeeded"


def test_a_file_that_may_still_come_is_asked_again_next_time(feed, lake):
    feed.put("2024-01-31T20:00", "2024-01-31T22:00")
    assert fetch(lake, "2024-01-31T20:00", "2024-01-31T23:00").state == "incomplete"
    assert [gap.reason for gap in lake.gaps(EURUSD, "2024-01-31T20:00", "2024-01-31T23:00")] == [GapReason.NOT_FETCHED]
    feed.put("2024-01-31T22:00", "2024-01-31T23:00")
    assert fetch(lake, "2024-01-31T20:00", "2024-01-31T23:00").state == "succeeded"


def test_the_newest_hour_is_left_until_it_is_published(feed, lake):
    feed.put("2024-01-31T20:00", "2024-02-01")
    run = lake.backfill("dukascopy", "EUR/USD", kind="quotes", start="2024-01-31T20:00")
    assert run.state == "succeeded", run.outcome
    assert lake.coverage(EURUSD).spans() == [Span.parse("2024-01-31T20:00", "2024-01-31T23:00")]


@pytest.mark.parametrize(
    "bad", [(500, b""), (429, b""), (200, b"<html>"), (200, bi5()[:-12])], ids=["500", "429", "html", "cut"]
)
def test_a_bad_answer_is_asked_again(feed, lake, bad):
    feed.put("2024-01-03", "2024-01-03T01:00")
    feed.answers[path_of(Symbol("EUR/USD"), parse_time("2024-01-03"))] = [bad, bad]
    run = fetch(lake, "2024-01-03", "2024-01-03T01:00")
    assert run.state == "succeeded", run.outcome
    assert lake.load(EURUSD).height == 2


def test_a_refusal_fails_the_run_and_covers_nothing(feed, lake):
    feed.answers[path_of(Symbol("EUR/USD"), parse_time("2024-01-03"))] = [(403, b"")]
    assert fetch(lake, "2024-01-03", "2024-01-03T01:00").state == "failed"
    assert lake.coverage(lake.datasets()[0]).spans() == []


def test_only_quotes_are_served(lake):
    with pytest.raises(Unsupported, match="it serves quotes"):
        lake.backfill("dukascopy", "EUR/USD", "1h", start="2024-01-03")


def test_patterns_expand_over_the_known_pairs(feed, lake):
    feed.put("2024-01-03", "2024-01-03T01:00", "XAU/USD")
    feed.put("2024-01-03", "2024-01-03T01:00", "XAG/USD")
    lake.backfill("dukascopy", "XA*", kind="quotes", start="2024-01-03", end="2024-01-03T01:00")
    assert [str(one) for one in lake.datasets()] == ["dukascopy:quotes:XAG/USD", "dukascopy:quotes:XAU/USD"]
