"""What a run says, and what gaps, quality and coverage say afterwards, is one story, whatever goes wrong."""

from __future__ import annotations

import itertools
import os
import signal
import subprocess
import sys
import textwrap

import pytest

from ticklake.core.coverage import COMPLETE, Found
from ticklake.core.dataset import Dataset
from ticklake.core.gaps import missing_words
from ticklake.core.span import Span
from ticklake.core.time import HOUR, parse_time
from ticklake.testing.exchange.faults import Faults
from ticklake.testing.exchange.replies import Reply

START, END = "2024-01-02", "2024-01-04"
WANT = Span(parse_time(START), parse_time(END))
BARS = "binance:ohlcv:1m:BTC/USDT"
KINDS = (
    *(BARS, "kraken:ohlcv:1h:BTC/USD", "binance:trades:BTC/USDT", "kraken:trades:BTC/USD"),
    *("binance:funding:BTC/USDT:USDT", "binance:open_interest:BTC/USDT:USDT"),
)
FAULTS = (
    {"rate_limit_every": 3},
    {"calls_per_second": 40},
    {"ban_every": 2},
    {"ban_every": 1},
    {"error_every": 3},
    {"error_every": 1},
    {"timeout_every": 4, "timeout_seconds": 0.6},
    {"truncate_every": 1},
    {"error_body_every": 1},
    {"empty_every": 2},
    {"empty_every": 1},
    {"duplicate_rows": True, "shuffle_rows": True},
    {"late_final": 600.0},
    {"burst": 1_500},
)


@pytest.fixture
def exchange(market, serve):
    return serve(market, "2024-01-05")


def collect(lake, text, start=START, end=END):
    dataset = Dataset.parse(text)
    frame = None if dataset.timeframe is None or dataset.kind == "open_interest" else str(dataset.timeframe)
    return lake.backfill(dataset.exchange, str(dataset.symbol), frame, kind=dataset.kind, start=start, end=end)


def missing_in(gaps):
    return [gap for gap in gaps if str(gap.reason) not in ("no_trades", "outage")]


def assert_one_story(lake, text, run=None, want=WANT):
    """Gaps, quality and coverage agree, with bounds and without; so does the run, if there is one to ask."""
    dataset = Dataset.parse(text)
    coverage = lake.coverage(dataset)
    for bounds in ((), (want.start, want.end), (want.start + HOUR, want.end - 5 * HOUR)):
        gaps, quality = lake.gaps(dataset, *bounds), lake.quality(dataset, *bounds)
        assert quality.is_complete == (not missing_in(gaps))
        assert set(quality.gaps) == {str(gap.reason) for gap in gaps}
        assert quality.missing_records == sum(gap.known_missing or 0 for gap in missing_in(gaps))
        assert (quality.completeness_ratio == 1) == quality.is_complete
        if quality.score == 100:
            assert quality.is_complete
        if not bounds:
            assert quality.span is not None
            assert quality.span.start <= want.start < want.end <= quality.span.end
        not_fetched = {gap.span for gap in gaps if gap.reason == "not_fetched"}
        if dataset.timeframe is None:
            assert not_fetched == set(coverage.missing(quality.span))
    if run is not None:
        within = lake.gaps(dataset, want.start, want.end)
        assert run.outcome.endswith(missing_words(within))
        assert run.state == "failed" or (run.state == "succeeded") == (not missing_in(within))
        if run.state == "failed":
            assert missing_in(within)
    at_last = lake.at(lake.engine.catalog.version())
    assert at_last.gaps(dataset) == lake.gaps(dataset)
    assert at_last.quality(dataset).is_complete == lake.quality(dataset).is_complete
    assert coverage.pieces
    whole = coverage.spans(Found.DATA, *COMPLETE)
    return "complete" if whole and not missing_in(lake.gaps(dataset)) else "incomplete"


