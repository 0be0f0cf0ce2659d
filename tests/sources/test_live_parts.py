"""The pure parts of live feeds: clocks, pauses, silence, numbers, and books that are joined of two sources."""

from __future__ import annotations

import gzip
import random
import zlib

import pytest

from ticklake.core.dataset import Dataset
from ticklake.core.sequence import Jump
from ticklake.core.span import Span
from ticklake.core.time import MINUTE
from ticklake.sources.address import at_base
from ticklake.sources.live.bridge import Bridge, Change, WholeBook
from ticklake.sources.live.clock import SteeredClock
from ticklake.sources.live.continuity import Chain, TradeIds
from ticklake.sources.live.feeds import proof_of_stream
from ticklake.sources.live.socket import Backoff, unpacked
from ticklake.sources.live.watchdog import Silence, Watchdog
from ticklake.sources.wire.reading import Mark
from ticklake.sources.wire.rows import Row

SECOND = 10**9
KEY = ("trades", "BTCUSDT", "")


class Hands:
    """Two clocks that a test moves."""

    def __init__(self) -> None:
        self.wall = 1_000 * SECOND
        self.monotonic = 5 * SECOND

    def both(self, nanoseconds: int) -> None:
        self.wall += nanoseconds
        self.monotonic += nanoseconds


@pytest.fixture
def hands() -> Hands:
    return Hands()


@pytest.fixture
def clock(hands: Hands) -> SteeredClock:
    return SteeredClock(lambda: hands.wall, lambda: hands.monotonic)


def test_a_small_correction_of_the_wall_clock_is_taken_over_slowly(hands: Hands, clock: SteeredClock) -> None:
    hands.wall -= 10_000_000
    times = []
    for _ in range(30):
        hands.both(SECOND)
        times.append(clock())
    assert times == sorted(times)
    assert times[0] - hands.wall + 29 * SECOND == 9_500_000
    assert times[-1] == hands.wall


def test_a_wall_clock_that_was_set_is_taken_over_at_once(hands: Hands, clock: SteeredClock) -> None:
    hands.wall += 3_600 * SECOND
    hands.both(SECOND)
    assert clock() == hands.wall


def test_pauses_double_and_are_drawn_from_the_whole_range() -> None:
    backoff = Backoff(1.0, 8.0, random.Random(1))
    rounds = [[backoff.pause() for _ in range(6)]]
    for _ in range(200):
        backoff.reset()
        rounds.append([backoff.pause() for _ in range(6)])
    highest = [max(pauses) for pauses in zip(*rounds, strict=True)]
    lowest = [min(pauses) for pauses in zip(*rounds, strict=True)]
    for bound, high, low in zip((1, 2, 4, 8, 8, 8), highest, lowest, strict=True):
        assert 0.9 * bound < high <= bound
        assert low < 0.1 * bound


def test_one_seed_gives_the_same_pauses() -> None:
    assert Backoff(random=random.Random(3)).pause() == Backoff(random=random.Random(3)).pause()


def test_a_connection_without_any_sign_is_dead() -> None:
    watchdog = Watchdog(Silence(dead=30), now=0.0)
    assert watchdog.verdict(30.0) == "alive"
    assert watchdog.verdict(30.1) == "dead"


def test_a_connection_that_was_never_busy_is_quiet_after_the_longest_time() -> None:
    watchdog = Watchdog(Silence(dead=30, longest=900), now=0.0)
    for second in range(0, 902, 15):
        watchdog.sign(float(second))
    assert watchdog.verdict(900.0) == "alive"
    assert watchdog.verdict(901.0) == "quiet"


def test_the_connection_after_a_quiet_one_knows_the_usual_rate_and_may_be_quiet_for_longer() -> None:
    first = Watchdog(Silence(dead=10_000, factor=8, shortest=30, longest=900), now=0.0)
    for second in range(0, 500, 10):
        first.data(float(second))
    second_one = Watchdog(Silence(dead=10_000, factor=8, shortest=30, longest=900), now=600.0, before=first)
    assert second_one.patience == 160.0
    second_one.data(610.0)
    assert second_one.patience == 900.0, "an interval of 120 seconds has been seen"


def test_a_busy_connection_is_quiet_after_several_times_its_longest_usual_interval() -> None:
    watchdog = Watchdog(Silence(dead=1000, factor=8, shortest=30, longest=900), now=0.0)
    for second in range(0, 500, 10):
        watchdog.data(float(second))
    assert watchdog.verdict(490 + 79.0) == "alive"
    assert watchdog.verdict(490 + 81.0) == "quiet"


