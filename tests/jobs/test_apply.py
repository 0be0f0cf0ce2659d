"""A file declares what a lake shall collect, and applying it makes it so, once."""

import json

import pytest
from typer.testing import CliRunner

import ticklake
from ticklake.app import open_lake
from ticklake.config import load_wanted
from ticklake.core.time import parse_time
from ticklake.errors import BadInput, Conflict
from ticklake.interfaces.cli.main import app
from ticklake.testing.clocks import ManualClock

from ..conftest import settings_for

BTC, ETH = "binance:ohlcv:1h:BTC/USDT", "binance:ohlcv:1h:ETH/USDT"
FILE = """
[[collect]]
exchange = "binance"
symbols = ["BTC/USDT", "ETH/USDT"]
timeframes = ["1h"]
since = 2024-01-02
every = "15m"
keep = "365d"

[[schedule]]
name = "tidy"
operation = "compact"
cron = "30 3 * * 1-5"
zone = "Europe/Berlin"
"""


@pytest.fixture
def write(tmp_path):
    """Write the file and read what it wants."""

    def wanted(text):
        (tmp_path / "collect.toml").write_text(text)
        return load_wanted(tmp_path / "collect.toml")

    return wanted


@pytest.fixture
def lake(market, serve, tmp_path):
    exchange = serve(market, "2024-01-05T00:01")
    with open_lake(
        tmp_path / "lake", settings=settings_for(exchange.url), clock=ManualClock(parse_time("2024-01-05T00:01"))
    ) as held:
        yield held


def told(changes):
    return [(change.action, change.name) for change in changes]


