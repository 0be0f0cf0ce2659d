"""Snapshot: the lake as of one version."""

from __future__ import annotations

from pathlib import Path

from ticklake.core.time import format_time
from ticklake.engine.engine import Engine
from ticklake.lake.view import View

__all__ = ["Snapshot"]


class Snapshot(View):
    """The lake as of one version: every answer is of that version, and no method changes the lake.

    Made by :meth:`Lake.at`. A dataset that came later is known and has no rows.

    Attributes
    ----------
    version
        The version that every answer is of.
    """

    def __init__(self, engine: Engine, root: Path | None, version: int, moment: int) -> None:
        # *moment* takes the place of now: freshness, and which bars are final, are those of that time.
        super().__init__(engine.at(version, moment), root)
        self.version = version

    def __repr__(self) -> str:
        return f"Snapshot(version {self.version}, {format_time(self.engine.now())})"