def test_time_in_which_nobody_read_is_no_silence() -> None:
    watchdog = Watchdog(Silence(dead=30), now=0.0)
    watchdog.pause(100.0)
    assert watchdog.verdict(120.0) == "alive"


def test_missing_ids_are_named_with_the_rows_around_them() -> None:
    ids = TradeIds()
    assert ids.follow(KEY, [(3, 30), (1, 10), (2, 20)]) == []
    assert ids.follow(KEY, [(2, 20)]) == []
    assert ids.follow(KEY, [(6, 60)]) == [Jump(30, 60, 4, 5)]


def test_ids_go_on_in_another_connection() -> None:
    old, new = TradeIds(), TradeIds()
    old.follow(KEY, [(1, 10), (2, 20)])
    new.follow(KEY, [(5, 50), (6, 60)])
    assert list(new.continue_from(old)) == [(KEY, Jump(20, 50, 3, 4))]


def test_a_connection_that_overlaps_another_misses_nothing() -> None:
    old, new = TradeIds(), TradeIds()
    old.follow(KEY, [(1, 10), (2, 20), (3, 30)])
    new.follow(KEY, [(2, 20), (3, 30)])
    assert list(new.continue_from(old)) == []


@pytest.mark.parametrize(
    ("marks", "verdict"),
    [
        ([Mark("book", "X", 1, 3), Mark("book", "X", 4, 5)], "follows"),
        ([Mark("book", "X", 1, 3), Mark("book", "X", 5, 6)], "broken"),
        ([Mark("book", "X", 1, 3), Mark("book", "X", 1, 3)], "repeated"),
        ([Mark("book", "X", 1, 3), Mark("book", "X", 9, 12, 3)], "follows"),
        ([Mark("book", "X", 1, 3), Mark("book", "X", 9, 12, 8)], "broken"),
        ([Mark("book", "X", 9, 9), Mark("book", "X", 2, 2, 9)], "follows"),
        ([Mark("book", "X", 9, 9), Mark("book", "X", 1, 1, starts=True)], "follows"),
        ([Mark("book", "X", 9, 9), Mark("book", "X")], "follows"),
    ],
)
def test_each_number_of_a_book_leads_on_from_the_one_before(marks: list[Mark], verdict: str) -> None:
    chain = Chain()
    verdicts = [chain.follow(mark) for mark in marks]
    assert verdicts[-1] == verdict


def book_row(ts: int, seq: int, whole: bool = False) -> Row:
    return Row("book", "X", (ts, None, seq, "bid", "1", "1", None, whole))


def spot(first: int, last: int) -> Change:
    return Change(0, [book_row(last, last)], Mark("book", "X", first, last))


def test_changes_up_to_the_whole_book_are_dropped() -> None:
    bridge = Bridge(WholeBook(0, [book_row(99, 7, whole=True)], 7))
    for change in (spot(5, 6), spot(7, 8), spot(9, 9)):
        bridge.hold(change)
    joined = bridge.join()
    assert joined is not None
    assert [change.mark.last for change in joined[1]] == [8, 9]
    assert joined[0].at(8)[0].values[:3] == (8, None, 7)


def test_a_whole_book_waits_for_the_change_after_it() -> None:
    bridge = Bridge(WholeBook(0, [], 7))
    bridge.hold(spot(5, 7))
    assert bridge.join() is None
    assert bridge.book is not None


def test_a_whole_book_that_is_too_old_is_dropped() -> None:
    bridge = Bridge(WholeBook(0, [], 7))
    bridge.hold(spot(9, 10))
    assert bridge.join() is None
    assert bridge.book is None


def test_futures_count_over_all_markets_so_that_a_book_may_lie_between_two_changes() -> None:
    bridge = Bridge(WholeBook(0, [], 7))
    bridge.hold(Change(0, [book_row(10, 10)], Mark("book", "X", 9, 10, 6)))
    assert bridge.join() is not None


def test_changes_before_a_break_are_of_no_use() -> None:
    bridge = Bridge()
    for change in (spot(1, 2), spot(5, 6)):
        bridge.hold(change)
    bridge.book = WholeBook(0, [], 4)
    joined = bridge.join()
    assert joined is not None
    assert [change.mark.last for change in joined[1]] == [6]


