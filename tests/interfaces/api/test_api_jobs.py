"""Jobs, runs, schedules, streams and maintenance over HTTP."""

from __future__ import annotations

import threading
import time

import pytest

from ticklake.app import memory_lake
from ticklake.core.time import parse_time
from ticklake.testing.exchange.clock import SimulatedClock
from ticklake.testing.exchange.server import SimulatedExchange

BARS = "binance:ohlcv:1h:BTC/USDT"
DAY = {"timeframe": "1h", "start": "2024-01-02", "end": "2024-01-03", "archives": False}
BACKFILL = {"operation": "backfill", "parameters": {"exchange": "binance", "symbols": ["BTC/USDT"], **DAY}}


@pytest.fixture
def exchange(market):
    simulated = SimulatedExchange(market, SimulatedClock(parse_time("2024-01-05")))
    with simulated.running() as running:
        yield running


@pytest.fixture
def lake(lake_at, exchange):
    return lake_at(exchange)


@pytest.fixture
def http(lake, serve):
    return serve(lake)


@pytest.fixture
def empty_lake():
    with memory_lake() as lake:
        yield lake


@pytest.fixture
def empty(empty_lake, serve):
    """A server of an empty lake that asks no exchange."""
    return serve(empty_lake)


def good(answer, status=200):
    assert answer.status_code == status, answer.text
    return answer.json()


def refused(answer, status, words):
    assert answer.status_code == status, answer.text
    assert words in answer.json()["detail"]


def done(http, job_id):
    deadline = time.monotonic() + 20
    while (job := good(http.get(f"/jobs/{job_id}")))["status"] in ("queued", "running"):
        assert time.monotonic() < deadline, job
        time.sleep(0.02)
    return job


def test_a_job_is_created_done_by_a_worker_and_shown_with_its_run(lake, http):
    answer = http.post("/jobs", json={**BACKFILL, "priority": 3})
    job = good(answer, 201)
    assert (job["status"], job["subject"], job["priority"]) == ("queued", BARS, 3)
    assert answer.headers["location"] == f"/api/v1/jobs/{job['id']}"
    assert lake.jobs.worker().run(once=True) == 1
    shown = good(http.get(f"/jobs/{job['id']}"))
    assert (shown["status"], shown["progress"], shown["runs"]) == ("succeeded", 1.0, [1])
    run = good(http.get("/runs/1"))
    assert (run["job"], run["state"], run["progress"]["new"]) == (job["id"], "succeeded", 24)
    assert lake.load(BARS).height == 24


def test_an_identical_job_that_waits_is_answered_instead_of_a_second(http):
    first, second = (good(http.post("/jobs", json=BACKFILL), 201)["id"] for _ in range(2))
    assert first == second


def test_the_first_parameters_may_come_without_their_names(http):
    body = {"operation": "backfill", "arguments": ["binance", ["BTC/USDT"], "1h"], "parameters": {"start": "2024"}}
    assert good(http.post("/jobs", json=body), 201)["parameters"]["symbols"] == ["BTC/USDT"]


def test_this_server_does_a_job_when_it_is_told_to(lake, http):
    job = good(http.post("/jobs", json={**BACKFILL, "begin": True}), 201)
    assert job["status"] != "queued"
    assert done(http, job["id"])["status"] == "succeeded"
    again = good(http.post("/jobs", json={"operation": "quality"}), 201)
    assert good(http.post(f"/jobs/{again['id']}/start"), 202)["started"]
    assert "1 datasets measured" in done(http, again["id"])["outcome"]
    refused(http.post(f"/jobs/{again['id']}/start"), 400, "cannot start now")


def test_a_server_that_ends_gives_its_jobs_back_and_leaves_no_thread(lake, serve):
    lake.backfill("binance", "BTC/USDT", "1h", start="2024-01-02", archives=False)
    client = serve(lake)
    body = {"operation": "poll", "parameters": {"dataset": BARS, "every": "1s"}, "begin": True}
    job = good(client.post("/jobs", json=body), 201)
    assert job["status"] == "running"
    serve.stop()
    assert lake.jobs.get(job["id"]).state == "queued"
    assert [thread for thread in threading.enumerate() if thread.name.startswith("ticklake-job")] == []


