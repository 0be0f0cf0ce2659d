"""The composition root: from settings to wired objects. Nobody else builds dependencies."""

from __future__ import annotations

import logging
import time
import warnings
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ticklake.catalog.catalog import Catalog
from ticklake.catalog.database import Database
from ticklake.catalog.witness import WITNESS_FILE, Witness
from ticklake.core.time import SECOND
from ticklake.engine.engine import Engine
from ticklake.errors import (
    CatalogDamaged,
    CatalogOutdated,
    NoLake,
    ReadOnlyLake,
    TicklakeError,
    TicklakeWarning,
)
from ticklake.lake import Lake
from ticklake.lake.base import as_path
from ticklake.sources.calendars import KnownSessions
from ticklake.storage.objects import LocalStore, MemoryStore, ObjectStore
from ticklake.storage.space import Reserve, Space, is_full

if TYPE_CHECKING:
    from ticklake.alerts.service import Alerts
    from ticklake.catalog.runs import Runs
    from ticklake.config import Settings
    from ticklake.engine.rebuild import Rebuilt
    from ticklake.jobs.queue import Jobs
    from ticklake.jobs.schedules import Schedules
    from ticklake.sources.base import Source
    from ticklake.sources.pacing.pace import Pace
    from ticklake.testing.exchange.server import SimulatedExchange

__all__ = [
    "CATALOG_FILE",
    "list_exchanges",
    "memory_lake",
    "open_lake",
    "rebuild_lake",
    "simulated_exchange",
    "tool",
    "wire_source",
]

CATALOG_FILE = "catalog.db"
LIMITS_FILE = "limits.db"
RESERVE_FILE = f"{CATALOG_FILE}.reserve"
_TO_OPEN = 64 * 1024
"""Bytes that SQLite needs to open a catalog."""
_SMALLEST = 100
"""Bytes of SQLite's header."""
_HARMLESS = ("ticklake.toml", "lost+found", ".gitignore", ".gitkeep", ".DS_Store")
"""What may lie in a folder that becomes a lake."""
Clock = Callable[[], int]


def open_lake(
    path: str | Path | None = None,
    *,
    create: bool = True,
    settings: Settings | None = None,
    clock: Clock = time.time_ns,
) -> Lake:
    """Open the lake in a folder, made on first use unless *create* is false.

    Raises
    ------
    NoLake
        If there is none and it may not be made, because *create* is false or the folder holds something else.
    ReadOnlyLake, CatalogTooNew, CatalogDamaged
    """
    settings = settings or _settings()
    root = as_path("path", settings.lake if path is None else path)
    reserve = Reserve(root / RESERVE_FILE)
    is_new = _has_no_catalog(root)
    if is_new:
        _refuse_orphans(root)
        if not create:
            raise NoLake(f"there is no lake in {root}: 'ticklake init' makes one, --lake names another")
        _refuse_others(root)
        _make(root)
    lake = _wire(_opened(root, reserve), root, settings, clock)
    if is_new:
        reserve.fill()
    return lake


def _opened(root: Path, reserve: Reserve) -> Database:
    """Open the catalog, on a full disk with some of the reserve's space."""
    try:
        return Database.in_file(root / CATALOG_FILE)
    except TicklakeError:
        if not is_full(root) or not reserve.give(_TO_OPEN):
            raise
    return Database.in_file(root / CATALOG_FILE)


def memory_lake(settings: Settings | None = None, clock: Clock = time.time_ns) -> Lake:
    """Return a lake that is gone when closed."""
    return _wire(Database.in_memory(), None, settings or _settings(), clock)