def test_a_trade_with_an_impossible_time_is_one_of_those_that_are_missing() -> None:
    dataset = Dataset.parse("binance:trades:BTC/USDT")
    at = 1_700_000_000 * SECOND

    def trade(number: int, ts: int | None) -> Row:
        return Row("trades", "BTCUSDT", (ts, at, str(number), "1", "1", "buy"), space="agg")

    followed = TradeIds()
    rows = [trade(1, at), trade(2, 0), trade(3, None), trade(4, at + 3 * 86_400 * SECOND), trade(5, at + 5)]
    (gap,) = followed.gaps(rows, {KEY: dataset}, at)
    assert (gap.first, gap.last, gap.span) == (2, 4, Span(at, at + 6))
    # Alone, too: most messages have one trade.
    assert [followed.gaps([row], {KEY: dataset}, at) for row in (trade(6, 0), trade(7, None))] == [[], []]
    (gap,) = followed.gaps([trade(8, at + 8)], {KEY: dataset}, at)
    assert (gap.first, gap.last, gap.span) == (6, 7, Span(at + 5, at + 9))


def test_addresses_keep_the_host_in_their_path() -> None:
    assert at_base("wss://ws.kraken.com/v2", "http://127.0.0.1:1/kraken") == "ws://127.0.0.1:1/ws.kraken.com/v2"
    assert at_base("wss://ws.kraken.com/v2", None) == "wss://ws.kraken.com/v2"


def test_addresses_of_calls_have_another_scheme_and_host() -> None:
    assert at_base("https://api.x.com/v3/depth?limit=5", "http://127.0.0.1:1/") == "http://127.0.0.1:1/v3/depth?limit=5"
    assert at_base("https://api.x.com/v3/depth", "http://127.0.0.1:1/x") == "http://127.0.0.1:1/x/v3/depth"


@pytest.mark.parametrize(
    "packed",
    [b'{"a":1}', gzip.compress(b'{"a":1}'), zlib.compress(b'{"a":1}', wbits=-zlib.MAX_WBITS)],
    ids=["plain", "gzip", "deflate"],
)
def test_binary_messages_are_unpacked(packed: bytes) -> None:
    assert unpacked(packed) == b'{"a":1}'


def test_streams_that_ccxt_reads_are_proven_by_nothing():
    """The messages of Bitget have checksums, but its parser keeps them to itself."""
    assert proof_of_stream("kraken", "book") == "checksum"
    assert [proof_of_stream(exchange, "book") for exchange in ("bitget", "bitfinex", "krakenfutures")] == ["none"] * 3


def test_a_small_message_that_is_huge_when_unpacked_stays_packed() -> None:
    mebibyte = bytes(2**20)
    members = gzip.compress(mebibyte) * 65
    assert unpacked(members) is members
    deflate = zlib.compressobj(wbits=-zlib.MAX_WBITS)
    packed = b"".join(deflate.compress(mebibyte) for _ in range(65)) + deflate.flush()
    assert unpacked(packed) is packed


def test_one_id_far_ahead_hides_no_gap_after_it() -> None:
    ids = TradeIds()
    ids.follow(KEY, [(1, 10)])
    assert ids.follow(KEY, [(2**62, 20)]) == [Jump(10, 20, 2, 2**62 - 1)]
    assert ids.follow(KEY, [(2, 30), (3, 40)]) == []
    assert ids.follow(KEY, [(6, 50)]) == [Jump(40, 50, 4, 5)]


def test_ids_that_go_on_far_ahead_are_followed_there() -> None:
    ids, far = TradeIds(), 10**9
    ids.follow(KEY, [(1, 10)])
    assert ids.follow(KEY, [(far, 20)]) == [Jump(10, 20, 2, far - 1)]
    assert ids.follow(KEY, [(far + 2, 30)]) == [Jump(20, 30, far + 1, far + 1)]


def test_ids_that_begin_anew_are_followed_after_a_minute() -> None:
    ids = TradeIds()
    ids.follow(KEY, [(1_000, 10)])
    assert ids.follow(KEY, [(1, 10 + MINUTE), (2, 20 + MINUTE)]) == []
    assert ids.follow(KEY, [(5, 30 + MINUTE)]) == [Jump(20 + MINUTE, 30 + MINUTE, 3, 4)]
