"""One round: a copy of a lake, an operation that is killed, and everything that must hold then."""

import json
import os
import shutil
import sqlite3
import subprocess
import sys
import time
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path

from crash_model import State, loaded, open_, perform

import ticklake
from ticklake.core.dataset import Dataset

HERE = Path(__file__).parent
OPENING_SECONDS = 3.0
HOURS = 26 * 3600 * 10**9
"""By so much the sweeping lake's clock runs ahead: nothing in the tree is too young to be garbage then."""


@dataclass(frozen=True)
class Told:
    """What a child said of itself."""

    killed: bool
    acknowledged: list
    died: str | None
    steps: list
    soft: list
    error: str | None


def environment():
    """What a process needs to run these modules."""
    paths = os.pathsep.join([str(Path(ticklake.__file__).parents[1]), str(HERE)])
    return {**os.environ, "PYTHONPATH": paths, "POLARS_MAX_THREADS": "1"}


class Zygote:
    """The process that forks the children; see ``zygote.py``."""

    def __init__(self):
        self._process = subprocess.Popen(
            [sys.executable, str(HERE / "zygote.py")],
            env=environment(),
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )

    def run(self, root, plan, **job):
        """Let a child work on the lake in *root*; see ``zygote.py`` for the rest."""
        self._process.stdin.write(json.dumps({"root": str(root), "plan": plan, **job}) + "\n")
        self._process.stdin.flush()
        answer = json.loads(self._process.stdout.readline())
        said = [one for one in answer["told"] if isinstance(one, dict)]
        each = {name: [one[name] for one in said if name in one] for name in Told.__annotations__}
        first = {name: next(iter(each[name]), None) for name in ("died", "error")}
        lists = {name: next(iter(each[name]), []) for name in ("steps", "soft")}
        return Told(answer["killed"], each["acknowledged"], **first, **lists)

    def close(self):
        self._process.stdin.close()
        self._process.wait(10)
        self._process.stdout.close()


class Round:
    """What became of one killed plan. *problems* is empty if all is as it must be.

    ``state`` is what the lake holds after the interrupted operation was repeated; ``done`` how many operations had
    happened when the child was gone; ``leftovers`` the files in the tree that were not live ones.
    """

    def __init__(self, root, before, plan, told):
        self.root, self.plan, self.told = root, plan, told
        self.problems = [f"the child failed: {told.error}"] if told.error else []
        self.states = [before]
        for operation in plan:
            self.states.append(self.states[-1].after(operation))
        self.done, self.opening, self.leftovers = None, None, set()

    def check(self, *, sweeps=True):
        """Open, compare, repeat what was interrupted, sweep: each must work and leave exactly what was sent."""
        try:
            self._check_survivors()
            if not self.problems and sweeps:
                self.sweep()
        except Exception as error:
            self.problems.append(f"{type(error).__name__}: {error}")
        return self

    @property
    def state(self):
        return self.states[min(len(self.told.acknowledged) + 1, len(self.plan))]

    def _check_survivors(self):
        began = time.monotonic()
        with open_(self.root) as lake:
            lake.datasets()
            self.opening = time.monotonic() - began
            if self.opening > OPENING_SECONDS:
                self.problems.append(f"opening took {self.opening:.1f} s")
            self.leftovers = files(self.root) - live(self.root)
            self._expect_all_or_nothing(lake)
            if not self.problems and len(self.told.acknowledged) < len(self.plan):
                self._repeat(lake)

    def _expect_all_or_nothing(self, lake):
        """All that was acknowledged is there, and of the operation after that all or nothing."""
        first = len(self.told.acknowledged)
        differences = {}
        for number in sorted({first, min(first + 1, len(self.plan))}):
            difference = differs(lake, self.states[number], lazily=True)
            if difference is None:
                self.done = number
                break
            differences["after" if number > first else "before"] = difference
        else:
            self.problems += [f"as {when} the interrupted operation: {what}" for when, what in differences.items()]
        self.problems += [f"verify: {one}" for one in lake.verify(deep=True) if one.dataset]

    def _repeat(self, lake):
        first = len(self.told.acknowledged)
        operation = self.plan[first]
        new = perform(lake, operation)
        if operation[0] == "save":
            missing = self._rows(operation, first + 1) - self._rows(operation, self.done)
            if new != missing:
                self.problems.append(f"repeated, {new} rows were new, not {missing}")

    def _rows(self, operation, number):
        return self.states[number].rows_of(operation[1]).height

    def sweep(self):
        """Vacuum without grace; the tree must be what the catalog names, and that must be live."""
        with open_(self.root, ahead=HOURS) as lake:
            lake.vacuum(keep=0)
            difference = differs(lake, self.state)
            if difference:
                self.problems.append(f"repeated and swept: {difference}")
            self.problems += [f"swept, verify: {one}" for one in lake.verify(deep=True)]
        if files(self.root) != live(self.root):
            self.problems.append(f"swept, tree and catalog differ in {sorted(files(self.root) ^ live(self.root))}")