def rebuild_lake(root: Path, clock: Clock = time.time_ns, *, force: bool = False) -> Rebuilt:
    """Make a new catalog from what can be read of the old one and from the files in *root*.

    The old catalog is kept beside it. Writers wait meanwhile, and go on in the new one.

    Raises
    ------
    NoLake
        If *root* holds no lake.
    BadInput
        If the catalog is sound, unless *force* is true.
    """
    from ticklake.engine.rebuild import rebuild

    found = rebuild(root, CATALOG_FILE, clock, tool(), Reserve(root / RESERVE_FILE), force=force)
    # What was lost is told, and what was not is in the new catalog: its versions are the truth from here on.
    witness = Witness(root / WITNESS_FILE)
    witness.forget()
    database = Database.in_file(root / CATALOG_FILE)
    Catalog(database, clock, witness).acknowledge()
    database.close()
    return found


def wire_source(
    exchange: str, settings: Settings, clock: Clock = time.time_ns, root: Path | None = None, *, archives: bool = True
) -> Source:
    """Return the source of one exchange, whichever package serves it; what it needs is loaded here and not before.

    Where a dump site is known and *archives* are wanted, it comes first; its files lie below *root* while they
    are read, or in a temporary folder.
    """
    from ticklake.sources.base import Retry, SourceOptions
    from ticklake.sources.registry import Registry

    own = settings.exchange(exchange)
    secrets = {"apiKey": own.api_key, "secret": own.api_secret}
    options = SourceOptions(
        url=own.url,
        rate_limit_ms=own.rate_limit_ms,
        timeout=own.timeout,
        retry=Retry(**settings.retry.model_dump()),
        secrets={name: secret.get_secret_value() for name, secret in secrets.items() if secret},
        clock=clock,
        pace=_pace(exchange, own.url, settings),
    )
    calls = Registry(settings.sources).make(exchange, options)
    return _with_archives(calls, settings, clock, root) if archives and settings.archives else calls


def list_exchanges(search: str = "") -> tuple[dict[str, dict[str, str]], list[str]]:
    """Return the exchanges whose id contains *search* and what sources are broken.

    Each exchange comes with the kinds it serves, and each kind with what stands in its way, if anything does.
    """
    from ticklake.sources.registry import Registry

    registry = Registry()
    found = {}
    for exchange, kinds in registry.exchanges(search).items():
        restrictions = registry.restrictions(exchange)
        found[exchange] = {kind: restrictions.get(kind, "") for kind in kinds}
    return found, [str(error) for error in registry.broken.values()]


def simulated_exchange(
    data: Path | None = None,
    *,
    now: str | None = None,
    speed: float = 0.0,
    port: int = 0,
    faults: Sequence[str] = (),
    moods: Sequence[str] = (),
) -> SimulatedExchange:
    """Return a simulated exchange that replays the recorded data in a folder, or a generated market.

    *faults* are texts like ``error_every=5``, or ``all``; *moods* like ``outage=START/END``.
    """
    from ticklake.core.time import MINUTE, parse_time
    from ticklake.testing.exchange.clock import SimulatedClock
    from ticklake.testing.exchange.faults import Faults
    from ticklake.testing.exchange.generated import generated_market
    from ticklake.testing.exchange.recorded import recorded_market
    from ticklake.testing.exchange.server import SimulatedExchange

    market = recorded_market(data) if data is not None else generated_market()
    start = market.end() + 2 * MINUTE if now is None else parse_time(now)
    exchange = SimulatedExchange(market, SimulatedClock(start, speed), Faults.parse(faults), port=port)
    exchange.be(*moods)
    return exchange


@cache  # it looks through all installed packages, a millisecond of every opening
def tool() -> str:
    """Return our name and version."""
    from importlib.metadata import PackageNotFoundError, version

    try:
        return f"ticklake {version('ticklake')}"
    except PackageNotFoundError:
        return "ticklake"


def _settings() -> Settings:
    from ticklake.config import load_settings

    return load_settings()