class TestApplying:
    def test_what_is_wanted_is_shown_made_and_then_there_is_nothing_to_do(self, lake, write):
        wanted = write(FILE)
        planned = lake.apply(wanted, dry_run=True)
        assert told(planned) == [
            ("add", "binance ohlcv 1h"),
            ("add", "binance ohlcv 1h keep"),
            ("add", "tidy"),
            ("begin", "binance ohlcv 1h"),
        ]
        assert planned[-1].datasets == {BTC: "begins", ETH: "begins"}
        assert (lake.schedules.list(), lake.jobs.list()) == ([], [])
        assert lake.apply(wanted) == planned
        assert [(one.name, one.operation, str(one.rhythm), one.managed) for one in lake.schedules.list()] == [
            ("binance ohlcv 1h", "backfill", "every 15m", True),
            ("binance ohlcv 1h keep", "cleanup", "every 1d", True),
            ("tidy", "compact", "30 3 * * 1-5 Europe/Berlin", True),
        ]
        assert lake.apply(wanted) == []
        assert len(lake.jobs.list()) == 1

    def test_the_job_brings_in_what_is_wanted(self, lake, write):
        wanted = write(FILE)
        lake.apply(wanted)
        (job,) = lake.jobs.list()
        lake.jobs.start(job.id)
        assert lake.inventory().select("dataset", "rows").rows() == [(BTC, 72), (ETH, 72)]
        assert lake.apply(wanted) == []

    def test_an_earlier_beginning_and_one_more_symbol_are_fetched(self, lake, write):
        lake.apply(write(FILE))
        lake.jobs.worker().run(once=True)
        more = FILE.replace("2024-01-02", "2024-01-01").replace('"ETH/USDT"', '"ETH/USDT", "BTC/USDC"')
        changes = lake.apply(write(more))
        assert told(changes) == [
            ("change", "binance ohlcv 1h"),
            ("change", "binance ohlcv 1h keep"),
            ("begin", "binance ohlcv 1h"),
        ]
        assert changes[-1].datasets == {
            BTC: "goes back from 2024-01-02T00:00:00Z to 2024-01-01T00:00:00Z",
            ETH: "goes back from 2024-01-02T00:00:00Z to 2024-01-01T00:00:00Z",
            "binance:ohlcv:1h:BTC/USDC": "begins",
        }
        assert "(was backfill every 15m" in changes[0].detail

    def test_what_is_wanted_no_more_is_scheduled_no_more_and_its_rows_stay(self, lake, write):
        lake.apply(write(FILE))
        lake.jobs.worker().run(once=True)
        lake.schedules.add("by hand", "update", every="1d")
        assert told(lake.apply(write(""))) == [
            ("remove", "binance ohlcv 1h"),
            ("remove", "binance ohlcv 1h keep"),
            ("remove", "tidy"),
        ]
        assert [one.name for one in lake.schedules.list()] == ["by hand"]
        assert lake.load(BTC).height == 72

    def test_patterns_begin_when_they_are_new(self, lake, write):
        text = FILE.replace('["BTC/USDT", "ETH/USDT"]', '["BTC/*"]').replace('keep = "365d"', "")
        changes = lake.apply(write(text))
        assert told(changes) == [("add", "binance ohlcv 1h"), ("add", "tidy"), ("begin", "binance ohlcv 1h")]
        assert "all that match" in changes[-1].detail
        assert lake.apply(write(text)) == []

    def test_a_job_that_failed_is_begun_again(self, lake, write):
        lake.apply(write(FILE))
        lake.jobs.cancel(lake.jobs.list()[0].id)
        assert told(lake.apply(write(FILE))) == [("begin", "binance ohlcv 1h")]

    def test_rows_are_kept_for_as_long_as_is_said(self, lake, write):
        lake.save(BTC, [ticklake.OHLCVBar(f"2023-12-{day:02}T00:00:00Z", 1, 1, 1, 1, 1) for day in range(1, 31)])
        lake.save("binance:ohlcv:1h:LTC/USDT", [ticklake.OHLCVBar("2023-12-01T00:00:00Z", 1, 1, 1, 1, 1)])
        lake.apply(write(FILE.replace("365d", "2w")))
        lake.schedules.get("binance ohlcv 1h keep")
        job = lake.jobs.create("cleanup", **lake.schedules.get("binance ohlcv 1h keep").parameters)
        ended = lake.jobs.start(job.id)
        assert ended.state == "succeeded", ended.outcome
        assert lake.load(BTC)["ts"].min().date().isoformat() >= "2023-12-22"
        assert lake.load("binance:ohlcv:1h:LTC/USDT").height == 1

    def test_a_market_may_be_written_as_elsewhere(self, lake, write):
        """Any case, and ``60m`` for an hour: what was collected is as wanted, and its old rows go."""
        wanted = write(
            FILE.replace('"BTC/USDT", "ETH/USDT"', '"btc/usdt"').replace('"1h"', '"60m"').replace("365d", "2w")
        )
        (begun,) = [change for change in lake.apply(wanted) if change.action == "begin"]
        ended = lake.jobs.start(lake.jobs.list()[0].id)
        assert ended.state == "succeeded", (begun, ended.outcome)
        assert lake.apply(wanted) == []
        lake.save(BTC, [ticklake.OHLCVBar("2023-12-01T00:00:00Z", 1, 1, 1, 1, 1)])
        job = lake.jobs.create("cleanup", **lake.schedules.get("binance ohlcv 60m keep").parameters)
        assert lake.jobs.start(job.id).outcome == "1 rows went"

    def test_an_exchange_is_meant_in_any_case(self, write):
        assert write(FILE.replace('"binance"', '"BINANCE"')).collect[0].exchange == "binance"

    def test_old_rows_of_patterns_go_however_long_bars_are_written(self, lake, write):
        lake.save(BTC, [ticklake.OHLCVBar("2023-12-01T00:00:00Z", 1, 1, 1, 1, 1)])
        lake.apply(
            write(FILE.replace('"BTC/USDT", "ETH/USDT"', '"BTC/*"').replace('"1h"', '"60m"').replace("365d", "2w"))
        )
        job = lake.jobs.create("cleanup", **lake.schedules.get("binance ohlcv 60m keep").parameters)
        assert lake.jobs.start(job.id).outcome == "1 rows went"

    def test_a_schedule_made_by_hand_is_not_taken_over(self, lake, write):
        lake.schedules.add("tidy", "update", every="1d")
        with pytest.raises(BadInput, match="'tidy' was made by hand"):
            lake.apply(write(FILE))
        assert [one.name for one in lake.schedules.list()] == ["tidy"]

    def test_several_timeframes_and_names(self, write):
        text = '[[collect]]\nexchange = "kraken"\nsymbols = "BTC/USD"\ntimeframes = ["1m", "1d"]\nname = "coins"\n'
        assert [part.name for part in write(text).parts()] == ["coins 1m", "coins 1d"]
        assert [part.days for part in write(text + 'keep = "2w"').parts()] == [14, 14]


