"""Events of the library: silent by themselves, and readable by any handler."""

from __future__ import annotations

import logging
import subprocess
import sys

from ticklake.log import Event, Log


def test_nothing_is_printed_by_a_program_that_configures_no_logging():
    code = "from ticklake.log import Log; Log('jobs').error('job failed', failure=ValueError('x'), job=3)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert (done.stdout, done.stderr) == ("", "")


def test_any_handler_gets_one_line_with_the_fields(caplog):
    with caplog.at_level(logging.INFO, "ticklake.jobs"):
        Log("jobs").info("job taken", job=3, subject="BTC/USDT 1h", left_out=None)
    [record] = caplog.records
    assert record.getMessage() == "job taken job=3 subject='BTC/USDT 1h'"
    assert record.name == "ticklake.jobs"
    assert record.filename == "test_log.py"


def test_fields_may_be_called_like_attributes_of_records(caplog):
    with caplog.at_level(logging.INFO, "ticklake.jobs"):
        Log("jobs").info("x", name="a", message="b", args=(1,), process="c", module="d")
    assert caplog.records[0].msg.fields["message"] == "b"


def test_secrets_are_hidden_before_any_handler_sees_them():
    fields = Event("x", {"reason": ValueError("https://a.b/c?signature=S3cr3t")}).fields
    assert fields == {"reason": "https://a.b/c?signature=***"}


def test_a_text_of_others_cannot_begin_a_line_of_its_own():
    event = Event("request", {"path": "/a\nlevel=error\x1b[2J\u2028é"})
    assert event.fields["path"] == "/a\\nlevel=error\\x1b[2J\\u2028é"
    assert len(str(event).splitlines()) == 1