def _with_archives(calls: Source, settings: Settings, clock: Clock, root: Path | None) -> Source:
    from ticklake.sources.archives.downloads import Downloads
    from ticklake.sources.archives.http import Site, SiteRetry
    from ticklake.sources.archives.layouts import site_of
    from ticklake.sources.archives.source import ArchiveSource
    from ticklake.sources.combined import CombinedSource

    own, known = settings.exchange(calls.exchange), site_of(calls.exchange)
    address = own.archive_url or (known if own.url is None else None)
    if address is None or known is None:
        return calls
    site = Site(SiteRetry(**settings.retry.model_dump(), timeout=own.timeout), _pace("archive", address, settings))
    downloads = Downloads(root, site, Space(root, settings.min_free).check if root else lambda _size: None)
    archive = ArchiveSource(calls.exchange, address, downloads, site, calls.instruments, clock)
    return CombinedSource(calls, archive)


def _pace(name: str, address: str | None, settings: Settings) -> Pace:
    """Return the turns at an exchange, or at the host of an address where that takes its place."""
    from urllib.parse import urlsplit

    from ticklake.sources.pacing.pace import Pace

    key = name if address is None else f"{name}@{urlsplit(address).netloc}"
    return Pace(name, key, Path(settings.state).expanduser() / LIMITS_FILE)


def _has_no_catalog(root: Path) -> bool:
    """Whether there is no catalog yet; a few bytes are none: SQLite would take them for an empty one."""
    path = root / CATALOG_FILE
    try:
        return not path.is_file() or path.stat().st_size < _SMALLEST
    except PermissionError as error:
        raise ReadOnlyLake(f"{root} cannot be entered ({error.strerror}): check the folder's permissions") from error


def _refuse_orphans(root: Path) -> None:
    """Refuse a folder of segments without a catalog: as a new lake, all its files would be garbage."""
    from ticklake.core.kinds import KINDS

    unfinished = root / f"{CATALOG_FILE}-wal"
    has_log = unfinished.is_file() and unfinished.stat().st_size
    is_half_rebuilt = any(root.glob(f"{CATALOG_FILE}.rebuilt*")) or any(root.glob(f"{CATALOG_FILE}.*.old*"))
    if has_log or is_half_rebuilt or any(next((root / kind).rglob("*.parquet"), None) for kind in KINDS):
        raise CatalogDamaged(
            f"{root} has data but no catalog: restore {CATALOG_FILE} from a backup, or run 'ticklake rebuild'"
        )


def _refuse_others(root: Path) -> None:
    """Refuse to make a lake among files that are not a lake's."""
    from ticklake.core.kinds import KINDS
    from ticklake.engine.store import RETIRED

    ours = {*KINDS, RETIRED, WITNESS_FILE, *_HARMLESS}
    try:
        others = (path.name for path in root.iterdir() if path.name not in ours)
        other = next((name for name in others if not name.startswith(CATALOG_FILE)), None)
    except (FileNotFoundError, NotADirectoryError):
        return
    if other is not None:
        raise NoLake(f"{root} is not a lake, and not empty (it has {other}): name a new or an empty folder")


def _make(root: Path) -> None:
    try:
        root.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise ReadOnlyLake(f"{root} cannot be made ({error.strerror}): check the path and its permissions") from error


def _wire(database: Database, root: Path | None, settings: Settings, clock: Clock) -> Lake:
    from ticklake.catalog.gap_notes import GapNotes
    from ticklake.catalog.instruments import Instruments
    from ticklake.catalog.runs import Runs
    from ticklake.collect.collector import Collector

    catalog = Catalog(database, clock, None if root is None else Witness(root / WITNESS_FILE))
    _tell_if_outdated(catalog)
    _respell(database)
    calendars = {name: own.calendar for name, own in settings.exchanges.items() if own.calendar}
    sessions = KnownSessions(calendars)
    objects, check_space = _place(root, settings)
    reserve = Reserve(root / RESERVE_FILE) if root else None
    engine = Engine(catalog, objects, clock, tool(), sessions, check_space, reserve)
    collector = Collector(
        engine,
        Runs(database, clock),
        Instruments(database, clock),
        source=lambda exchange, archives: wire_source(exchange, settings, clock, root, archives=archives),
        at_once=lambda exchange: settings.exchange(exchange).at_once,
        gap_notes=GapNotes(database, clock),
    )
    lake = Lake(
        engine,
        collector,
        root,
        CATALOG_FILE,
        keep=settings.keep,
        make_work=lambda: _work(lake, database, settings, clock),
        make_alerts=lambda: _alerts(engine, collector.runs, root, database, settings),
    )
    if settings.alerts.urls:
        collector.runs.ended = lambda run: lake.alerts.after(run)
    return lake


