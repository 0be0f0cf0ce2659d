"""The table of workloads and what ours must reach in each."""

from __future__ import annotations

from benchmarks import steps
from benchmarks.book_workloads import book_workloads
from benchmarks.derive_workloads import derive_workloads
from benchmarks.feature_workloads import feature_workloads
from benchmarks.figures import Target
from benchmarks.frame_workloads import frame_workloads
from benchmarks.http_workloads import http_workloads
from benchmarks.indicator_workloads import indicator_workloads
from benchmarks.join_workloads import join_workloads
from benchmarks.live_workloads import live_workloads
from benchmarks.remote_workloads import remote_workloads
from benchmarks.workload import Scale, Workload

__all__ = ["workloads"]

_START = ("ticklake", "limit")


def workloads(scale: Scale) -> list[Workload]:
    """Return the workloads of a scale, in the order of the table."""
    answers = [
        *derive_workloads(scale),
        *indicator_workloads(scale),
        *frame_workloads(scale),
        *join_workloads(scale),
        *book_workloads(scale),
        *feature_workloads(scale),
    ]
    served = [*http_workloads(scale), *remote_workloads(scale)]
    return [*_writes(scale), *_reads(scale), *_rest(scale), *answers, *live_workloads(scale), *served]


def _writes(scale: Scale) -> list[Workload]:
    many, few, trades = scale.repeats, scale.few, f"{scale.trades:,} trades"
    batches = f"{trades} in {scale.batches} batches, deduped and compacted"
    group = f"append 100 rows to each of {scale.group:,} datasets"
    append = (Target(0.7, "arcticdb"), Target(1 / 150, "dccd"))
    return [
        Workload("append", "append 100 rows to the bars year", steps.append, append, many),
        Workload("append-group", group, steps.append_group, (Target(150 * scale.group / 500),), max(few, 3)),
        Workload("batches", batches, steps.in_batches, (Target(2, "arcticdb"),), few),
        Workload("bulk", f"bulk load of {trades}", steps.bulk, (Target(1.5, "limit"),), max(few, 3)),
        Workload("correct", "correct one bar in the year", steps.correct, (Target(2, "arcticdb"),), many),
    ]


def _reads(scale: Scale) -> list[Workload]:
    many, datasets = scale.repeats, scale.datasets
    minute, listed = f"read one minute of {scale.trades:,} trades", f"inventory of {datasets:,} datasets"
    return [
        Workload("read-minute", minute, steps.read_minute, (Target(1, "arcticdb"),), many),
        Workload("read-week", "read one week of the bars year", steps.read_week, (Target(1.2, "arcticdb"),), many),
        Workload("read-year", "read the whole bars year", steps.read_year, (Target(1.3, "limit"),), many),
        Workload("last", "last timestamp", steps.last_timestamp, (Target(1),), many),
        Workload("inventory", listed, steps.inventory, (Target(100 * datasets / 10_000),), many),
    ]


def _rest(scale: Scale) -> list[Workload]:
    many, few = scale.repeats, max(scale.few, 3)
    bars = f"1m bars of {scale.resample:,} trades"
    imported, helped = "import ticklake; limit: polars + SQLAlchemy", "ticklake --help; limit: import typer + rich"
    opened = "open a lake in a new process; limit: import polars + SQLAlchemy"
    trade, bar = (Target(0.36, "dccd"),), (Target(0.75, "dccd"),)
    return [
        Workload("trade-bytes", "a trade on disk", steps.trade_bytes, trade, 1, "bytes", returns=True, warm_up=False),
        Workload("bar-bytes", "a bar on disk", steps.bar_bytes, bar, 1, "bytes", returns=True, warm_up=False),
        Workload("resample", bars, steps.resample, (Target(1.1, "limit"),), few),
        Workload("import", imported, steps.importing, (Target(1.2, "limit"),), many, returns=True, only=_START),
        Workload("open", opened, steps.opening, (), many, returns=True, only=_START),
        Workload("help", helped, steps.helping, (Target(3, "limit"),), many, returns=True, only=_START),
    ]
