"""Operations: what a job can do, by name. A package adds one under the entry point group ``ticklake.operations``."""

from __future__ import annotations

import inspect
import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from importlib.metadata import entry_points
from typing import Any, Protocol

from ticklake.core.access import Role
from ticklake.core.dataset import Dataset
from ticklake.core.jobs import JobState
from ticklake.core.progress import Watch
from ticklake.core.requests import BackfillRequest
from ticklake.core.runs import Run
from ticklake.core.selection import parse_names
from ticklake.core.streams import StreamRequest
from ticklake.core.time import format_time, parse_time
from ticklake.errors import BadInput, BrokenPlugin

__all__ = ["GROUP", "Operation", "Operations", "Outcome", "Work"]

GROUP = "ticklake.operations"


@dataclass(frozen=True, slots=True)
class Outcome:
    """The end of one try: its state (``succeeded``, ``incomplete`` or ``failed``), a text, and whether to try again."""

    state: JobState
    text: str
    retriable: bool = False

    @classmethod
    def of(cls, run: Run) -> Outcome:
        """Return the outcome of a run."""
        return cls(JobState(run.state), run.outcome, bool(run["retriable"]))


class Work(Protocol):
    """The work of an operation, by which it reports progress and learns that it must stop."""

    @property
    def watch(self) -> Watch:
        """To be called after every committed page; raises :class:`~ticklake.errors.Cancelled` to stop the work."""

    def check(self, done: float | None = None) -> None:
        """Report the finished share; to be called between pieces of work. It raises ``Cancelled`` like ``watch``."""

    def hold(self, datasets: Sequence[str]) -> None:
        """Lock these datasets until the job ends; raises ``LeaseHeld`` if another job works on one of them."""


@dataclass(frozen=True)
class Operation:
    """One thing that jobs do.

    Parameters
    ----------
    function
        ``function(lake, work, **parameters) -> Outcome``. Its own parameters are those of the job; they must be JSON, and
        ``start``, ``end``, ``dataset``, ``symbols`` and ``streams`` are parsed like those of the lake's methods. To do it twice must do
        no harm: a worker may die after the last effect and before its end is recorded.
    records_runs
        Whether it records runs itself; else the worker records one for each try.
    role
        What a caller of a server must be to ask for it.
    folder
        The parameter that names a folder of this machine, if there is one: a server lets nobody choose it freely.
    """

    name: str
    function: Callable[..., Outcome]
    records_runs: bool = False
    role: Role = Role.ADMIN
    folder: str | None = None

    @property
    def description(self) -> str:
        """What it does, in a line."""
        return inspect.getdoc(self.function) or ""

    @property
    def takes(self) -> dict[str, Any]:
        """Its parameters by name, each with its default; those that must be given have ``...``."""
        defaults: dict[str, Any] = {}
        for name, parameter in self._signature.parameters.items():
            defaults[name] = parameter.default
            if parameter.default is inspect.Parameter.empty:
                defaults[name] = ...
        return defaults

    def parameters(self, *positional: Any, **named: Any) -> dict[str, Any]:
        """Return the arguments as the parameters of a job, without those that equal the defaults.

        Raises
        ------
        BadInput
            If the operation does not take these arguments.
        """
        signature = self._signature
        if positional and isinstance(positional[0], BackfillRequest):
            named = {**positional[0].to_json(), **named}
            positional = positional[1:]
        try:
            bound = signature.bind(*positional, **named)
        except TypeError as error:
            takes = ", ".join(signature.parameters) or "nothing"
            raise BadInput(f"{self.name}: {error}; it takes {takes}") from error
        kept: dict[str, Any] = {}
        for name, value in bound.arguments.items():
            plain = _plain(name, value)
            # Defaults are left out, so that two spellings of one job are identical and only one is queued.
            if plain != signature.parameters[name].default and plain not in ([], None):
                kept[name] = plain
        try:
            json.dumps(kept)
        except TypeError as error:
            raise BadInput(f"{self.name}: a parameter is not JSON, which jobs are stored as: {error}") from error
        return kept

    @cached_property
    def _signature(self) -> inspect.Signature:
        _lake, _work, *own = inspect.signature(self.function).parameters.values()
        return inspect.Signature(own)


@dataclass
class Operations:
    """All operations: Ticklake's own, and those of other packages."""

    built_in: Mapping[str, Operation]
    _found: dict[str, Operation] = field(default_factory=dict)

    @property
    def names(self) -> list[str]:
        """The names of all."""
        return sorted({*self.built_in, *entry_points(group=GROUP).names})

    def __getitem__(self, name: str) -> Operation:
        """Return the operation of that name.

        Raises
        ------
        BadInput
            If there is none.
        BrokenPlugin
            If it cannot be loaded.
        """
        if name not in self._found:
            self._found[name] = self.built_in.get(name) or self._load(name)
        return self._found[name]

    def _load(self, name: str) -> Operation:
        point = next(iter(entry_points(group=GROUP, name=name)), None)
        if point is None:
            raise BadInput(f"there is no operation {name!r} for jobs: there are {', '.join(self.names)}")
        try:
            # Code of other packages may raise anything.
            found = point.load()
        except Exception as error:
            raise BrokenPlugin(f"the operation {name} ({point.value}) cannot be loaded: {error}") from error
        if not isinstance(found, Operation):
            raise BrokenPlugin(f"the operation {name} ({point.value}) is no ticklake.jobs.operations.Operation")
        return found


def _plain(name: str, value: Any) -> Any:
    """Return a parameter as it is stored; an invalid one is refused here, and not when the job runs."""
    if name in {"start", "end"} and value is not None:
        return format_time(parse_time(value))
    if name == "dataset" and value is not None:
        return str(Dataset.parse(value))
    if name == "symbols":
        return parse_names("symbols", value)
    if name == "streams" and value is not None:
        return _streams(value)
    return value


def _streams(value: Any) -> list[dict[str, Any]]:
    """Return requests for streams as they are stored."""
    if not isinstance(value, list | tuple):
        raise BadInput(
            f"streams={value!r} is no list: pass requests, like {{'exchange': 'binance', 'symbols': ['BTC/USDT']}}"
        )
    stored: list[dict[str, Any]] = []
    for request in value:
        try:
            stored.append(StreamRequest.of(**request).to_json())
        except TypeError as error:
            raise BadInput(f"{request!r} is no request for streams: {error}") from error
    return stored
