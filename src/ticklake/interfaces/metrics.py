"""Metrics of a lake: what a scrape reads of it, in some milliseconds however much the lake holds."""

from __future__ import annotations

import shutil
import threading
import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import TYPE_CHECKING

from ticklake.core.jobs import ACTIVE
from ticklake.core.runs import RunState
from ticklake.core.time import SECOND
from ticklake.errors import StorageError, TicklakeError
from ticklake.interfaces.prometheus import Sample, family, stream_metrics
from ticklake.log import Log

if TYPE_CHECKING:
    from ticklake.lake import Lake

__all__ = ["LAKE_METRICS", "LakeMetrics", "Samples", "process_samples"]

_LOG = Log("metrics")
Samples = dict[str, list[Sample]]
Collect = Callable[["Lake"], Samples]

LAKE_METRICS: dict[str, tuple[str, str]] = {
    "ticklake_info": ("gauge", "The version of Ticklake, as a label."),
    "ticklake_lake_readable": ("gauge", "Whether the catalog could be read for this scrape."),
    "ticklake_lake_version": ("gauge", "The newest version of the lake: each commit of any process makes one."),
    "ticklake_datasets": ("gauge", "Datasets, by exchange and kind."),
    "ticklake_rows": ("gauge", "Rows, by exchange and kind."),
    "ticklake_bytes": ("gauge", "Bytes that these rows take, in files and in the catalog."),
    "ticklake_newest_row_timestamp_seconds": ("gauge", "The time of the newest row of an exchange and kind."),
    "ticklake_catalog_bytes": ("gauge", "Bytes of the catalog's file."),
    "ticklake_catalog_wal_bytes": ("gauge", "Bytes of the catalog's write-ahead log."),
    "ticklake_disk_free_bytes": ("gauge", "Free bytes of the disk that holds the lake."),
    "ticklake_disk_size_bytes": ("gauge", "Size of that disk."),
    "ticklake_disk_almost_full": ("gauge", "Whether so little is free that nothing is collected any more (min_free)."),
    "ticklake_jobs": ("gauge", "Jobs that wait or run, by state."),
    "ticklake_jobs_oldest_waiting_seconds": ("gauge", "How long the job waits that has been due for longest."),
    "ticklake_last_backup_timestamp_seconds": ("gauge", "When the lake was last backed up."),
    "ticklake_last_verify_timestamp_seconds": ("gauge", "When the whole lake was last verified and found sound."),
    "ticklake_files": ("gauge", "Parquet files, by exchange and kind; at most a minute old."),
    "ticklake_inline_segments": ("gauge", "Small segments in the catalog that wait for a compaction; likewise."),
    "ticklake_retired_segments": ("gauge", "Replaced segments that wait for a vacuum; likewise."),
    "ticklake_retired_bytes": ("gauge", "Bytes of replaced segments; likewise."),
    "ticklake_datasets_kept_up": ("gauge", "Datasets that are collected up to now; likewise."),
    "ticklake_datasets_stale": ("gauge", "Of these, the ones without the rows that were to come; likewise."),
    "ticklake_runs": ("gauge", "Runs, by state; likewise."),
    "ticklake_ingest_commits_total": ("counter", "Commits of this server, since it began."),
    "ticklake_ingest_rows_total": ("counter", "Rows that came in, by what became of them."),
    "ticklake_block_cache_bytes": ("gauge", "Bytes of decoded parts of files that are kept in memory."),
    "ticklake_block_cache_reads_total": ("counter", "Reads of parts of files, by whether memory had them."),
    "ticklake_hot_cache_bytes": ("gauge", "Bytes of the newest live rows that are kept in memory."),
    "ticklake_hot_cache_rows": ("gauge", "The newest live rows that are kept in memory."),
    "ticklake_hot_cache_reads_total": ("counter", "Reads of the newest rows, by whether memory had all of them."),
}
"""Type and help of each metric, beside those of streams (prometheus.py) and of HTTP (api/observe.py)."""
EVERY = 60.0
"""Seconds after which what takes longer than a scrape may is read again, beside it."""


class LakeMetrics:
    """What a scrape reads of a lake.

    Parameters
    ----------
    of_processes
        Returns what all processes of a server have in memory; by default, what this one has.
    """

    def __init__(self, lake: Lake, of_processes: Callable[[], Samples] | None = None) -> None:
        self._lake = lake
        self._of_processes = of_processes or (lambda: process_samples(lake))
        self._slow = _Background(lambda: _collected(lake, (_of_segments, _of_freshness, _of_runs)), EVERY)

    def lines(self) -> Iterator[str]:
        """Yield the lines of all metrics; those that cannot be read are left out, and ``ticklake_lake_readable`` is 0."""
        samples: Samples = {"ticklake_info": [({"version": self._lake.engine.store.tool.rpartition(" ")[2]}, 1)]}
        streams: Iterable[str] = ()
        readable = 1
        try:
            samples |= _collected(self._lake, (_of_totals, _of_place, _of_jobs, _of_upkeep))
            streams = stream_metrics(self._lake.streams.status())
        except TicklakeError as error:
            readable = 0
            _LOG.warning("metrics of the lake cannot be read", reason=error)
        # Even if the catalog cannot be read: memory and what was known before can.
        samples |= self._of_processes() | self._slow.value()
        samples["ticklake_lake_readable"] = [({}, readable)]
        for name, (sort, text) in LAKE_METRICS.items():
            yield from family(name, sort, text, samples.get(name, ()))
        yield from streams


