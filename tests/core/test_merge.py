from collections import Counter

import polars as pl
import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from polars.testing import assert_frame_equal

from ticklake.core.batch import canonical, number_prints, sort
from ticklake.core.kinds import KINDS, PROVENANCE
from ticklake.core.merge import ID_WINDOW, collapse, difference, key_of, key_of_batch
from ticklake.core.records import OHLCVBar, Quote, Trade
from ticklake.core.time import HOUR, MS, SECOND, US, parse_time

T = parse_time("2024-01-01")
OHLCV, TRADES, QUOTES, BOOK = (KINDS[name] for name in ("ohlcv", "trades", "quotes", "book"))


def frame_of(records, kind, keying, provenance=0):
    batch = sort(canonical(records, kind, provenance), kind)
    return number_prints(batch) if keying == "print" else batch


def apply(batch, existing, kind, keying):
    """What the lake holds after the batch, as a reader merges it; keys of one segment must be unique."""
    diff = difference(batch, existing, kind, keying)
    key = list(key_of(kind, keying))
    assert not diff.add.select(pl.struct(key).is_duplicated().any()).item()
    assert diff.add["ts"].is_sorted()
    assert diff.new + diff.changed + diff.duplicate == batch.height
    assert diff.before.height == diff.after.height == diff.changed
    return diff, collapse([existing.lazy(), diff.add.lazy()], kind, keying).collect()


def run(batches, kind, keying):
    state = kind.empty()
    for records in batches:
        _, state = apply(frame_of(records, kind, keying), state, kind, keying)
    return state


def rows(frame, kind):
    return frame.with_columns(pl.col("ts").to_physical()).select(kind.names).rows()


def bar(hour, close, volume=None, trades=None):
    return OHLCVBar(T + hour * HOUR, 1.0, 9.0, 0.5, float(close), volume, None, trades)


# Bars: one row a time

known_bars = st.builds(bar, st.integers(0, 5), st.integers(1, 3), st.sampled_from([1.0, 2.0]), st.sampled_from([1, 2]))
sparse_bars = st.builds(
    bar, st.integers(0, 5), st.integers(1, 2), st.sampled_from([None, 1.0]), st.sampled_from([None, 1])
)
bar_batches = st.lists(st.lists(known_bars, min_size=1, max_size=8), min_size=1, max_size=4)


@given(bar_batches)
def test_bars_end_as_the_last_that_came_for_each_time(batches):
    expected = {record.ts: record for batch in batches for record in batch}
    state = run(batches, OHLCV, "natural")
    assert rows(state, OHLCV) == rows(canonical([expected[ts] for ts in sorted(expected)], OHLCV), OHLCV)


@given(
    st.lists(sparse_bars, min_size=1, max_size=6),
    st.lists(sparse_bars, min_size=1, max_size=6, unique_by=lambda b: b.ts),
)
def test_a_bar_that_says_nothing_new_is_dropped_and_any_other_replaces_the_whole_row(first, second):
    def says_nothing_new(new, old):
        names = [name for name in OHLCV.names if getattr(new, name) is not None]
        return old is not None and all(getattr(new, name) == getattr(old, name) for name in names)

    held = {record.ts: record for record in first}
    before = dict(held)
    existing = frame_of(list(held.values()), OHLCV, "natural")
    diff, state = apply(frame_of(second, OHLCV, "natural"), existing, OHLCV, "natural")
    for record in second:
        if not says_nothing_new(record, held.get(record.ts)):
            held[record.ts] = record
    assert rows(state, OHLCV) == rows(canonical([held[ts] for ts in sorted(held)], OHLCV), OHLCV)
    assert diff.new == len(held) - len(before)
    assert diff.changed == sum(held[ts] != before[ts] for ts in before)


@given(st.lists(known_bars, min_size=1, max_size=8))
def test_a_batch_on_an_empty_lake_counts_each_key_once(batch):
    diff = difference(frame_of(batch, OHLCV, "natural"), OHLCV.empty(), OHLCV, "natural")
    keys = {record.ts for record in batch}
    assert diff.new == len(keys)
    assert diff.changed + diff.duplicate == len(batch) - len(keys)


@given(bar_batches)
def test_the_same_batch_again_writes_nothing(batches):
    state = run(batches, OHLCV, "natural")
    again = difference(frame_of(batches[-1], OHLCV, "natural"), state, OHLCV, "natural")
    assert again.add.height == 0


