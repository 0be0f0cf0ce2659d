"""Datasette: rows of SQLite over HTTP. It serves, and stores nothing by itself."""

from __future__ import annotations

from importlib.util import find_spec

from benchmarks.contenders.base import Contender

if find_spec("datasette") is None:
    raise ImportError("datasette")


class Datasette(Contender):
    """Takes part where answers are read over HTTP: see :mod:`benchmarks.http`."""

    name = "datasette"
    packages = ("datasette",)
    durability = "it writes nothing here"