class _Background:
    """A value that is computed in a thread when it is asked for and older than *every* seconds; until that is done, the last one counts."""

    def __init__(self, compute: Callable[[], Samples], every: float) -> None:
        self._compute = compute
        self._every = every
        self._value: Samples = {}
        self._began: float | None = None
        self._lock = threading.Lock()

    def value(self) -> Samples:
        """Return the last value, empty until there is one."""
        now = time.monotonic()
        with self._lock:
            if self._began is None or now - self._began >= self._every:
                self._began = now
                threading.Thread(target=self._work, name="ticklake-metrics", daemon=True).start()
            return self._value

    def _work(self) -> None:
        try:
            value = self._compute()
        except Exception as error:
            # The lake may have been closed meanwhile, or be unreadable: the quick metrics say so.
            _LOG.warning("metrics of the lake cannot be read", reason=error)
            value = {}
        with self._lock:
            self._value = value


def _collected(lake: Lake, collectors: Iterable[Collect]) -> Samples:
    samples: Samples = {}
    for collect in collectors:
        samples |= collect(lake)
    return samples


def process_samples(lake: Lake) -> Samples:
    """Return what this process has counted and has in memory."""
    commits, rows = lake.engine.store.counts.now()
    samples: Samples = {
        "ticklake_ingest_commits_total": [({}, commits)],
        "ticklake_ingest_rows_total": _labelled("result", rows),
    }
    blocks = lake.engine.store.blocks
    samples["ticklake_block_cache_bytes"] = [({}, blocks.size)]
    samples["ticklake_block_cache_reads_total"] = _labelled("result", {"hit": blocks.hits, "miss": blocks.misses})
    # A process that collects nothing has no cache of live rows, and is not to load what makes one.
    if "streams" in vars(lake):
        hot = lake.streams.stats()
        samples["ticklake_hot_cache_bytes"] = [({}, hot.bytes)]
        samples["ticklake_hot_cache_rows"] = [({}, hot.rows)]
        samples["ticklake_hot_cache_reads_total"] = _labelled("result", {"hit": hot.hits, "miss": hot.misses})
    return samples


def _of_totals(lake: Lake) -> Samples:
    from ticklake.catalog.statistics import lake_totals

    samples: Samples = {"ticklake_lake_version": [({}, lake.engine.catalog.version())]}
    for group in lake_totals(lake.engine.catalog.database):
        labels = {"exchange": group.exchange, "kind": group.kind}
        samples.setdefault("ticklake_datasets", []).append((labels, group.datasets))
        samples.setdefault("ticklake_rows", []).append((labels, group.rows))
        samples.setdefault("ticklake_bytes", []).append((labels, group.bytes))
        samples.setdefault("ticklake_newest_row_timestamp_seconds", []).append((labels, _seconds(group.last)))
    return samples


def _of_place(lake: Lake) -> Samples:
    # A lake in memory has no disk.
    if lake.root is None:
        return {}
    catalog_bytes, wal_bytes = lake.engine.catalog.database.sizes()
    disk = shutil.disk_usage(lake.root)
    almost_full = 0
    try:
        lake.engine.check_space()
    except StorageError:
        almost_full = 1
    return {
        "ticklake_catalog_bytes": [({}, catalog_bytes)],
        "ticklake_catalog_wal_bytes": [({}, wal_bytes)],
        "ticklake_disk_free_bytes": [({}, disk.free)],
        "ticklake_disk_size_bytes": [({}, disk.total)],
        "ticklake_disk_almost_full": [({}, almost_full)],
    }


def _of_jobs(lake: Lake) -> Samples:
    queue = lake.jobs.queue
    # A state without jobs is 0, and not absent: expressions about what is absent have no value.
    counts = {state.value: 0 for state in sorted(ACTIVE)} | queue.active_counts()
    since = queue.waiting_since()
    waits = 0.0
    if since is not None:
        waits = (lake.engine.now() - since) / SECOND
    return {
        "ticklake_jobs": _labelled("state", counts),
        "ticklake_jobs_oldest_waiting_seconds": [({}, waits)],
    }


def _of_upkeep(lake: Lake) -> Samples:
    done = lake.admin.last_done()
    return {
        f"ticklake_last_{what}_timestamp_seconds": [({}, _seconds(done.get(what)))] for what in ("backup", "verify")
    }


def _of_segments(lake: Lake) -> Samples:
    names = ("files", "inline_segments", "retired_segments", "retired_bytes")
    samples: Samples = {f"ticklake_{name}": [] for name in names}
    for group in lake.admin.stats().groups:
        labels = {"exchange": group.exchange, "kind": group.kind}
        for name in names:
            samples[f"ticklake_{name}"].append((labels, getattr(group, name)))
    return samples


def _of_freshness(lake: Lake) -> Samples:
    fresh = lake.alerts.freshness()
    kept_up, stale = sum(each.is_kept_up for each in fresh), sum(each.is_stale for each in fresh)
    return {"ticklake_datasets_kept_up": [({}, kept_up)], "ticklake_datasets_stale": [({}, stale)]}


def _of_runs(lake: Lake) -> Samples:
    counts = {state.value: 0 for state in RunState} | lake.runs.counts()
    return {"ticklake_runs": _labelled("state", counts)}


def _labelled(label: str, values: Mapping[str, float]) -> list[Sample]:
    return [({label: word}, value) for word, value in values.items()]


def _seconds(ns: int | None) -> float | None:
    if ns is None:
        return None
    return ns / SECOND
