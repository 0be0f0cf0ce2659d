"""The composition root: makes all objects from the settings. No other module makes its own dependencies."""

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
from ticklake.engine.block_cache import BlockCache
from ticklake.engine.engine import Engine
from ticklake.errors import (
    BadInput,
    CatalogDamaged,
    CatalogOutdated,
    NoLake,
    ReadOnlyLake,
    TicklakeError,
    TicklakeWarning,
)
from ticklake.lake import Lake
from ticklake.lake.arguments import as_path
from ticklake.sources.calendars import KnownSessions
from ticklake.storage.local import LocalStore
from ticklake.storage.memory import MemoryStore
from ticklake.storage.objects import ObjectStore
from ticklake.storage.space import Reserve, Space, is_full

if TYPE_CHECKING:
    from ticklake.alerts.service import Alerts
    from ticklake.catalog.runs import Runs
    from ticklake.collect.collector import Collector
    from ticklake.config import Settings
    from ticklake.core.jobs import Job
    from ticklake.core.results import Rebuilt
    from ticklake.jobs.queue import Jobs
    from ticklake.jobs.schedules import Schedules
    from ticklake.lake.streams import Streams
    from ticklake.sources.base import Source
    from ticklake.sources.pacing.pace import Pace
    from ticklake.sources.wire.proofs import StreamProof
    from ticklake.testing.exchange.server import SimulatedExchange

