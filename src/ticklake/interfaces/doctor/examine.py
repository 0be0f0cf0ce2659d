"""All checks in the order in which they are told."""

from __future__ import annotations

import time
from collections.abc import Iterator, Sequence
from pathlib import Path

from ticklake.app import CATALOG_FILE, folder_of, open_lake
from ticklake.config import CONFIG_FILE, Settings, load_settings, setting_problems, unknown_variables
from ticklake.errors import BadInput, TicklakeError
from ticklake.interfaces.doctor import contents, exchanges, machine
from ticklake.interfaces.doctor.findings import Finding, ok, warning, wrong
from ticklake.lake import Lake

__all__ = ["examine"]


def examine(path: str | None, exchange_url: str | None, *, offline: bool) -> Iterator[Finding]:
    """Look at everything, and yield what was found.

    Parameters
    ----------
    path
        The lake; that of the settings by default.
    offline
        Whether no exchange is asked.

    Raises
    ------
    BadInput
        If *exchange_url* is no address.
    """
    yield from machine.versions()
    problems = setting_problems()
    yield from _settings(problems)
    try:
        settings = load_settings(exchange_url=exchange_url)
    except BadInput:
        # Without problems of the settings it is the option that cannot be meant.
        if not problems:
            raise
        return
    yield from machine.extras(settings)
    yield from _place(settings, path)
    yield from _lake(settings, path, offline=offline)


def _settings(problems: Sequence[str]) -> Iterator[Finding]:
    for problem in problems:
        yield wrong(
            "settings", problem, f"change it in {CONFIG_FILE} or in the environment: 'ticklake config' shows what holds"
        )
    for name in unknown_variables():
        yield warning(
            "settings", f"{name} is set, and there is no such setting", "check how it is written, or unset it"
        )
    if not problems:
        yield ok("settings", "all are known and can be meant")


def _place(settings: Settings, path: str | None) -> Iterator[Finding]:
    """Look at the folder of the lake; one that is not there yet is not made."""
    folder = folder_of(path or settings.lake)
    # That it is missing is said when the lake is opened.
    if not folder.is_dir():
        return
    yield from machine.clock_of_files(folder, time.time_ns())
    yield from machine.disk(folder, settings)
    yield from machine.durability(folder)
    yield from machine.permissions(folder, CATALOG_FILE, Path(CONFIG_FILE).resolve(), settings)


def _lake(settings: Settings, path: str | None, *, offline: bool) -> Iterator[Finding]:
    try:
        lake = open_lake(path, create=False, settings=settings)
    except TicklakeError as error:
        text, _, cure = str(error).partition(": ")
        yield wrong("lake", text, cure)
        return
    with lake:
        yield from _contents(lake)
        if not offline:
            yield from exchanges.reached(exchanges.used_by(lake), settings)


def _contents(lake: Lake) -> Iterator[Finding]:
    for check in (contents.catalog, contents.backups, contents.freshness, contents.jobs, contents.runs):
        # What one check cannot read must not keep the others from being made.
        try:
            yield from check(lake)
        except TicklakeError as error:
            yield wrong(check.__name__, str(error), "see above")