class TestWhatWasShown:
    def test_is_what_is_done_and_nothing_else(self, lake, write):
        shown = lake.apply(write(FILE), dry_run=True)
        with pytest.raises(Conflict, match="no longer what was shown"):
            lake.apply(write(FILE.replace("15m", "1m")), shown=shown)
        assert (lake.schedules.list(), lake.jobs.list()) == ([], [])
        lake.schedules.add("binance ohlcv 1h", "update", every="1d", managed=True)
        with pytest.raises(Conflict):
            lake.apply(write(FILE), shown=shown)
        assert [one.operation for one in lake.schedules.list()] == ["update"]
        lake.schedules.remove("binance ohlcv 1h")
        assert lake.apply(write(FILE), shown=shown) == shown

    def test_stays_the_same_while_a_job_brings_rows_in(self, lake, write):
        shown = lake.apply(write(FILE), dry_run=True)
        lake.backfill("binance", "BTC/USDT", "1h", start="2024-01-04")
        assert lake.apply(write(FILE), dry_run=True) != shown
        lake.apply(write(FILE), shown=shown)
        assert len(lake.schedules.list()) == 3


class TestKeep:
    TEXT = FILE.replace("365d", "2d").replace("2024-01-02", "2024-01-01")

    def test_a_since_that_is_older_is_warned_of(self, lake, write):
        changes = lake.apply(write(self.TEXT), dry_run=True)
        assert [bool(change.warning) for change in changes] == [True, False, False, False]
        assert "since 2024-01-01T00:00:00Z is older than keep = '2d' allows" in changes[0].warning
        assert "before 2024-01-03T00:00:00Z" in changes[0].warning
        assert [change.warning for change in lake.apply(write(FILE), dry_run=True)] == [""] * 4

    def test_rows_that_would_be_removed_again_are_not_brought_in(self, lake, write):
        wanted = write(self.TEXT)
        lake.apply(wanted)
        lake.jobs.worker().run(once=True)
        assert lake.inventory()["first"].dt.date().cast(str).to_list() == ["2024-01-03", "2024-01-03"]
        assert lake.cleanup(2, dry_run=True).rows == 0
        assert lake.apply(wanted) == []

    def test_nor_are_they_from_the_listing(self, lake, write):
        lake.apply(write(self.TEXT.replace("since = 2024-01-01", "")))
        lake.jobs.worker().run(once=True)
        assert lake.inventory()["first"].dt.date().cast(str).to_list() == ["2024-01-03", "2024-01-03"]


COLLECT = '[[collect]]\nexchange = "binance"\nsymbols = ["BTC/USDT"]\n'


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("[[collect", "is not TOML"),
        ("[[colect]]", "colect: there is no such key"),
        (COLLECT + 'every = "often"', r"collect\[0\].every: 'often' is not a length of time: write it like 90s"),
        (COLLECT + 'keep = "90m"', r"collect\[0\].keep: '90m' is not whole days: write it like 365d"),
        (COLLECT + 'since = "yesterday"', r"collect\[0\].since: 'yesterday' is not a time"),
        (COLLECT + "since = 5.5", r"collect\[0\].since: .*5.5"),
        (COLLECT + 'kind = "ohlcv"', r"collect\[0\]: ohlcv needs timeframes, like \['1h'\]"),
        (COLLECT + 'kind = "candles"', r"collect\[0\]: .*candles"),
        (COLLECT + 'timeframes = ["1y"]', r"collect\[0\]: .*1y"),
        (COLLECT + 'kind = "trades"\ntimeframes = ["1h"]', r"collect\[0\]: trades has no timeframes"),
        (COLLECT + 'every = "1h"\ncron = "5 * * * *"', "every and cron are both given: say one"),
        (COLLECT + 'symbol = "ETH/USDT"', r"collect\[0\].symbol: there is no such key"),
        (
            '[[collect]]\nexchange = "Binance!"\nsymbols = ["A/B"]',
            r"collect\[0\].exchange: 'binance!' is not an exchange",
        ),
        ('[[collect]]\nexchange = "binance"\nsymbols = []', r"collect\[0\].symbols: .*at least 1"),
        (
            COLLECT + 'name = "a"\nkeep = "30d"\n' + COLLECT + 'name = "a keep"',
            "two schedules would be called 'a keep'",
        ),
        (COLLECT + COLLECT, "two schedules would be called 'binance trades': give one of them another name"),
        ('[[schedule]]\nname = "a"\noperation = "compact"', "needs one of every"),
    ],
)
def test_what_cannot_be_meant_is_refused_with_key_value_and_cure(write, text, words):
    with pytest.raises(BadInput, match=words):
        write(text)