def test_jobs_are_listed_in_pages_and_found_by_state_and_text(empty):
    for number in range(5):
        good(
            empty.post("/jobs", json={"operation": "quality", "parameters": {"dataset": f"a:trades:X{number}/Y"}}), 201
        )
    page = good(empty.get("/jobs", params={"limit": 2}))
    assert ([job["id"] for job in page["data"]], page["rows"], page["complete"]) == ([5, 4], 2, False)
    assert page["counts"] == {"queued": 5}
    ids = [job["id"] for job in page["data"]]
    while page["next"] is not None:
        page = good(empty.get("/jobs", params={"limit": 2, "cursor": page["next"]}))
        ids += [job["id"] for job in page["data"]]
    assert (ids, page["complete"]) == ([5, 4, 3, 2, 1], True)
    assert good(empty.get("/jobs", params={"search": "X3"}))["rows"] == 1
    assert good(empty.get("/jobs", params={"state": "failed"}))["rows"] == 0
    good(empty.post("/jobs/3/cancel"))
    assert [job["id"] for job in good(empty.get("/jobs", params={"state": "cancelled"}))["data"]] == [3]
    assert good(empty.delete("/jobs", params={"max_age": "0"})) == {"forgotten": 1}
    refused(empty.get("/jobs/3"), 404, "no job 3")


def test_operations_say_what_they_take_and_whom_they_obey(empty):
    operations = {each["name"]: each for each in good(empty.get("/operations"))["data"]}
    assert operations["backfill"]["parameters"][0] == {"name": "exchange", "required": True}
    assert operations["poll"]["parameters"][1] == {"name": "every", "required": False, "default": "5s"}
    assert (operations["backfill"]["role"], operations["cleanup"]["role"]) == ("collect", "admin")


MEANT_BADLY = [
    ({"operation": "fly"}, "there is no operation 'fly'"),
    ({"operation": "compact", "parameters": {"self": 1}}, "no parameter 'self'"),
    ({"operation": "compact", "parameters": {"request": 1}}, "no parameter 'request'"),
    ({"operation": "backfill", "parameters": {}}, "backfill"),
    ({"operation": "backfill", "arguments": [{"a": 1}]}, "exchange"),
    ({"operation": "compact", "parameters": {"dataset": 5}}, "5"),
    ({"operation": "quality", "parameters": {"start": {"a": 1}}}, "is not a time"),
    ({"operation": "compact", "colour": "red"}, "colour"),
    ({"operation": "stream", "parameters": {"streams": 5}}, "is no list"),
    ({"operation": "stream", "parameters": {"streams": ["x"]}}, "is no request for streams"),
    ({"operation": "stream", "parameters": {"streams": [{"exchange": "binance", "pair": "A/B"}]}}, "pair"),
    ({"operation": "backup", "parameters": {"folder": "monday"}}, "server.exports"),
]


def test_a_job_that_cannot_be_meant_is_refused(empty):
    for body, words in MEANT_BADLY:
        refused(empty.post("/jobs", json=body), 400, words)


def test_folders_are_written_only_below_the_folder_for_them(lake, serve, tmp_path):
    http = serve(lake, exports=str(tmp_path / "out"))
    for name in ("../x", "/tmp/x", "a/b", "..", ".hidden", "", 5):
        refused(http.post("/maintenance/backup", json={"folder": name}), 400, "folder")
    job = good(http.post("/maintenance/backup", json={"folder": "monday"}), 201)
    lake.jobs.worker().run(once=True)
    shown = good(http.get(f"/jobs/{job['id']}"))
    assert (shown["status"], shown["parameters"]) == ("succeeded", {"folder": "monday"})
    assert str(tmp_path) not in http.get("/runs").text
    assert (tmp_path / "out" / "monday" / "catalog.db").is_file()


def test_maintenance_is_done_by_jobs_and_says_before_what_it_would_do(lake, http):
    lake.save(BARS, [{"ts": "2024-01-01T00:00:00Z", "open": 1, "high": 2, "low": 0.5, "close": 1, "volume": 9}])
    would = good(
        http.post("/maintenance/cleanup", json={"days_to_keep": 1, "datasets": ["binance:*"], "dry_run": True})
    )
    assert (would["rows"], would["dry_run"], lake.load(BARS).height) == (1, True, 1)
    assert good(http.post("/maintenance/vacuum", json={"keep": "0", "dry_run": True}))["dry_run"]
    for name in ("compact", "verify", "vacuum"):
        good(http.post(f"/maintenance/{name}", json={}), 201)
    lake.jobs.worker().run(once=True)
    jobs = good(http.get("/jobs"))["data"]
    assert {job["operation"]: job["status"] for job in jobs} == dict.fromkeys(
        ("compact", "verify", "vacuum"), "succeeded"
    )


