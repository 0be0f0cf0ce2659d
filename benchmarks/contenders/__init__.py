"""Who is measured: one module a contender, imported only when it takes part."""

from __future__ import annotations

from importlib import import_module

from benchmarks.contenders.base import Contender

__all__ = ["NAMES", "contender_class"]

_CLASSES = {
    "ticklake": "Ticklake",
    "limit": "Limit",
    "arcticdb": "ArcticDB",
    "dccd": "Dccd",
    "nautilus": "Nautilus",
    "duckdb": "DuckDB",
    "delta": "Delta",
    "datasette": "Datasette",
}
NAMES = tuple(_CLASSES)


def contender_class(name: str) -> type[Contender]:
    """Import and return the contender of that name."""
    found: type[Contender] = getattr(import_module(f"benchmarks.contenders.{name}"), _CLASSES[name])
    return found
