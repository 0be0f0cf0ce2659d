"""Events of several datasets in order, as a back-test needs them."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import chain
from typing import Any

import polars as pl
import pyarrow as pa
import pytest
from event_rows import ALL, BARS, FUNDING, OTHER, QUOTES, TRADES, fill, random_rows

from ticklake.app import memory_lake, open_lake
from ticklake.config import Settings
from ticklake.core.dataset import Dataset
from ticklake.core.kinds import TIME
from ticklake.core.time import DAY, HOUR, MINUTE, SECOND, parse_time
from ticklake.engine.read import load
from ticklake.errors import BadInput, UnknownDataset
from ticklake.lake import Lake
from ticklake.testing.clocks import ManualClock
from ticklake.testing.rows import START, bars, trades


@pytest.fixture
def lake() -> Iterator[Lake]:
    with memory_lake() as lake:
        yield lake


def expected(lake: Lake, names: list[str], start: int, end: int, by: str) -> list[tuple[int, str, tuple[Any, ...]]]:
    """Sort all rows at once, by the rules of the documentation."""
    events = []
    for order, name in enumerate(names):
        dataset = Dataset.parse(name)
        rows = lake.load(name).with_columns(pl.selectors.temporal().to_physical())
        for place, row in enumerate(rows.iter_rows(named=True)):
            happened = row["ts"] + (MINUTE if dataset.kind == "ohlcv" else 0)
            received = row.get("received_at")
            known = happened
            if received is not None and received - happened <= DAY:
                known = max(received, happened)
            time, then = (happened, known) if by == "exchange" else (known, happened)
            if start <= time < end:
                events.append((time, then, order, place, name, tuple(row.values())))
    return [(time, name, row) for time, _, _, _, name, row in sorted(events, key=lambda event: event[:4])]


def told(events: Iterator[Any]) -> list[tuple[int, str, tuple[Any, ...]]]:
    return [(event.time, str(event.dataset), tuple(event.row)) for event in events]


@pytest.mark.parametrize("by", ["exchange", "received"])
@pytest.mark.parametrize("most", [30, 1 << 17])
def test_events_are_all_rows_in_order(lake, monkeypatch, by, most):
    monkeypatch.setattr("ticklake.query.iterate._WINDOW_ROWS", most)
    monkeypatch.setattr("ticklake.query.iterate._LEAST_ROWS", 1)
    fill(lake, random_rows(most, 120, 6 * HOUR))
    for start, end in [
        (START - DAY, START + 30 * DAY),
        (START + HOUR, START + 2 * HOUR),
        (START + 5, START + 6 * HOUR - 1),
    ]:
        assert told(lake.iterate(ALL, start, end, by=by)) == expected(lake, ALL, start, end, by)
    assert told(lake.iterate(ALL, by=by)) == expected(lake, ALL, START - DAY, START + 30 * DAY, by)


def test_a_bar_is_an_event_when_it_closes(lake):
    lake.save(BARS, bars(0, 2))
    lake.save(TRADES, trades(58, 62))
    kinds = [(event.dataset.kind, (event.time - START) // SECOND) for event in lake.iterate([TRADES, BARS])]
    assert kinds == [("trades", 58), ("trades", 59), ("trades", 60), ("ohlcv", 60), ("trades", 61), ("ohlcv", 120)]
    # The bar that is open at the start is an event inside the span.
    first = next(lake.iterate([BARS], START + 30 * SECOND))
    assert (first.time, first.row.ts) == (START + MINUTE, START)


def test_the_bar_of_a_month_is_an_event_when_the_month_is_over(lake):
    month = "x:ohlcv:1M:BTC/USDT"
    lake.save(month, bars(0, 1).with_columns(ts=pl.lit(parse_time("2024-02-01")).cast(TIME)))
    assert [event.time for event in lake.iterate(month, "2024-02-29")] == [parse_time("2024-03-01")]
    assert list(lake.iterate(month, "2024-02-01", "2024-03-01")) == []


def test_the_order_of_the_datasets_decides_between_events_of_one_time(lake):
    for name in (TRADES, OTHER):
        lake.save(name, trades(0, 3))
    for names in ([TRADES, OTHER], [OTHER, TRADES]):
        assert [str(event.dataset) for event in lake.iterate(names)] == names * 3


def test_batches_hold_so_many_events_whatever_the_windows(lake, monkeypatch):
    fill(lake, random_rows(1, 300, 6 * HOUR))
    whole = pl.concat(lake.iterate(ALL, as_="frames"))
    assert whole.columns[:2] == ["dataset", "time"]
    assert whole["time"].is_sorted()
    monkeypatch.setattr("ticklake.query.iterate._WINDOW_ROWS", 150)
    monkeypatch.setattr("ticklake.query.iterate._LEAST_ROWS", 1)
    frames = list(lake.iterate(ALL, as_="frames", batch=100))
    assert {frame.height for frame in frames[:-1]} == {100}
    assert pl.concat(frames).equals(whole)
    batches = list(lake.iterate(ALL, as_="arrow", batch=100))
    assert all(isinstance(batch, pa.RecordBatch) for batch in batches)
    assert [batch.num_rows for batch in batches] == [frame.height for frame in frames]
    assert pl.DataFrame(pa.Table.from_batches(batches)).rows() == whole.rows()
    lists = list(lake.iterate(ALL, batch=100))
    assert [len(events) for events in lists] == [frame.height for frame in frames]
    assert told(chain.from_iterable(lists)) == told(lake.iterate(ALL))


def test_rows_of_one_instant_are_not_torn_apart_however_many(lake, monkeypatch):
    monkeypatch.setattr("ticklake.query.iterate._WINDOW_ROWS", 10)
    monkeypatch.setattr("ticklake.query.iterate._LEAST_ROWS", 1)
    at_once = trades(0, 1000).with_columns(ts=pl.lit(START).cast(TIME))
    lake.save(TRADES, pl.concat([at_once, trades(1000, 1010)]))
    ids = [int(event.row.id) for event in lake.iterate(TRADES)]
    assert ids == list(map(int, lake.load(TRADES)["id"]))


def test_a_burst_that_no_block_tells_is_read_in_parts(lake, monkeypatch):
    monkeypatch.setattr("ticklake.query.iterate._WINDOW_ROWS", 100)
    monkeypatch.setattr("ticklake.query.iterate._LEAST_ROWS", 1)
    burst = trades(0, 5000, interval=7)
    lone = trades(5000, 5001, interval=DAY // 100)
    lake.save(TRADES, pl.concat([burst, lone]))
    read: list[int] = []

    def counted(*arguments: Any, **named: Any) -> pl.DataFrame:
        rows = load(*arguments, **named)
        read.append(rows.height)
        return rows

    monkeypatch.setattr("ticklake.query.iterate.load", counted)
    assert sum(1 for _ in lake.iterate(TRADES)) == 5001
    assert sorted(read)[len(read) // 2] <= 400


def test_a_row_that_was_changed_comes_as_it_was_known_and_again_when_it_was_changed():
    clock = ManualClock(START + 10 * MINUTE)
    with memory_lake(clock=clock) as lake:
        lake.save(BARS, bars(0, 5))
        clock.now = START + 20 * MINUTE
        lake.save(BARS, bars(1, 2, bump=10.0))
        lake.save(BARS, bars(12, 15))
        old, new = (bars(1, 2, bump=bump)["close"][0] for bump in (0.0, 10.0))

        def changed(**options: Any) -> list[tuple[int, float]]:
            events = lake.iterate(BARS, **options)
            return [
                ((event.time - START) // MINUTE, event.row.close) for event in events if event.row.ts == START + MINUTE
            ]

        assert changed(by="exchange") == [(2, new)]
        assert changed(by="received") == [(2, old), (20, new)]
        # It happened long before the first event, and was changed after it.
        assert changed(by="received", start=START + 18 * MINUTE) == [(20, new)]
        assert changed(by="received", end=START + 18 * MINUTE) == [(2, old)]
        assert [event.time for event in lake.iterate(BARS, by="received")] == sorted(
            event.time for event in lake.iterate(BARS, by="received")
        )


def test_it_goes_on_where_it_ended(lake):
    fill(lake, random_rows(2, 200, 6 * HOUR))
    for by in ("exchange", "received"):
        whole = told(lake.iterate(ALL, by=by))
        middle = whole[len(whole) // 2][0]
        first = told(lake.iterate(ALL, end=middle, by=by))
        assert first + told(lake.iterate(ALL, middle, by=by)) == whole


def test_who_writes_meanwhile_changes_nothing(tmp_path, monkeypatch):
    monkeypatch.setattr("ticklake.query.iterate._WINDOW_ROWS", 100)
    monkeypatch.setattr("ticklake.query.iterate._LEAST_ROWS", 1)
    with open_lake(tmp_path, settings=Settings()) as lake, open_lake(tmp_path, settings=Settings()) as other:
        fill(lake, random_rows(3, 200, 6 * HOUR))
        whole = told(lake.iterate(ALL))
        events = lake.iterate(ALL)
        seen = [next(events) for _ in range(10)]
        other.save(TRADES, trades(0, 1000, interval=17 * SECOND))
        seen += [next(events) for _ in range(10)]
        other.compact()
        seen += [next(events) for _ in range(10)]
        other.delete(QUOTES)
        other.drop(OTHER)
        assert told(iter([*seen, *events])) == whole
        # The version is that of the call, not of the first event.
        waiting = lake.iterate(TRADES)
        count = lake.load(TRADES).height
        other.delete(TRADES)
        assert sum(1 for _ in waiting) == count


def test_some_columns(lake):
    lake.save(BARS, bars(0, 1))
    lake.save(TRADES, trades(0, 1))
    frame = pl.concat(lake.iterate([BARS, TRADES], as_="frames", columns=["price", "close"]))
    assert frame.columns == ["dataset", "time", "close", "price"]
    rows = [event.row._asdict() for event in lake.iterate([BARS, TRADES], columns="price")]
    assert rows == [{"price": trades(0, 1)["price"][0]}, {}]


def test_a_dataset_without_rows_has_no_events(lake):
    lake.save(TRADES, trades(0, 3))
    lake.delete(TRADES)
    for form in ("objects", "arrow", "frames"):
        assert list(lake.iterate(TRADES, as_=form)) == []
        assert list(lake.iterate(TRADES, START, START + 5, as_=form, by="received")) == []


def test_times_at_the_edges(lake):
    edges = [parse_time("1677-09-22"), START]
    rows = pl.DataFrame({"ts": pl.Series(edges, dtype=pl.Int64).cast(TIME), "rate": [1.0, 2.0]})
    lake.save(FUNDING, rows)
    for by in ("exchange", "received"):
        assert [event.time for event in lake.iterate(FUNDING, by=by)] == edges


def test_what_cannot_be_meant_is_refused(lake):
    lake.save(TRADES, trades(0, 3))
    for wrong, error, word in [
        (lambda: lake.iterate([]), BadInput, "names no dataset"),
        (lambda: lake.iterate(TRADES, by="ts"), BadInput, "by='ts'"),
        (lambda: lake.iterate(TRADES, as_="dicts"), BadInput, "as_='dicts'"),
        (lambda: lake.iterate(TRADES, batch=0), BadInput, "batch"),
        (lambda: lake.iterate(TRADES, columns=["close"]), BadInput, "'close'"),
        (lambda: lake.iterate(TRADES, columns=[]), BadInput, "no column"),
        (lambda: lake.iterate(TRADES, START + 1, START), BadInput, "ends after"),
        (lambda: lake.iterate("x:trades:XRP/USDT"), UnknownDataset, "XRP"),
    ]:
        # When it is called, not at the first event.
        with pytest.raises(error, match=word):
            wrong()