def _stories():
    """Each fault with each kind; half of them in ``make test``, the others in ``make trials``."""
    for number, (fault, text) in enumerate(itertools.product(FAULTS, KINDS)):
        words = "-".join(f"{name}={fault[name]}" for name in fault)
        marks = [pytest.mark.trials] * ((number + number // len(KINDS)) % 2)
        yield pytest.param(text, fault, id=f"{words}-{text}", marks=marks)


@pytest.mark.parametrize(("text", "fault"), list(_stories()))
def test_a_run_under_a_fault_and_what_the_lake_says_are_one_story(text, fault, exchange, lake_at):
    exchange.faults = Faults(**fault)
    lake = lake_at(exchange, timeout=0.4)
    run = collect(lake, text)
    assert_one_story(lake, text, run)
    assert lake.runs.get(run.id).outcome == run.outcome


@pytest.mark.parametrize("text", KINDS)
@pytest.mark.parametrize("served", [0, 1, 2])
def test_a_failure_at_the_first_and_at_a_later_page_is_one_story(text, served, exchange, lake_at, monkeypatch):
    lake = lake_at(exchange)
    name = Dataset.parse(text).exchange
    protocol, pages = exchange._protocols[name], []
    answer = protocol.answer

    def failing(path, query, now, faults):
        reply = answer(path, query, now, faults)
        if reply.rows:
            pages.append(path)
        return reply if len(pages) <= served else Reply({}, 503)

    monkeypatch.setattr(protocol, "answer", failing)
    run = collect(lake, text)
    story = assert_one_story(lake, text, run)
    assert (run.state == "succeeded") == (story == "complete")
    if not served:
        assert run.state == "failed"
        assert story == "incomplete"
    monkeypatch.undo()
    again = collect(lake, text)
    assert_one_story(lake, text, again)


def test_a_first_run_that_could_not_reach_the_exchange_is_not_fetched(lake_at):
    lake = lake_at()
    with pytest.raises(Exception, match="binance"):
        collect(lake, BARS)
    assert [run.state for run in lake.runs.list()] == ["failed"]
    assert [str(gap.reason) for gap in lake.gaps(BARS)] == ["not_fetched"]
    assert assert_one_story(lake, BARS) == "incomplete"
    assert lake.coverage(BARS).spans() == []


def test_an_update_that_could_not_reach_the_exchange_is_not_fetched(exchange, lake_at):
    lake = lake_at(exchange)
    collect(lake, BARS, end=None)
    assert lake.quality(BARS).is_complete
    before, end = lake.engine.catalog.version(), lake.coverage(BARS).pieces[-1].span.end
    exchange.clock.advance(6 * HOUR)
    exchange.faults = Faults(error_every=1)
    (run,) = lake.update(BARS)
    assert run.state == "failed"
    assert_one_story(lake, BARS, run, Span(WANT.start, end + 6 * HOUR))
    assert lake.at(before).quality(BARS).is_complete
    exchange.faults = Faults()
    (run,) = lake.update(BARS)
    assert run.state == "succeeded"
    assert lake.quality(BARS).is_complete


def test_an_update_begins_where_the_first_run_was_to_begin(exchange, lake_at):
    lake = lake_at(exchange)
    exchange.faults = Faults(error_every=1)
    collect(lake, BARS)
    exchange.faults = Faults()
    (run,) = lake.update(BARS)
    assert run.state == "succeeded"
    assert lake.load(BARS)["ts"].to_physical()[0] == WANT.start


def test_what_was_deleted_is_not_fetched_again_by_an_update_and_is_no_secret(exchange, lake_at):
    lake = lake_at(exchange)
    collect(lake, BARS)
    lake.delete(BARS, START, "2024-01-03")
    assert [gap.span.start for gap in missing_in(lake.gaps(BARS))] == [WANT.start]
    assert assert_one_story(lake, BARS) == "incomplete"
    lake.update(BARS)
    assert lake.load(BARS)["ts"].to_physical()[0] == parse_time("2024-01-03")


def test_a_clock_that_is_ahead_of_the_exchange_leaves_nothing_that_can_never_be_fetched(exchange, lake_at):
    lake, nowhere = lake_at(exchange), lake_at(name="lake")
    with pytest.raises(Exception, match="binance"):
        collect(nowhere, BARS, end=None)
    assert lake.gaps(BARS, quick=True)[-1].span.end > parse_time("2026-01-01")
    run = collect(lake, BARS, end=None)
    assert run.state == "succeeded"
    assert lake.quality(BARS).is_complete


def test_an_interrupted_run_leaves_what_is_left_as_not_fetched(exchange, lake_at):
    lake = lake_at(exchange)

    def interrupt(progress):
        if progress.counts["pages"] == 1:
            signal.raise_signal(signal.SIGINT)

    with pytest.raises(KeyboardInterrupt):
        lake.backfill("binance", "BTC/USDT", "1m", start=START, end=END, watch=interrupt)
    (run,) = lake.runs.list()
    assert run.state == "cancelled"
    assert assert_one_story(lake, BARS) == "incomplete"
    assert lake.gaps(BARS)[-1].span.end == WANT.end


KILLED = """
    import sys, time
    from ticklake.app import open_lake
    from ticklake.config import Settings

    def watch(progress):
        if progress.counts["pages"] == int(sys.argv[3]):
            print("now", flush=True)
            time.sleep(60)

    quick = {name: {"rate_limit_ms": 1, "timeout": 1} for name in ("binance", "kraken")}
    settings = Settings(exchange_url=sys.argv[2], archives=False, exchanges=quick)
    with open_lake(sys.argv[1], settings=settings) as lake:
        lake.backfill("binance", "BTC/USDT", "1m", start="2024-01-02", end="2024-01-04", watch=watch)
"""


@pytest.mark.parametrize("pages", [0, 1])
def test_a_killed_run_leaves_what_is_left_as_not_fetched(pages, exchange, lake_at, tmp_path):
    script = textwrap.dedent(KILLED)
    command = [sys.executable, "-c", script, str(tmp_path / "lake"), exchange.url, str(pages)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, env=dict(os.environ)) as process:
        assert process.stdout.readline() == b"now\n"
        process.send_signal(signal.SIGKILL)
    lake = lake_at(exchange)
    (run,) = lake.runs.list()
    assert run.state == "killed"
    assert assert_one_story(lake, BARS) == "incomplete"
    assert lake.gaps(BARS)[-1].span.end == WANT.end
    again = collect(lake, BARS)
    assert again.state == "succeeded"
    assert assert_one_story(lake, BARS, again) == "complete"


def test_the_shell_ends_with_the_same_code_for_gaps_and_quality(exchange, lake_at, tmp_path):
    from typer.testing import CliRunner

    from ticklake.interfaces.cli.main import app

    lake = lake_at(exchange)
    exchange.faults = Faults(error_every=1)
    collect(lake, BARS)
    commands = [[name, *bounds] for name in ("gaps", "quality") for bounds in ([], ["--start", START, "--end", END])]
    ended = [CliRunner().invoke(app, [*command, "--lake", str(tmp_path / "lake")]) for command in commands]
    assert [one.exit_code for one in ended] == [3, 3, 3, 3]
    assert not any("nothing is missing" in one.output for one in ended)