def differs(lake, state, *, lazily=False):
    """Say how a lake differs from what it must hold, or ``None``; *lazily*, scans are looked at too."""
    counted = dict(lake.inventory().select("dataset", "rows").rows())
    logged = changes(lake.root)
    for dataset in sorted({*state.frames, *counted}):
        want, have = state.rows_of(dataset), loaded(lake, dataset)
        if not have.equals(want):
            lost, extra = (
                a.join(b, on=a.columns, how="anti", nulls_equal=True) for a, b in ((want, have), (have, want))
            )
            return f"{dataset} holds {have.height} rows, not {want.height}: {lost.height} lost, {extra.height} unknown"
        if lazily and not lake.engine.scan(Dataset.parse(dataset)).collect().equals(want):
            return f"{dataset}: scan and load differ"
        if counted.get(dataset, 0) != want.height:
            return f"{dataset} is said to have {counted[dataset]} rows and has {want.height}"
        if logged.get(dataset, 0) != state.changes.get(dataset, 0):
            return f"{dataset} logged {logged.get(dataset, 0)} changes, not {state.changes.get(dataset, 0)}"
    return None


def files(root):
    """Every file of a lake that is not the catalog's."""
    found = (path for path in Path(root).rglob("*") if path.is_file())
    return {path.relative_to(root).as_posix() for path in found if not path.name.startswith("catalog.db")}


def live(root):
    """The files that the catalog's newest version names."""
    rows = ask(root, "select path from segments where path is not null and removed_in is null")
    return {path for (path,) in rows}


def changes(root):
    """How many changes the revision log holds of each dataset."""
    return dict(
        ask(root, "select name, count(*) from revisions join datasets on datasets.id = dataset_id group by name")
    )


def ask(root, query):
    """Ask SQLite itself."""
    with closing(sqlite3.connect(Path(root) / "catalog.db")) as connection:
        return connection.execute(query).fetchall()


class Workshop:
    """Makes rounds on copies of template lakes, and counts them."""

    def __init__(self, zygote, folder):
        self.zygote, self.folder, self.rounds = zygote, folder, 0

    def template(self, name, plan):
        """A lake made by *plan*, and its state."""
        root, state = self.folder / f"template-{name}-{self.rounds}", State()
        with open_(root) as lake:
            for operation in plan:
                perform(lake, operation)
                state = state.after(operation)
        return root, state

    def copy(self, template):
        self.rounds += 1
        root = self.folder / f"round-{self.rounds}"
        shutil.copytree(template, root)
        return root

    def rehearse(self, template, plan, **job):
        """Let *plan* be: what a child tells that passes all its steps."""
        root = self.copy(template)
        told = self.zygote.run(root, plan, **job)
        assert told.error is None, told.error
        self.drop(root)
        return told

    def kill(self, template, before, plan, step, **job):
        """Kill a child at *step* of *plan* on a fresh copy, and check what is left."""
        root = self.copy(template)
        told = self.zygote.run(root, plan, die_at=step, **job)
        done = Round(root, before, plan, told).check()
        if told.died != step or not told.killed:
            done.problems.append(f"{step} was not reached")
        self.drop(root)
        return done

    def drop(self, root):
        shutil.rmtree(root)
        shutil.rmtree(f"{root}-graveyard", ignore_errors=True)
