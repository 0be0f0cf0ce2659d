"""Checks of the machine: versions, extras, settings, clock, disk, permissions."""

from __future__ import annotations

import os
import platform
import sqlite3
import stat
from collections.abc import Iterator
from contextlib import suppress
from importlib.metadata import PackageNotFoundError, requires, version
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING

from ticklake.core.time import SECOND
from ticklake.errors import StorageError
from ticklake.interfaces.cli.output import big
from ticklake.interfaces.doctor.findings import Finding, ok, warning, wrong
from ticklake.storage.file_systems import IN_MEMORY, NETWORK, FileSystem, file_system_of, sync_seconds
from ticklake.storage.space import Space

if TYPE_CHECKING:
    from ticklake.config import Settings

__all__ = ["EXTRAS", "clock_of_files", "disk", "durability", "extras", "permissions", "versions"]

EXTRAS = {
    "alerts": "apprise",
    "client": "httpx",
    "equities": "exchange_calendars",
    "keyring": "keyring",
    "mcp": "mcp",
    "plot": "altair",
    "server": "fastapi",
    "sql": "duckdb",
    "ta": "talib",
}
"""The optional parts, each with a package that it brings."""
_SHOWN = ("polars", "pyarrow", "ccxt", "sqlalchemy")
_MOST_SKEW = 2 * SECOND
"""The time of a file may be that much off: some file systems keep whole seconds."""
_QUICKEST_SYNC = 20e-6
"""No disk makes bytes durable in fewer seconds."""
_LIES = frozenset({"nobarrier", "barrier=0"})
"""Options of mounts with which nothing is durable when it is said to be."""


def versions() -> Iterator[Finding]:
    """Check that the packages are those that are needed."""
    old = list(_too_old())
    if old:
        yield wrong("versions", f"too old: {', '.join(old)}", "pip install -U ticklake")
        return
    shown = [f"Python {platform.python_version()}", f"SQLite {sqlite3.sqlite_version}"]
    shown += [f"{name} {_version(name)}" for name in ("ticklake", *_SHOWN)]
    yield ok("versions", ", ".join(shown))


def _too_old() -> Iterator[str]:
    """Yield the packages that are missing or older than what is required."""
    # Only lower bounds: the project has no others.
    for requirement in requires("ticklake") or ():
        name, separator, least = requirement.partition(">=")
        # Those of extras have a marker.
        if not separator or ";" in requirement:
            continue
        installed = _version(name)
        if installed is None or _numbers(installed) < _numbers(least):
            yield f"{name} {installed or 'is not installed'} ({least} is needed)"


def _version(name: str) -> str | None:
    try:
        return version(name)
    except PackageNotFoundError:
        return None


def _numbers(text: str) -> tuple[int, ...]:
    numbers: list[int] = []
    for part in text.split("."):
        if not part.isdecimal():
            break
        numbers.append(int(part))
    return tuple(numbers)


def extras(settings: Settings) -> Iterator[Finding]:
    """Say which optional parts are installed, and which the settings ask for in vain."""
    there = [name for name, package in EXTRAS.items() if find_spec(package) is not None]
    absent = [name for name in EXTRAS if name not in there]
    wanted: dict[str, str] = {}
    if settings.alerts.urls:
        wanted["alerts"] = "alerts.urls"
    calendars = {options.calendar for options in settings.exchanges.values()} - {None, "forex", "always"}
    if calendars:
        wanted["equities"] = "exchanges.NAME.calendar"
    for name, setting in wanted.items():
        if name in absent:
            yield wrong(
                "extras", f"{setting} is set, and needs what is not installed", f"pip install 'ticklake[{name}]'"
            )
    yield ok("extras", f"installed: {', '.join(there) or 'none'}; not installed: {', '.join(absent) or 'none'}")


def clock_of_files(folder: Path, now: int) -> Iterator[Finding]:
    """Compare the clock with the time that the file system gives to a new file."""
    path = folder / f".clock-{os.getpid()}"
    try:
        # The file is a little younger than *now*: the tolerance is for a slow disk, too.
        path.touch()
        skew = path.stat().st_mtime_ns - now
        path.unlink(missing_ok=True)
    except OSError:
        # The check of permissions says so.
        return
    if abs(skew) > _MOST_SKEW:
        text = f"the file system's time is {skew / SECOND:+.1f} s off this machine's"
        yield wrong("clock", text, "set both clocks by NTP: vacuum decides by the times of files what is garbage")
    else:
        yield ok("clock", "the file system has the same time")