@given(bar_batches)
@example([[bar(0, 1, 1.0, 1), bar(0, 2, 1.0, 1)]])
def test_the_same_batch_again_changes_nothing(batches):
    """Appending the same batch twice changes nothing: no revision either, even if it repeats a key with other values."""
    state = run(batches, OHLCV, "natural")
    again = difference(frame_of(batches[-1], OHLCV, "natural"), state, OHLCV, "natural")
    assert (again.new, again.changed, again.duplicate) == (0, 0, len(batches[-1]))


@given(st.lists(sparse_bars, min_size=2, max_size=6))
@example([bar(0, 1, 5.0), bar(0, 1)])
def test_rows_in_one_batch_end_as_they_would_in_a_batch_each(batch):
    ordered = sorted(batch, key=lambda record: record.ts)
    together = run([ordered], OHLCV, "natural")
    apart = run([[record] for record in ordered], OHLCV, "natural")
    assert rows(together, OHLCV) == rows(apart, OHLCV)


def test_a_changed_bar_is_reported_with_what_it_replaces():
    """Field note: late-final bars."""
    existing = frame_of([bar(0, 1), bar(1, 1)], OHLCV, "natural", 1)
    diff = difference(frame_of([bar(0, 1), bar(1, 2), bar(2, 1)], OHLCV, "natural", 2), existing, OHLCV, "natural")
    assert (diff.new, diff.changed, diff.duplicate) == (1, 1, 1)
    assert diff.before.select("close", PROVENANCE).rows() == [(1.0, 1)]
    assert diff.after.select("close", PROVENANCE).rows() == [(2.0, 2)]
    assert diff.before["ts"].equals(diff.after["ts"])
    assert diff.add.select("close", PROVENANCE).rows() == [(2.0, 2), (1.0, 2)]


def test_a_repeated_key_inside_a_batch_keeps_the_last_and_reports_the_others():
    diff = difference(frame_of([bar(0, 1), bar(0, 2), bar(0, 2)], OHLCV, "natural"), OHLCV.empty(), OHLCV, "natural")
    assert (diff.new, diff.changed, diff.duplicate) == (1, 1, 1)
    assert diff.add["close"].to_list() == [2.0]
    assert (diff.before["close"].to_list(), diff.after["close"].to_list()) == ([1.0], [2.0])


def test_a_value_that_becomes_known_is_a_change():
    existing = frame_of([bar(0, 1)], OHLCV, "natural")
    diff = difference(frame_of([bar(0, 1, 5.0)], OHLCV, "natural"), existing, OHLCV, "natural")
    assert (diff.changed, diff.add["volume"].to_list()) == (1, [5.0])


def test_a_value_that_is_no_longer_told_is_not_unlearned():
    existing = frame_of([bar(0, 1, 5.0)], OHLCV, "natural")
    diff = difference(frame_of([bar(0, 1)], OHLCV, "natural"), existing, OHLCV, "natural")
    assert (diff.duplicate, diff.add.height) == (1, 0)


def test_where_a_row_came_from_does_not_make_it_another():
    existing = frame_of([bar(0, 1)], OHLCV, "natural", 1)
    assert difference(frame_of([bar(0, 1)], OHLCV, "natural", 2), existing, OHLCV, "natural").duplicate == 1


def test_when_a_row_was_received_does_not_make_it_another():
    existing = frame_of([Trade(T, 1.0, 1.0, "buy", "1", T + 1)], TRADES, "id")
    batch = frame_of([Trade(T, 1.0, 1.0, "buy", "1", T + 2)], TRADES, "id")
    assert difference(batch, existing, TRADES, "id").duplicate == 1


@pytest.mark.parametrize("kind", [OHLCV, TRADES, QUOTES, BOOK], ids=lambda kind: kind.name)
def test_an_empty_batch_brings_nothing(kind):
    diff = difference(kind.empty(), kind.empty(), kind, "natural")
    assert (diff.new, diff.changed, diff.duplicate, diff.add.height) == (0, 0, 0, 0)


# Trades with ids


def trade(second, price=1.0, name="1", amount=1.0, side="buy"):
    return Trade(T + int(second * SECOND), price, amount, side, name)


id_trades = st.builds(
    trade,
    st.integers(0, 3).map(lambda n: 10 * n),
    st.sampled_from([1.0, 2.0]),
    st.sampled_from("abc"),
    side=st.sampled_from(["buy", "sell"]),
)
id_batches = st.lists(st.lists(id_trades, min_size=1, max_size=8), min_size=1, max_size=4)


