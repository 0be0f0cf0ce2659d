"""Peak memory of a large lake: ``python -m benchmarks.memory``. Every stage is a process of its own."""

from __future__ import annotations

import argparse
import json
import resource
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

import polars as pl

import ticklake
from benchmarks import data
from benchmarks.contenders.ticklake import TRADES
from benchmarks.machine import describe, one_line

FULL, QUICK = 100_000_000, 5_000_000
BATCH = 100_000
LIMIT = 1_000_000_000
"""Bytes that a stage may take at its peak."""


@dataclass(frozen=True, slots=True)
class Peak:
    """What a stage took: by the kernel's accounting of the ended child, and by its own high-water mark."""

    stage: str
    seconds: float = 0.0
    max_rss: int = 0
    high_water: int = 0
    base: int = 0
    reason: str = ""

    @property
    def passed(self) -> bool | None:
        """Whether it stayed under the limit; unknown if it did not run."""
        return None if self.reason else max(self.max_rss, self.high_water) < LIMIT


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the stages one after the other on one lake, and print their peaks."""
    options = _parser().parse_args(arguments)
    if options.stage:
        print(json.dumps(asdict(_here(options.stage, options.lake, options.rows))))
        return 0
    rows = options.rows or (QUICK if options.quick else FULL)
    with tempfile.TemporaryDirectory(prefix="bench-", dir=options.folder) as folder:
        peaks = [_child(stage, Path(folder) / "lake", rows) for stage in STAGES]
        machine = describe(("ticklake", "polars", "pyarrow", "sqlalchemy"), Path(folder))
    print("\n".join(["", one_line(machine), "", f"{rows:,} trades", *map(_line, peaks)]))
    if options.json:
        document = {"machine": machine, "rows": rows, "stages": [asdict(peak) for peak in peaks]}
        options.json.write_text(json.dumps(document, indent=1) + "\n")
    return 0


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.memory", description=__doc__)
    parser.add_argument("--quick", action="store_true", help=f"{QUICK:,} trades instead of {FULL:,}")
    parser.add_argument("--rows", type=int, default=0, help="as many trades as this")
    parser.add_argument("--folder", type=Path, help="where to store (default: the system's temp)")
    parser.add_argument("--json", type=Path, metavar="FILE", help="write the peaks, versions and machine")
    parser.add_argument("--stage", choices=STAGES, help=argparse.SUPPRESS)
    parser.add_argument("--lake", type=Path, help=argparse.SUPPRESS)
    return parser


def _child(stage: str, lake: Path, rows: int) -> Peak:
    print(f"{stage} ...", file=sys.stderr, flush=True)
    command = [sys.executable, "-m", "benchmarks.memory", "--stage", stage, "--lake", str(lake), "--rows", str(rows)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode:
        return Peak(stage, reason=f"ended with {done.returncode}: {done.stderr.strip().splitlines()[-1:]}")
    return Peak(**json.loads(done.stdout))


def _here(stage: str, folder: Path, rows: int) -> Peak:
    """Run a stage in this process."""
    with ticklake.open(folder) as lake:
        base = _max_rss()
        start = time.perf_counter()
        reason = STAGES[stage](lake, rows) or ""
        seconds = time.perf_counter() - start
    return Peak(stage, seconds, _max_rss(), high_water(), base, reason)


def _ingest(lake: ticklake.Lake, rows: int) -> None:
    """Save batch by batch. A day of generated trades is held meanwhile, and counts."""
    for day in data.days_of_trades(rows):
        for first in range(0, day.height, BATCH):
            lake.save(TRADES, day.slice(first, BATCH))


def _compact(lake: ticklake.Lake, rows: int) -> None:
    del rows
    lake.compact()


def _scan(lake: ticklake.Lake, rows: int) -> None:
    """Aggregate every row in the streaming engine."""
    found = lake.scan(TRADES).select(pl.len(), pl.col("price").max(), pl.col("amount").sum())
    assert found.collect(engine="streaming").item(0, 0) == rows


def _resample(lake: ticklake.Lake, rows: int) -> str | None:
    resample = getattr(lake, "resample", None)
    if resample is None:
        return "Lake.resample does not exist yet"
    bars = resample(TRADES, "1m", data.START, data.START + data.DAY * -(-rows // data.TRADES_A_DAY))
    frame = bars.collect() if isinstance(bars, pl.LazyFrame) else bars
    assert frame["trades"].sum() == rows
    return None


STAGES: dict[str, Callable[[ticklake.Lake, int], str | None]] = {
    "ingest": _ingest,
    "compact": _compact,
    "scan": _scan,
    "resample": _resample,
}


def _max_rss() -> int:
    """Return the peak of resident memory that the kernel accounts to this process (kilobytes, on macOS bytes)."""
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak if sys.platform == "darwin" else peak * 1024


def high_water() -> int:
    """Return VmHWM, where the system tells it."""
    try:
        lines = Path("/proc/self/status").read_text().splitlines()
    except OSError:
        return 0
    return next((int(line.split()[1]) * 1024 for line in lines if line.startswith("VmHWM:")), 0)


def _line(peak: Peak) -> str:
    if peak.reason:
        return f"{peak.stage:<9} -  {peak.reason}"
    mb = (peak.max_rss // 10**6, peak.high_water // 10**6, peak.base // 10**6)
    verdict = "pass" if peak.passed else "FAIL"
    return f"{peak.stage:<9} {peak.seconds:8.1f} s  ru_maxrss {mb[0]:6,} MB  VmHWM {mb[1]:6,} MB  (idle {mb[2]:,} MB)  < 1 GB: {verdict}"


if __name__ == "__main__":
    sys.exit(main())