__all__ = [
    "CATALOG_FILE",
    "LIMITS_FILE",
    "folder_of",
    "list_exchanges",
    "list_proofs",
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
_SPACE_TO_OPEN = 64 * 1024
"""Bytes that SQLite needs to open a catalog."""
_HEADER_SIZE = 100
"""Bytes of SQLite's header."""
_IGNORED = ("ticklake.toml", "lost+found", ".gitignore", ".gitkeep", ".DS_Store")
"""Files that a folder may hold which becomes a lake."""
Clock = Callable[[], int]


def open_lake(
    path: str | Path | None = None,
    *,
    create: bool = True,
    settings: Settings | None = None,
    clock: Clock = time.time_ns,
) -> Lake:
    """Open the lake in a folder, made on first use unless *create* is false.

    Parameters
    ----------
    path
        The folder, or the URL of its catalog: ``sqlite:///folder`` or ``sqlite:///folder/catalog.db`` (a fourth slash begins an
        absolute path). That of the settings by default.

    Raises
    ------
    BadInput
        If it is the URL of another database.
    NoLake
        If there is none and it may not be made, because *create* is false or the folder holds something else.
    ReadOnlyLake, CatalogTooNew, CatalogDamaged
    """
    settings = _settings(settings)
    if path is None:
        path = settings.lake
    root = folder_of(path)
    reserve = Reserve(root / RESERVE_FILE)
    is_new = _has_no_catalog(root)
    if is_new:
        _refuse_orphans(root)
        if not create:
            raise NoLake(f"there is no lake in {root}: 'ticklake init' makes one, --lake names another")
        _refuse_other_files(root)
        _make_folder(root)
    lake = _wire(_opened(root, reserve), root, settings, clock)
    if is_new:
        # Space that is given back when the disk is full, so that the catalog can be opened and the lake cleaned up.
        reserve.fill()
    return lake


def folder_of(address: str | Path) -> Path:
    """Return the folder of the lake whose path, or whose catalog's URL, is *address*."""
    scheme, separator, place = str(address).partition("://")
    if not separator:
        return as_path("path", address)
    if scheme != "sqlite":
        note = ""
        if scheme.startswith("postgres"):
            note = ": catalogs in PostgreSQL come with a later version"
        # Without the rest of the URL, which may hold a password.
        raise BadInput(f"path={scheme}://... is no place for a catalog{note}; name a folder, or sqlite:///folder")
    if "?" in place or place == "/:memory:":
        raise BadInput(f"path={address} has options, or is no file: name a folder, like sqlite:///folder")
    folder = as_path("path", place.removeprefix("/"))
    if folder.name == CATALOG_FILE:
        return folder.parent
    return folder


def _opened(root: Path, reserve: Reserve) -> Database:
    """Open the catalog; on a full disk, take the space for it from the reserve."""
    try:
        return Database.in_file(root / CATALOG_FILE)
    except TicklakeError:
        if not is_full(root) or not reserve.give(_SPACE_TO_OPEN):
            raise
    return Database.in_file(root / CATALOG_FILE)


def memory_lake(settings: Settings | None = None, clock: Clock = time.time_ns) -> Lake:
    """Return a lake in memory, which is gone when it is closed."""
    return _wire(Database.in_memory(), None, _settings(settings), clock)


def rebuild_lake(path: str | Path, clock: Clock = time.time_ns, *, force: bool = False) -> Rebuilt:
    """Make a new catalog from what can be read of the old one and from the files in the lake's folder.

    The old catalog is kept beside it. Writers wait meanwhile, and go on in the new one.

    Raises
    ------
    NoLake
        If the folder holds no lake.
    BadInput
        If the catalog is sound, unless *force* is true.
    """
    from ticklake.engine.rebuild import rebuild

    root = folder_of(path)
    rebuilt = rebuild(root, LocalStore(root), CATALOG_FILE, clock, tool(), Reserve(root / RESERVE_FILE), force=force)
    # The witness knows the versions of the old catalog. The result names what of them was lost: those of the new one count now.
    witness = Witness(root / WITNESS_FILE)
    witness.forget()
    database = Database.in_file(root / CATALOG_FILE)
    Catalog(database, clock, witness).acknowledge()
    database.close()
    return rebuilt


def wire_source(
    exchange: str, settings: Settings, clock: Clock = time.time_ns, root: Path | None = None, *, archives: bool = True
) -> Source:
    """Return the source of one exchange. The package that serves it, like ccxt, is imported here and not before.

    If *archives* is true, a known dump site is read first. Its files are stored below *root* while they are read, or in a
    temporary folder.
    """
    from ticklake.sources.base import SourceOptions
    from ticklake.sources.registry import Registry

    options_of_exchange = settings.exchange(exchange)
    # The names of ccxt.
    secrets: dict[str, str] = {}
    for name, ccxt_name in (("api_key", "apiKey"), ("api_secret", "secret")):
        value = options_of_exchange.secret(exchange, name)
        if value is not None:
            secrets[ccxt_name] = value
    options = SourceOptions(
        url=options_of_exchange.url,
        rate_limit_ms=options_of_exchange.rate_limit_ms,
        timeout=options_of_exchange.timeout,
        retry=settings.retry.policy,
        secrets=secrets,
        clock=clock,
        pace=_pace(exchange, options_of_exchange.url, settings),
    )
    source = Registry(settings.sources).make(exchange, options)
    if archives and settings.archives:
        return _with_archives(source, settings, clock, root)
    return source


def list_proofs(search: str = "") -> list[StreamProof]:
    """Return what proves the streams of the exchanges whose id contains *search*, and their blind spots."""
    from ticklake.sources.wire.proofs import PROOFS

    return [proof for proof in PROOFS if search.lower() in proof.exchange]


def list_exchanges(search: str = "") -> tuple[dict[str, dict[str, str]], list[str]]:
    """Return the exchanges whose id contains *search*, and the errors of sources that could not be loaded.

    Each exchange comes with the kinds it serves, and each kind with its restriction, like a key that it needs, or ``""``.

    Raises
    ------
    UnknownExchange
        If there is none; similar names are proposed.
    """
    from ticklake.sources.registry import Registry

    registry = Registry()
    exchanges: dict[str, dict[str, str]] = {}
    for exchange, kinds in registry.exchanges(search).items():
        restrictions = registry.restrictions(exchange)
        exchanges[exchange] = {kind: restrictions.get(kind, "") for kind in kinds}
    if search and not exchanges:
        registry.check_known(search)
    return exchanges, list(map(str, registry.broken.values()))


def simulated_exchange(
    data: Path | None = None,
    *,
    now: str | None = None,
    speed: float = 0.0,
    port: int = 0,
    faults: Sequence[str] = (),
    moods: Sequence[str] = (),
    live: bool = False,
) -> SimulatedExchange:
    """Return a simulated exchange that replays the recorded data in a folder, or a generated market.

    Its time begins after the end of the data, so that all of it is history. With *live* the data goes on: a generated
    market at the real time, recorded data at its first trades.

    *faults* are texts like ``error_every=5``, or ``all``; *moods* like ``outage=START/END``.
    """
    from ticklake.core.time import MINUTE, parse_time
    from ticklake.testing.exchange.clock import SimulatedClock
    from ticklake.testing.exchange.faults import Faults
    from ticklake.testing.exchange.generated import generated_market, live_market
    from ticklake.testing.exchange.recorded import recorded_market
    from ticklake.testing.exchange.server import SimulatedExchange

    # Checked first: making the market takes seconds.
    switches = Faults.parse(faults)
    start = None if now is None else parse_time(now)
    if data is not None:
        market = recorded_market(data)
        if start is None and live:
            start = market.first_trades()
    elif live:
        start = time.time_ns() if start is None else start
        market = live_market(start, speed)
    else:
        market = generated_market()
    if start is None:
        start = market.end() + 2 * MINUTE
    exchange = SimulatedExchange(market, SimulatedClock(start, speed), switches, port=port)
    exchange.be(*moods)
    return exchange


@cache  # it looks through all installed packages, a millisecond of every opening
def tool() -> str:
    """Return the name and version of this package, which is stored with the provenance of rows."""
    from importlib.metadata import PackageNotFoundError, version

    try:
        return f"ticklake {version('ticklake')}"
    except PackageNotFoundError:
        return "ticklake"


def _settings(settings: Settings | None) -> Settings:
    """Check settings that a caller passed; without any, read the environment and the file."""
    from ticklake.config import Settings, load_settings

    if settings is None:
        return load_settings()
    if not isinstance(settings, Settings):
        raise BadInput(f"settings={settings!r} are no settings: make them with load_settings(min_free='1 GiB')")
    return settings


def _with_archives(source: Source, settings: Settings, clock: Clock, root: Path | None) -> Source:
    """Return a source that reads the exchange's dump site first, or *source* itself if none is known."""
    from ticklake.sources.archives.downloads import Downloads
    from ticklake.sources.archives.http import Site
    from ticklake.sources.archives.layouts import site_of
    from ticklake.sources.archives.source import ArchiveSource
    from ticklake.sources.combined import CombinedSource

    options = settings.exchange(source.exchange)
    known_site = site_of(source.exchange)
    address = options.archive_url
    # With another url, the exchange is a simulated one or a copy: the known site would have rows of the real one.
    if address is None and options.url is None:
        address = known_site
    if address is None or known_site is None:
        return source
    check_space: Callable[[int], None] = _no_check
    if root is not None:
        check_space = Space(root, settings.min_free).check
    site = Site(settings.retry.policy, _pace("archive", address, settings), options.timeout)
    downloads = Downloads(root, site, check_space)
    archive = ArchiveSource(source.exchange, address, downloads, site, source.instruments, clock)
    return CombinedSource(source, archive)


def _pace(name: str, address: str | None, settings: Settings) -> Pace:
    """Return the rate limiter of an exchange, or of the host of an address that replaces it; all processes of a user share it."""
    from urllib.parse import urlsplit

    from ticklake.sources.pacing.pace import Pace

    key = name
    if address is not None:
        key = f"{name}@{urlsplit(address).netloc}"
    return Pace(name, key, Path(settings.state).expanduser() / LIMITS_FILE)


def _has_no_catalog(root: Path) -> bool:
    """Whether there is no catalog yet. A file of a few bytes is none, although SQLite would open it as an empty one."""
    path = root / CATALOG_FILE
    try:
        return not path.is_file() or path.stat().st_size < _HEADER_SIZE
    except PermissionError as error:
        raise ReadOnlyLake(f"{root} cannot be entered ({error.strerror}): check the folder's permissions") from error


def _refuse_orphans(root: Path) -> None:
    """Refuse a folder of segments without a catalog: as a new lake, all its files would be garbage."""
    from ticklake.engine.store import LIVE_FOLDERS

    write_ahead_log = root / f"{CATALOG_FILE}-wal"
    has_log = write_ahead_log.is_file() and write_ahead_log.stat().st_size
    is_half_rebuilt = any(root.glob(f"{CATALOG_FILE}.rebuilt*")) or any(root.glob(f"{CATALOG_FILE}.*.old*"))
    if has_log or is_half_rebuilt or any(next((root / folder).rglob("*.parquet"), None) for folder in LIVE_FOLDERS):
        raise CatalogDamaged(
            f"{root} has data but no catalog: restore {CATALOG_FILE} from a backup, or run 'ticklake rebuild'"
        )


def _refuse_other_files(root: Path) -> None:
    """Refuse to make a lake in a folder that holds anything else."""
    from ticklake.engine.store import LIVE_FOLDERS, RETIRED

    allowed = {*LIVE_FOLDERS, RETIRED, WITNESS_FILE, *_IGNORED}
    try:
        names = [path.name for path in root.iterdir()]
    except (FileNotFoundError, NotADirectoryError):
        return
    for name in names:
        if name not in allowed and not name.startswith(CATALOG_FILE):
            raise NoLake(f"{root} is not a lake, and not empty (it has {name}): name a new or an empty folder")


def _make_folder(root: Path) -> None:
    try:
        root.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise ReadOnlyLake(f"{root} cannot be made ({error.strerror}): check the path and its permissions") from error


def _wire(database: Database, root: Path | None, settings: Settings, clock: Clock) -> Lake:
    """Make the objects of a lake and connect them; *root* is ``None`` for one in memory."""
    from ticklake.catalog.gap_notes import GapNotes
    from ticklake.catalog.instruments import Instruments
    from ticklake.catalog.runs import Runs
    from ticklake.collect.collector import Collector

    engine = _wire_engine(database, root, settings, clock)
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
        rebuild=lambda folder, force: rebuild_lake(folder, clock, force=force),
        make_queue=lambda: _queue(lake, database, settings, clock),
        make_alerts=lambda: _alerts(
            engine, collector.runs, root, database, settings, lambda: lake.jobs.queue.abandoned()
        ),
        make_streams=lambda: _streams(collector, settings, clock),
    )
    if settings.alerts.urls:
        collector.runs.ended = lambda run: lake.alerts.after(run)
    return lake