def test_verify_says_what_is_damaged(lake, http):
    rows = [
        {"ts": f"2024-01-01T{hour:02}:00:00Z", "open": 1, "high": 2, "low": 0.5, "close": 1, "volume": 9}
        for hour in range(24)
    ]
    lake.save(BARS, rows)
    lake.compact()
    for path in lake.root.rglob("*.parquet"):
        path.write_bytes(b"nothing of it is left")
    job = good(http.post("/maintenance/verify", json={"dataset": BARS}), 201)
    lake.jobs.worker().run(once=True)
    shown = good(http.get(f"/jobs/{job['id']}"))
    assert (shown["status"], shown["outcome"].startswith(f"1 problems; the first is of {BARS}")) == ("incomplete", True)


def test_runs_of_ones_own_code_are_recorded(empty):
    run = good(
        empty.post("/runs", json={"operation": "train", "subject": "momentum", "parameters": {"epochs": 3}}), 201
    )
    path = f"/runs/{run['id']}"
    assert empty.post(f"{path}/log", json={"message": "one epoch"}).status_code == 204
    assert good(empty.post(f"{path}/progress", json={"done": 0.5, "progress": {"new": 1}}))["done"] == 0.5
    ended = good(empty.post(f"{path}/finish", json={"state": "failed", "outcome": "no memory"}))
    assert (ended["state"], ended["outcome"], ended["progress"]) == ("failed", "no memory", {"new": 1})
    ((_, level, message),) = good(empty.get(f"{path}/log"))["data"]
    assert (level, message) == ("info", "one epoch")
    assert good(empty.get("/runs", params={"subject": "mom", "state": "failed"}))["rows"] == 1
    for number in range(3):
        good(empty.post("/runs", json={"operation": f"more{number}"}), 201)
    page = good(empty.get("/runs", params={"limit": 3}))
    last = good(empty.get("/runs", params={"limit": 3, "cursor": page["next"]}))
    assert [run["id"] for run in [*page["data"], *last["data"]]] == [4, 3, 2, 1]


PROBLEMS = [
    ("get", "/runs/7", None, 404, "no run 7"),
    ("post", "/runs/7/log", {"message": "x"}, 404, "no run 7"),
    ("post", "/runs/7/finish", {"state": "running"}, 400, "state"),
    ("get", "/runs?state=odd", None, 400, "state"),
    ("get", "/schedules/none", None, 404, "no schedule 'none'"),
    ("delete", "/schedules/none", None, 404, "no schedule 'none'"),
    ("put", "/schedules/x", {"operation": "update"}, 400, "needs one of cron"),
    (
        "put",
        "/schedules/x",
        {"operation": "poll", "parameters": {"every": "1s", "dataset": BARS}, "every": "1h"},
        400,
        "'every'",
    ),
    ("post", "/streams", {"exchange": "binance", "symbols": ["BTC/USDT"], "kinds": ["moods"]}, 400, "moods"),
    ("post", "/plan", {"exchange": "binance", "symbols": ["BTC/USDT"], "start": "soon"}, 400, "soon"),
]


def test_what_is_not_there_or_cannot_be_meant_is_a_problem(empty):
    for method, path, body, status, words in PROBLEMS:
        more = {} if body is None else {"json": body}
        refused(getattr(empty, method)(path, **more), status, words)


def test_a_schedule_is_put_paused_resumed_run_and_removed(empty):
    body = {"operation": "quality", "parameters": {"dataset": BARS}, "cron": "5 * * * *", "zone": "Europe/Berlin"}
    assert good(empty.put("/schedules/hourly", json=body))["when"] == "5 * * * * Europe/Berlin"
    assert good(empty.post("/schedules/hourly/pause"))["paused"]
    assert not good(empty.post("/schedules/hourly/resume"))["paused"]
    job = good(empty.post("/schedules/hourly/run"), 201)
    assert (job["operation"], job["parameters"]) == ("quality", {"dataset": BARS})
    assert [each["name"] for each in good(empty.get("/schedules"))["data"]] == ["hourly"]
    assert good(empty.delete("/schedules/hourly")) == {"removed": "hourly"}
    assert good(empty.get("/schedules"))["rows"] == 0