@pytest.mark.parametrize(
    ("text", "words"),
    [
        (COLLECT + "keep = 10", r"collect\[0\].keep: a length of time has a unit: write it like '10d'.*\(it is 10\)"),
        (COLLECT + "every = 5", r"collect\[0\].every: a length of time has a unit: write it like '5d'.*\(it is 5\)"),
        (COLLECT + "keep = true", r"collect\[0\].keep: is no text: write it in quotes \(it is True\)"),
        (COLLECT + "cron = 5", r"collect\[0\].cron: is no text"),
        (COLLECT + "zone = 5", r"collect\[0\].zone: is no text"),
        (COLLECT + 'name = ["a"]', r"collect\[0\].name: is no text"),
        (COLLECT + 'priority = "high"', r"collect\[0\].priority: is no whole number \(it is 'high'\)"),
        (COLLECT + "priority = 1.5", r"collect\[0\].priority: is no whole number \(it is 1.5\)"),
        (COLLECT + "timeframes = 5", r"collect\[0\].timeframes: is no list"),
        (COLLECT + "timeframes = [5]", r"collect\[0\].timeframes\[0\]: is no text"),
        (COLLECT + "since = true", r"collect\[0\].since: is no text"),
        ('[[collect]]\nexchange = ""\nsymbols = ["A/B"]', r"collect\[0\].exchange: is empty"),
        ('[[collect]]\nexchange = "binance"\nsymbols = [""]', r"collect\[0\].symbols\[0\]: is empty"),
        ('[[collect]]\nexchange = "binance"\nsymbols = 5', r"collect\[0\].symbols: is no list"),
        ('[[collect]]\nsymbols = ["A/B"]', r"collect\[0\].exchange: is missing"),
        ("collect = 5", "collect: is no list"),
        ("collect = [5]", r"collect\[0\]: is no table"),
        ('[[schedule]]\nname = "a"\nevery = "1d"', r"schedule\[0\].operation: is missing"),
        (
            '[[schedule]]\nname = "a"\noperation = "compact"\nevery = "1d"\nparameters = 5',
            r"schedule\[0\].parameters: is no table",
        ),
    ],
)
def test_a_value_of_another_type_is_refused_in_plain_words(write, text, words):
    with pytest.raises(BadInput, match=words) as caught:
        write(text)
    assert "\n" not in str(caught.value)
    assert "Input should" not in str(caught.value)


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ('[[schedule]]\nname = "a"\noperation = "dance"\nevery = "1d"', "no operation 'dance'"),
        ('[[schedule]]\nname = "a"\noperation = "compact"\nevery = "1d"\nparameters = {hard = 1}', "'hard'"),
        ('[[schedule]]\nname = "a"\noperation = "compact"\ncron = "5 * *"', "minute hour day month weekday"),
        (COLLECT + 'cron = "5 * * * *"\nzone = "Nowhere"', "'Nowhere' is not a time zone"),
    ],
)
def test_what_only_the_lake_can_refuse_changes_nothing(lake, write, text, words):
    with pytest.raises(BadInput, match=words):
        lake.apply(write(FILE + text))
    assert (lake.schedules.list(), lake.jobs.list()) == ([], [])