def _tell_if_outdated(catalog: Catalog) -> None:
    """Say that commits are missing; what is there can still be read."""
    try:
        catalog.check_current()
    except CatalogOutdated as error:
        logging.getLogger("ticklake").warning("%s", error)


def _respell(database: Database) -> None:
    """Give datasets of older lakes the one name that their timeframe has now."""
    from ticklake.catalog.dataset_names import respell_timeframes

    with suppress(ReadOnlyLake, CatalogOutdated):
        for found in respell_timeframes(database):
            if found.is_apart:
                message = (
                    f"{found.before} has the length of another dataset of this lake: it is called {found.dataset} now"
                )
                warnings.warn(message, TicklakeWarning, stacklevel=4)


def _alerts(engine: Engine, runs: Runs, root: Path | None, database: Database, settings: Settings) -> Alerts:
    from ticklake.alerts.conditions import Troubles
    from ticklake.alerts.notify import Notifier
    from ticklake.alerts.service import Alerts
    from ticklake.catalog.alerts import AlertRecords
    from ticklake.core.alerts import AlertRule, Policy
    from ticklake.core.timeframe import Timeframe

    own, place = settings.alerts, "memory" if root is None else str(root.resolve())
    policy = Policy(
        on=frozenset(map(AlertRule, own.on)),
        cooldown=Timeframe.parse(own.cooldown).length,
        stale_bars=own.stale_bars,
        stale_after=Timeframe.parse(own.stale_after).length,
        gap_window=Timeframe.parse(own.gap_window).length,
        datasets=tuple(own.datasets),
    )
    check_space = Space(root, settings.min_free, times=own.disk_free).check if root else lambda: None
    notifier = Notifier([url.get_secret_value() for url in own.urls])
    troubles = Troubles(engine, runs, policy, check_space, place)
    return Alerts(troubles, AlertRecords(database), notifier, runs, engine.now, place)


def _place(root: Path | None, settings: Settings) -> tuple[ObjectStore, Callable[[], None]]:
    """Return where segments go, and what refuses to fill it up."""
    if root is None:
        return MemoryStore(), lambda: None
    return LocalStore(root), Space(root, settings.min_free).check


def _work(lake: Lake, database: Database, settings: Settings, clock: Clock) -> tuple[Jobs, Schedules]:
    from ticklake.catalog.jobs import JobQueue
    from ticklake.catalog.schedules import ScheduleTable
    from ticklake.core.jobs import RetryPolicy
    from ticklake.jobs.operations import Operation, Operations, Outcome, Work
    from ticklake.jobs.queue import Jobs
    from ticklake.jobs.schedules import Schedules
    from ticklake.jobs.worker import Worker
    from ticklake.operations import BUILT_IN

    own = settings.jobs
    queue = JobQueue(database, clock, int(own.lease * SECOND))
    operations = Operations(BUILT_IN)
    retry = RetryPolicy(own.attempts, own.first_wait, own.longest_wait)

    def execute(operation: Operation, work: Work, parameters: Mapping[str, Any]) -> Outcome:
        return operation.function(lake, work, **parameters)

    jobs = Jobs(
        queue, operations, retry, lambda told: Worker(execute, queue, lake.runs, operations, retry, own.idle, told)
    )
    return jobs, Schedules(ScheduleTable(database, queue, clock), jobs, clock)