def test_a_plan_says_what_a_backfill_would_fetch_and_a_backfill_is_a_job(lake, http):
    body = {"exchange": "binance", "symbols": ["BTC/USDT"], **DAY}
    (plan,) = good(http.post("/plan", json=body))["data"]
    assert (plan["dataset"], plan["pages"]) == (BARS, 1)
    job = good(http.post("/backfill", json={**body, "begin": True, "priority": 2}), 201)
    assert (done(http, job["id"])["status"], job["priority"]) == ("succeeded", 2)
    assert good(http.post("/plan", json=body))["data"][0]["pages"] == 0
    for path in ("update", "repair"):
        assert good(http.post(f"/{path}", json={"dataset": BARS}), 201)["parameters"] == {"dataset": BARS}


def test_streams_are_jobs_that_are_stopped_by_exchange(empty):
    wanted = {"symbols": ["BTC/USDT"], "kinds": ["trades", "quotes"]}
    jobs = [good(empty.post("/streams", json={"exchange": name, **wanted}), 201) for name in ("binance", "kraken")]
    assert jobs[0]["parameters"]["streams"][0]["kinds"] == ["trades", "quotes"]
    assert good(empty.get("/streams")) == {"rows": 0, "complete": True, "next": None, "data": []}
    stopped = good(empty.post("/streams/stop", params={"exchange": "Kraken"}))
    assert [(job["id"], job["status"]) for job in stopped["data"]] == [(jobs[1]["id"], "cancelled")]
    assert good(empty.post("/streams/stop"))["rows"] == 1


def test_an_operation_is_open_to_whom_it_says(empty_lake, serve):
    keys = {role: empty_lake.tokens.create(role, role).secret for role in ("read", "collect", "admin")}
    http = serve(empty_lake)

    def as_(role):
        return {"Authorization": f"Bearer {keys[role]}"}

    for path, body in (("/jobs", {"operation": "compact"}), ("/jobs", {"operation": "quality"})):
        assert http.post(path, json=body, headers=as_("read")).status_code == 403
    compact = {"operation": "compact"}
    refused(http.post("/jobs", json=compact, headers=as_("collect")), 403, "the operation 'compact' needs admin")
    refused(http.put("/schedules/x", json={**compact, "every": "1h"}, headers=as_("collect")), 403, "needs admin")
    job = good(http.post("/jobs", json=compact, headers=as_("admin")), 201)
    good(http.put("/schedules/x", json={**compact, "every": "1h"}, headers=as_("admin")))
    for verb in ("start", "cancel"):
        refused(http.post(f"/jobs/{job['id']}/{verb}", headers=as_("collect")), 403, "needs admin")
    update = {"operation": "update", "every": "1h"}
    refused(http.put("/schedules/x", json=update, headers=as_("collect")), 403, "needs admin")
    refused(http.delete("/schedules/x", headers=as_("collect")), 403, "needs admin")
    assert good(http.put("/schedules/y", json=update, headers=as_("collect")))["operation"] == "update"
    assert good(http.post("/jobs", json={"operation": "quality"}, headers=as_("collect")), 201)["status"] == "queued"
    assert good(http.get("/jobs", headers=as_("read")))["rows"] == 2


NOT_STORABLE = [
    ("/jobs", b'{"operation": "cleanup", "parameters": {"datasets": ["\\ud800"]}}', "no text of Unicode"),
    ("/jobs", b'{"operation": "cleanup", "parameters": {"days_to_keep": 1e400}}', "no number"),
    ("/jobs", b'{"operation": "vacuum", "parameters": {"keep": NaN}}', "no number"),
    ("/runs", b'{"operation": "x", "parameters": {"a": {"\\udfff": 1}}}', "no text of Unicode"),
    ("/runs/1/log", b'{"message": "\\ud800"}', "no text of Unicode"),
]


def test_what_json_has_and_nothing_can_store_is_refused(empty):
    good(empty.post("/runs", json={"operation": "x"}), 201)
    for path, body, words in NOT_STORABLE:
        refused(empty.post(path, content=body, headers={"Content-Type": "application/json"}), 400, words)
    assert (good(empty.get("/runs"))["rows"], good(empty.get("/jobs"))["rows"]) == (1, 0)