@given(id_batches)
def test_trades_end_as_the_last_that_came_for_each_time_and_id(batches):
    expected = {(record.ts, record.id): record for batch in batches for record in batch}
    state = run(batches, TRADES, "id")
    assert sorted(rows(state, TRADES)) == sorted(rows(canonical(list(expected.values()), TRADES), TRADES))


@pytest.mark.parametrize("shift", [1, US, 400 * MS, SECOND, -1, -SECOND])
def test_an_id_that_comes_back_with_another_time_precision_is_the_same_trade(shift):
    existing = frame_of([trade(10)], TRADES, "id")
    batch = frame_of([Trade(T + 10 * SECOND + shift, 1.0, 1.0, "buy", "1")], TRADES, "id")
    diff, state = apply(batch, existing, TRADES, "id")
    assert (diff.new, diff.changed, diff.duplicate) == (0, 0, 1)
    assert_frame_equal(state, existing)


def test_an_id_that_comes_back_changed_keeps_the_time_the_lake_knows():
    existing = frame_of([trade(10)], TRADES, "id")
    diff, state = apply(frame_of([trade(10.4, price=2.0)], TRADES, "id"), existing, TRADES, "id")
    assert (diff.new, diff.changed) == (0, 1)
    assert state.select("price", pl.col("ts").to_physical()).rows() == [(2.0, T + 10 * SECOND)]


def test_an_id_that_comes_back_long_after_is_another_trade():
    """Field note: ids may restart after a relisting."""
    existing = frame_of([trade(10)], TRADES, "id")
    batch = frame_of([Trade(T + 10 * SECOND + ID_WINDOW + 1, 1.0, 1.0, "buy", "1")], TRADES, "id")
    diff, state = apply(batch, existing, TRADES, "id")
    assert (diff.new, state.height) == (1, 2)


@pytest.mark.parametrize("second", [10.4, 9.6, 5000.4, 4999.6])
def test_an_id_that_the_lake_knows_twice_is_the_nearer_one(second):
    existing = frame_of([trade(10), trade(5000)], TRADES, "id")
    diff, state = apply(frame_of([trade(second)], TRADES, "id"), existing, TRADES, "id")
    assert (diff.new, diff.duplicate, state.height) == (0, 1, 2)


def test_one_trade_told_twice_with_two_precisions_replaces_the_known_one_once():
    existing = frame_of([trade(10)], TRADES, "id")
    batch = frame_of([trade(10, price=2.0), trade(10.4, price=2.0)], TRADES, "id")
    diff, state = apply(batch, existing, TRADES, "id")
    assert state["price"].to_list() == [2.0]
    assert (diff.new, diff.changed + diff.duplicate) == (0, 2)


def test_other_ids_at_the_same_time_are_other_trades():
    existing = frame_of([trade(10, name="1")], TRADES, "id")
    diff, state = apply(frame_of([trade(10, name="2"), trade(10, name="3")], TRADES, "id"), existing, TRADES, "id")
    assert (diff.new, state.height) == (2, 3)


near_trades = st.builds(
    trade,
    st.tuples(st.integers(0, 2), st.sampled_from([0, 0.001, 0.4])).map(lambda pair: 10 * pair[0] + pair[1]),
    st.sampled_from([1.0, 2.0]),
    st.sampled_from("ab"),
)


