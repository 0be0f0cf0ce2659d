"""A process that has imported everything and forks a child for each job: killing a writer then costs no start of Python.

Jobs come as lines of JSON on standard input: ``root``, ``plan`` (operations), ``die_at`` (a step), ``delay`` (seconds
until SIGKILL), ``power`` (whether dying takes what was not fsynced), ``ahead`` (nanoseconds by which its clock is wrong),
``closed`` (rebuild the catalog, which cannot be opened, and nothing else) and ``broken`` (a fault of :mod:`faults`). What
the child told goes to standard output: one line a job.
"""

import json
import os
import select
import signal
import sys
import time
import traceback
import warnings
from pathlib import Path

import crash_model
import failpoints
import faults
import pandas  # noqa: F401  (pyarrow would import it in every child)

from ticklake.catalog.database import Database


def child(job, descriptor):
    """Work until done or killed; tell each acknowledged operation after its call returned."""
    write = os.write

    def tell(what):
        write(descriptor, json.dumps(what).encode() + b"\n")

    try:
        disk = failpoints.Disk(f"{job['root']}-graveyard")
        steps = failpoints.Steps(tell, disk, job.get("die_at"), power=job.get("power", False))
        failpoints.install(steps, disk)
        early = faults.install(job.get("broken"))
        tell("ready")
        _work(job, tell, early)
        tell({"steps": steps.passed, "soft": steps.soft})
    except BaseException:
        tell({"error": traceback.format_exc()})
    finally:
        os._exit(0)


def _work(job, tell, early):
    if job.get("closed"):
        crash_model.rebuild_lake(Path(job["root"]), force=True)
        tell({"acknowledged": None})
        return
    with crash_model.open_(job["root"], job.get("ahead", 0)) as lake:
        for operation in job["plan"]:
            if early:
                tell({"acknowledged": None})
            new = crash_model.perform(lake, operation)
            if not early:
                tell({"acknowledged": new})


def follow(pid, descriptor, delay):
    """Collect what the child tells until it is gone; kill it *delay* seconds after it was ready."""
    told, deadline = b"", None
    while True:
        left = None if deadline is None else max(deadline - time.monotonic(), 0)
        if not select.select([descriptor], [], [], left)[0]:
            os.kill(pid, signal.SIGKILL)
            deadline = None
            continue
        part = os.read(descriptor, 1 << 16)
        if not part:
            break
        if delay is not None and deadline is None and not told:
            deadline = time.monotonic() + delay
        told += part
    _, status = os.waitpid(pid, 0)
    return {"killed": os.WIFSIGNALED(status), "told": [json.loads(line) for line in told.splitlines()]}


def run(job):
    ours, theirs = os.pipe()
    pid = os.fork()
    if pid == 0:
        os.close(ours)
        child(job, theirs)
    os.close(theirs)
    try:
        return follow(pid, ours, job.get("delay"))
    finally:
        os.close(ours)


def main():
    warnings.simplefilter("ignore")
    Database.in_memory().close()
    for line in sys.stdin:
        sys.stdout.write(json.dumps(run(json.loads(line))) + "\n")
        sys.stdout.flush()


if __name__ == "__main__":
    main()