class TestShell:
    @pytest.fixture
    def shell(self, tmp_path, monkeypatch):
        monkeypatch.chdir(tmp_path)
        (tmp_path / "collect.toml").write_text(FILE)

        def run(*arguments, **options):
            return CliRunner().invoke(app, list(arguments), **options)

        return run

    def test_the_plan_is_shown_first_and_a_dry_run_makes_no_lake(self, shell, tmp_path):
        shown = shell("apply", "--dry-run")
        assert shown.exit_code == 0, shown.output
        assert f"{BTC} " in shown.stdout
        assert "nothing was changed" in shown.stdout
        assert not (tmp_path / "data").exists()

    def test_without_a_terminal_yes_must_be_said(self, shell):
        refused = shell("apply")
        assert (refused.exit_code, "--yes" in refused.stderr) == (2, True)
        done = json.loads(shell("apply", "--yes", "--json").stdout)
        assert done["applied"] is True
        assert [change["action"] for change in done["changes"]] == ["add", "add", "add", "begin"]
        assert done["changes"][1]["keep_days"] == 365
        assert "nothing to do" in shell("apply").stdout
        assert json.loads(shell("schedule", "list", "--json").stdout)[0]["when"] == "every 15m"
        assert "binance ohlcv" in shell("schedule", "list").stdout

    def test_a_file_that_changed_while_it_asked_is_shown_and_asked_again(self, shell, tmp_path, monkeypatch):
        asked = []

        def ask(**_):
            asked.append(True)
            (tmp_path / "collect.toml").write_text(FILE.replace("15m", "1m"))

        monkeypatch.setattr("ticklake.interfaces.cli.apply._ask", ask)
        done = shell("apply")
        assert (done.exit_code, len(asked)) == (0, 2), done.output
        assert "no longer what was shown" in done.stderr
        assert "backfill every 1m" in done.stdout
        assert json.loads(shell("schedule", "list", "--json").stdout)[0]["when"] == "every 1m"

    def test_a_since_older_than_keep_is_warned_of(self, shell, tmp_path):
        (tmp_path / "collect.toml").write_text(FILE)
        shown = shell("apply", "--dry-run", "--json")
        assert "warning: binance ohlcv 1h: since" in shown.stderr
        assert "is older than keep" in json.loads(shown.stdout)["changes"][0]["warning"]

    def test_a_file_that_is_not_there_is_named(self, shell):
        refused = shell("apply", "no.toml")
        assert (refused.exit_code, "no.toml cannot be read" in refused.stderr) == (2, True)

    def test_schedules_are_added_paused_and_removed(self, shell):
        added = shell("schedule", "add", "bars", "update", BTC, "--cron", "5 * * * *", "--zone", "Asia/Tokyo", "--json")
        assert json.loads(added.stdout)["parameters"] == {"dataset": BTC}
        assert "is paused" in shell("schedule", "pause", "bars").stdout
        assert json.loads(shell("schedule", "list", "--json").stdout)[0]["next"] is None
        assert "next job at" in shell("schedule", "resume", "bars").stdout
        assert shell("schedule", "remove", "bars").exit_code == 0
        assert shell("schedule", "remove", "bars").exit_code == 2


STREAMS = """
[[stream]]
exchange = "binance"
symbols = ["BTC/USDT"]
kinds = ["trades", "book"]

[[stream]]
exchange = "kraken"
symbols = "BTC/USD"
"""


class TestStreams:
    def test_all_streams_are_one_job_that_a_schedule_keeps_running(self, lake, write):
        changes = lake.apply(write(STREAMS))
        assert told(changes) == [("add", "streams")]
        [schedule] = lake.schedules.list()
        assert schedule.operation == "stream"
        streams = schedule.parameters["streams"]
        assert [(each["exchange"], each["kinds"]) for each in streams] == [
            ("binance", ["trades", "book"]),
            ("kraken", ["trades"]),
        ]
        assert lake.apply(write(STREAMS)) == []

    def test_other_streams_end_the_job_of_the_old_ones(self, lake, write):
        lake.apply(write(STREAMS))
        [schedule] = lake.schedules.list()
        old = lake.jobs.create("stream", **schedule.parameters)
        by_hand = lake.jobs.create("stream", streams=[{"exchange": "okx", "symbols": ["BTC/USDT"]}])
        lake.apply(write(STREAMS.replace('BTC/USD"', 'ETH/USD"')))
        assert lake.jobs.get(old.id).status == "cancelled"
        assert lake.jobs.get(by_hand.id).status == "queued"

    def test_a_kind_that_no_socket_sends_is_refused_with_its_place(self, write):
        with pytest.raises(BadInput, match=r"stream\[0\].*splits is not sent over sockets"):
            write(STREAMS.replace('"book"', '"splits"'))