def disk(folder: Path, settings: Settings) -> Iterator[Finding]:
    """Check the free space."""
    space = Space(folder, settings.min_free)
    total, _, free = space.usage(folder)
    text = f"{big(free)} of {big(total)} are free, {big(space.needed(total))} are to stay free (min_free)"
    try:
        space.check()
    except StorageError:
        yield wrong("disk", text, "free some, or set min_free lower: nothing is collected until then")
        return
    if free < 2 * space.needed(total):
        yield warning("disk", text, "make room now: 'ticklake stats' shows what takes how much")
    else:
        yield ok("disk", text)


def durability(folder: Path, found: FileSystem | None = None) -> Iterator[Finding]:
    """Check that the file system is one on which a lake is safe, and that it makes durable what it is told to."""
    found = found or file_system_of(folder)
    kind = "unknown"
    if found is not None:
        kind = found.kind
        yield from _of_kind(found)
    try:
        seconds = sync_seconds(folder)
    except OSError:
        return
    text = f"{kind}; {seconds * 1000:.2f} ms until bytes are durable"
    # It is preloaded on build machines, and turns fsync into nothing.
    if "eatmydata" in _loaded_libraries():
        yield wrong("fsync", "eatmydata is loaded: nothing is durable", "start without it")
    elif kind not in IN_MEMORY and seconds < _QUICKEST_SYNC:
        cure = "a cache answers: turn it off, or make it survive a power cut"
        yield warning("fsync", f"{text}, which no disk can", cure)
    else:
        yield ok("fsync", text)


def _of_kind(found: FileSystem) -> Iterator[Finding]:
    """Yield what is to be said about a kind of file system."""
    if found.kind in NETWORK:
        text = f"{found.place} is a network file system ({found.kind})"
        yield wrong("file system", text, "move the lake to a local disk: locks of SQLite do not work there")
    elif found.kind in IN_MEMORY:
        text = f"{found.place} is in memory ({found.kind})"
        yield warning("file system", text, "move the lake to a disk: a restart of the machine loses it")
    elif found.kind == "overlay":
        text = "the lake is in a container's own layer"
        yield warning("file system", text, "mount a volume: it is gone when the container is removed")
    if found.options & _LIES:
        yield wrong(
            "file system", f"{found.place} is mounted with nobarrier", "mount it without: a power cut loses rows"
        )


def _loaded_libraries() -> str:
    with suppress(OSError):
        return Path("/proc/self/maps").read_text()
    return ""


def permissions(folder: Path, catalog_file: str, config: Path, settings: Settings) -> Iterator[Finding]:
    """Check who may read and write the lake, and the file with secrets."""
    before = len(list(_refused(folder, catalog_file)))
    yield from _refused(folder, catalog_file)
    mode = _mode(config)
    if mode is not None and mode & 0o077 and _has_secrets(config, settings):
        text = f"{config} holds secrets, and others may read it ({mode:o})"
        yield wrong("permissions", text, f"chmod 600 {config}")
    elif not before:
        yield ok("permissions", f"{folder} can be written")


def _refused(folder: Path, catalog_file: str) -> Iterator[Finding]:
    for path in (folder, folder / catalog_file, folder / f"{catalog_file}-wal"):
        with suppress(FileNotFoundError):
            status = path.stat()
            if not os.access(path, os.W_OK):
                owner = f"it belongs to user {status.st_uid}, this is {os.geteuid()}"
                yield wrong(
                    "permissions", f"{path} cannot be written ({owner})", "run as the user whom the lake belongs to"
                )
            if status.st_mode & stat.S_IWOTH and not status.st_mode & stat.S_ISVTX:
                yield warning("permissions", f"anybody may write {path}", f"chmod o-w {path}")


def _mode(path: Path) -> int | None:
    try:
        return stat.S_IMODE(path.stat().st_mode)
    except OSError:
        return None


def _has_secrets(config: Path, settings: Settings) -> bool:
    """Whether any secret that is set stands in the file, and not in the environment."""
    try:
        text = config.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError):
        return False
    secrets = list(settings.alerts.urls)
    for options in settings.exchanges.values():
        secrets += [secret for secret in (options.api_key, options.api_secret) if secret is not None]
    return any(secret.get_secret_value() in text for secret in secrets)
