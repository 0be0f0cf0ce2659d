"""What is done later, or again and again."""

from __future__ import annotations

from collections.abc import Sequence
from functools import cached_property
from typing import TYPE_CHECKING

from ticklake.errors import BadInput, Conflict
from ticklake.lake.base import Base

if TYPE_CHECKING:
    from ticklake.alerts.service import Alerts
    from ticklake.core.schedules import Change
    from ticklake.jobs.manifest import Wanted
    from ticklake.jobs.queue import Jobs
    from ticklake.jobs.schedules import Schedules

__all__ = ["Working"]


class Working(Base):
    """Jobs, schedules and alerts, which are loaded on first use."""

    @property
    def jobs(self) -> Jobs:
        """What is to be done: ``jobs.create("backfill", "binance", "BTC/USDT", "1h")``, ``jobs.list(state="active")``.

        ``ticklake worker`` does it, or ``jobs.start(id)`` in this process.
        """
        return self._work[0]

    @property
    def schedules(self) -> Schedules:
        """What is done again and again: ``schedules.add("bars", "update", cron="5 * * * *")``.

        ``ticklake daemon`` makes a job of each whenever its time has come, and does it.
        """
        return self._work[1]

    def apply(self, wanted: Wanted, *, dry_run: bool = False, shown: Sequence[Change] | None = None) -> list[Change]:
        """Make the lake collect what is wanted, and return what had to change; nothing the second time.

        Schedules that an earlier file wanted and this one does not are removed. What the lake holds stays.

        Parameters
        ----------
        wanted
            What ``ticklake.config.load_wanted("collect.toml")`` returns.
        dry_run
            Only say what would change.
        shown
            What somebody was shown and agreed to: nothing else is done.

        Raises
        ------
        BadInput
            If something of it cannot be meant; nothing is changed then.
        Conflict
            If what had to change is no longer what was *shown*; nothing is changed then.
        """
        from ticklake.jobs.apply import Applying
        from ticklake.jobs.manifest import Wanted

        if not isinstance(wanted, Wanted):
            raise BadInput(f"wanted={wanted!r} is no manifest: pass what ticklake.config.load_wanted(path) returns")
        applying = Applying(self.jobs, self.schedules, self.engine.catalog.coverage, self.engine.now())
        changes = applying.plan(wanted)
        if shown is not None and [change.effect for change in changes] != [change.effect for change in shown]:
            raise Conflict("what has to change is no longer what was shown: look at it again")
        if not dry_run:
            applying.apply(changes)
        return changes

    @cached_property
    def _work(self) -> tuple[Jobs, Schedules]:
        return self._make_work()

    @cached_property
    def alerts(self) -> Alerts:
        """What is wrong, and who is told: ``alerts.check()``, ``alerts.known()``, ``alerts.test()``."""
        return self._make_alerts()