def _streams(collector: Collector, settings: Settings, clock: Clock) -> Streams:
    """Return what collects streams; its holes are filled by calls, as dump sites have nothing of today."""
    from ticklake.collect.broadcast import Broadcast
    from ticklake.collect.streaming import Streaming
    from ticklake.lake.streams import Streams
    from ticklake.query.hot_cache import HotCache

    streaming = Streaming(
        collector.engine,
        collector.runs,
        collector.instruments,
        collector.gap_notes,
        source=lambda exchange: wire_source(exchange, settings, clock, archives=False),
        options=settings.live.options,
    )
    cache = HotCache(clock, settings.live.cache_seconds, settings.live.cache_bytes)
    broadcast = Broadcast(cache, collector.engine, settings.live.poll_seconds)
    return Streams(streaming, collector.runs, broadcast)


def _wire_engine(database: Database, root: Path | None, settings: Settings, clock: Clock) -> Engine:
    """Connect catalog and files."""
    objects: ObjectStore = MemoryStore()
    witness = reserve = None
    check_space: Callable[[], None] = _no_check
    if root is not None:
        objects = LocalStore(root)
        witness = Witness(root / WITNESS_FILE)
        reserve = Reserve(root / RESERVE_FILE)
        check_space = Space(root, settings.min_free).check
    catalog = Catalog(database, clock, witness)
    _warn_if_outdated(catalog)
    _rename_timeframes(database)
    calendars = {name: options.calendar for name, options in settings.exchanges.items() if options.calendar}
    sessions = KnownSessions(calendars)
    return Engine(
        catalog,
        objects,
        clock,
        tool(),
        sessions,
        check_space,
        reserve,
        open_folder=LocalStore,
        blocks=BlockCache(settings.cache_size),
        lags=settings.knowledge.lags,
    )