@given(st.lists(st.lists(near_trades, min_size=1, max_size=1), min_size=1, max_size=8))
@example([[trade(0, name="a")], [trade(10, name="a")], [trade(0.001, name="a")]])
def test_trades_that_come_one_by_one_are_one_per_id_and_instant_whatever_the_precision(batches):
    state = run(batches, TRADES, "id")
    facts = Counter((ts // SECOND, name) for ts, _, name, *_ in rows(state, TRADES))
    assert facts == Counter({(record.ts // SECOND, record.id) for batch in batches for record in batch})


# Trades without ids

prints = st.builds(
    trade, st.integers(0, 2), st.sampled_from([1.0, 2.0]), st.none(), side=st.sampled_from(["buy", None])
)


@given(st.lists(st.lists(prints, min_size=1, max_size=8), min_size=1, max_size=4))
def test_prints_end_as_the_most_that_any_batch_held_of_each(batches):
    """Field note: identical prints are real, and a second download does not double them."""
    expected = Counter()
    for batch in batches:
        expected |= Counter((p.ts, p.price, p.amount, p.side) for p in batch)
    state = run(batches, TRADES, "print")
    assert Counter((ts, price, amount, side) for ts, _, _, price, amount, side in rows(state, TRADES)) == expected


def test_one_more_identical_print_is_one_new_row():
    existing = frame_of([trade(1, name=None)] * 2, TRADES, "print")
    diff, state = apply(frame_of([trade(1, name=None)] * 3, TRADES, "print"), existing, TRADES, "print")
    assert (diff.new, diff.duplicate, state.height) == (1, 2, 3)
    assert state["n"].to_list() == [0, 1, 2]


def test_a_print_whose_id_becomes_known_is_a_change_and_is_not_doubled():
    existing = frame_of([trade(1, name=None)], TRADES, "print")
    diff, state = apply(frame_of([trade(1, name="7")], TRADES, "print"), existing, TRADES, "print")
    assert (diff.new, diff.changed, state["id"].to_list()) == (0, 1, ["7"])


@pytest.mark.parametrize(
    ("ids", "keying"), [(["1", "2"], "id"), (["1", None], "print"), ([None, None], "print"), ([], "print")]
)
def test_trades_are_told_apart_by_id_only_if_every_one_has_one(ids, keying):
    assert key_of_batch(canonical([trade(1, name=text) for text in ids], TRADES), TRADES) == keying


@pytest.mark.parametrize("kind", [kind for kind in KINDS.values() if "id" not in kind.key], ids=lambda kind: kind.name)
def test_kinds_without_ids_have_their_own_key(kind):
    assert key_of_batch(kind.empty(), kind) == "natural"
    assert key_of(kind, "natural") == kind.key


def test_prints_are_told_apart_by_all_they_say_and_their_number():
    assert key_of(TRADES, "print") == ("ts", "price", "amount", "side", "n")


# Quotes and books

quotes = st.builds(
    Quote,
    st.integers(T, T + 2),
    st.sampled_from([None, 1.0]),
    bid_amount=st.sampled_from([None, 1.0]),
    ask_price=st.just(2.0),
    seq=st.sampled_from([None, 1]),
)


@given(st.lists(st.lists(quotes, min_size=1, max_size=6), min_size=1, max_size=3))
@example([[Quote(T + ns, ask_price=2.0) for ns in (0, 0, 1, 1)]])
def test_quotes_end_as_the_set_of_what_was_said(batches):
    state = run(batches, QUOTES, "natural")
    expected = {(q.ts, None, q.seq, q.bid_price, q.bid_amount, q.ask_price, None) for batch in batches for q in batch}
    found = rows(state, QUOTES)
    assert len(found) == len(set(found))
    assert set(found) == expected


def test_a_book_level_that_changed_replaces_the_old_one():
    def level(amount, price=1.0):
        return {"ts": T, "seq": 1, "side": "bid", "price": price, "amount": amount, "is_snapshot": True}

    existing = frame_of([level(1.0), level(1.0, 2.0)], BOOK, "natural")
    diff, state = apply(frame_of([level(3.0)], BOOK, "natural"), existing, BOOK, "natural")
    assert (diff.changed, sorted(state["amount"])) == (1, [1.0, 3.0])


# Collapsing


@given(st.lists(st.lists(known_bars, max_size=5, unique_by=lambda b: b.ts), min_size=1, max_size=4))
def test_collapsing_lets_the_newest_row_of_each_key_win_and_sorts(batches):
    frames = [frame_of(batch, OHLCV, "natural").lazy() for batch in batches]
    newest = {record.ts: record for batch in batches for record in batch}
    expected = canonical([newest[ts] for ts in sorted(newest)], OHLCV)
    assert_frame_equal(collapse(frames, OHLCV, "natural").collect(), expected)


def test_collapsing_keeps_the_order_of_trades_at_one_instant():
    first = frame_of([trade(1, name="b"), trade(1, name="a")], TRADES, "id").lazy()
    second = frame_of([trade(1, name="c"), trade(0, name="z")], TRADES, "id").lazy()
    assert collapse([first, second], TRADES, "id").collect()["id"].to_list() == ["z", "b", "a", "c"]


def test_a_corrected_trade_stands_where_it_stood():
    first = frame_of([Trade(T, 1.0, 1.0, id="1"), Trade(T, 2.0, 1.0, id="2")], TRADES, "id")
    diff, merged = apply(frame_of([Trade(T, 1.0, 5.0, id="1")], TRADES, "id"), first, TRADES, "id")
    assert diff.changed == 1
    # Else the close of its bar would be another one.
    assert merged["id"].to_list() == ["1", "2"]
    assert merged["amount"].to_list() == [5.0, 1.0]
