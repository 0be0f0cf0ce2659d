"""Opening: a lake at hand, or one that is served elsewhere, by what names it."""

from __future__ import annotations

import time
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, cast

if TYPE_CHECKING:
    from ticklake.config import Settings
    from ticklake.lake import Lake

__all__ = ["is_served", "open_lake"]


def open_lake(
    path: str | Path | None = None,
    *,
    create: bool = True,
    settings: Settings | None = None,
    clock: Callable[[], int] = time.time_ns,
) -> Lake:
    """Open the lake in a folder, made on first use unless *create* is false; or connect to one that is served.

    Parameters
    ----------
    path
        The folder, or the URL of its catalog: ``sqlite:///folder`` or ``sqlite:///folder/catalog.db`` (a fourth slash begins an
        absolute path). Or the address of a server, like ``http://127.0.0.1:8470``: then this is :func:`ticklake.connect`, whose
        lake has the verbs of this one but for those that need its files; the setting ``token`` is sent. That of the settings by default.

    Raises
    ------
    BadInput
        If it is the URL of another database.
    NoLake
        If there is none and it may not be made, because *create* is false or the folder holds something else.
    ServerUnavailable
        If no server answers at the address.
    ReadOnlyLake, CatalogTooNew, CatalogDamaged
    """
    from ticklake import app
    from ticklake.config import Settings, load_settings

    if settings is None:
        settings = load_settings()
    if path is None and isinstance(settings, Settings):
        path = settings.lake
    if not is_served(path):
        return app.open_lake(path, create=create, settings=settings, clock=clock)
    from ticklake.interfaces.client import connect

    token: str | None = None
    if settings.token is not None:
        token = settings.token.get_secret_value()
    # Not quite a lake: what it lacks says so when it is used.
    return cast("Lake", connect(str(path), token))


def is_served(path: object) -> bool:
    """Whether it is the address of a server."""
    return isinstance(path, str) and path.lower().startswith(("http://", "https://"))