def _no_check(*_size: int) -> None:
    """Check no space: a lake in memory has no disk."""


def _warn_if_outdated(catalog: Catalog) -> None:
    """Warn if commits are missing from the catalog; what is there can still be read."""
    try:
        catalog.check_current()
    except CatalogOutdated as error:
        logging.getLogger("ticklake").warning("%s", error)


def _rename_timeframes(database: Database) -> None:
    """Rename datasets of older lakes whose timeframe is written in another way, like ``60m`` for ``1h``."""
    from ticklake.catalog.dataset_names import respell_timeframes

    # Such a lake can be read as it is, and the next writer renames them.
    with suppress(ReadOnlyLake, CatalogOutdated):
        for renamed in respell_timeframes(database):
            if renamed.is_apart:
                message = f"{renamed.before} has the length of another dataset of this lake: it is called {renamed.dataset} now"
                # The frames after this one are _wire and open_lake; then comes the caller.
                warnings.warn(message, TicklakeWarning, stacklevel=4)


def _alerts(
    engine: Engine,
    runs: Runs,
    root: Path | None,
    database: Database,
    settings: Settings,
    abandoned: Callable[[], Sequence[Job]],
) -> Alerts:
    from ticklake.alerts.conditions import Troubles
    from ticklake.alerts.notify import Notifier
    from ticklake.alerts.service import Alerts
    from ticklake.catalog.alerts import AlertRecords
    from ticklake.core.alerts import AlertRule, Policy
    from ticklake.core.timeframe import Timeframe

    options = settings.alerts
    policy = Policy(
        on=frozenset(map(AlertRule, options.on)),
        cooldown=Timeframe.parse(options.cooldown).length,
        stale_bars=options.stale_bars,
        stale_after=Timeframe.parse(options.stale_after).length,
        gap_window=Timeframe.parse(options.gap_window).length,
        datasets=tuple(options.datasets),
    )
    place = "memory"
    check_space: Callable[[], None] = _no_check
    if root is not None:
        place = str(root.resolve())
        check_space = Space(root, settings.min_free, times=options.disk_free).check
    notifier = Notifier([url.get_secret_value() for url in options.urls])
    troubles = Troubles(engine, runs, policy, check_space, place, abandoned)
    return Alerts(troubles, AlertRecords(database), notifier, runs, engine.now, place)


def _queue(lake: Lake, database: Database, settings: Settings, clock: Clock) -> tuple[Jobs, Schedules]:
    from ticklake.catalog.jobs import JobQueue
    from ticklake.catalog.schedules import ScheduleTable
    from ticklake.jobs.operations import Operation, Operations, Outcome, Work
    from ticklake.jobs.queue import Jobs
    from ticklake.jobs.schedules import Schedules
    from ticklake.jobs.worker import Worker
    from ticklake.operations import BUILT_IN

    options = settings.jobs
    queue = JobQueue(database, clock, int(options.lease * SECOND))
    operations = Operations(BUILT_IN)
    retry = options.retry_policy

    def execute(operation: Operation, work: Work, parameters: Mapping[str, Any]) -> Outcome:
        return operation.function(lake, work, **parameters)

    def make_worker(report: Callable[[Job], None]) -> Worker:
        return Worker(execute, queue, lake.runs, operations, retry, options.idle, report)

    jobs = Jobs(queue, operations, retry, make_worker)
    return jobs, Schedules(ScheduleTable(database, queue, clock), jobs, clock)
