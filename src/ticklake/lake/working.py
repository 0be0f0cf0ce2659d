"""What is done later, or again and again."""

from __future__ import annotations

from functools import cached_property
from typing import TYPE_CHECKING

from ticklake.lake.base import Base

if TYPE_CHECKING:
    from ticklake.ingest.jobs import Jobs

__all__ = ["Working"]


class Working(Base):
    """Jobs, which are loaded on first use."""

    @cached_property
    def jobs(self) -> Jobs:
        """What is to be done: ``jobs.create("backfill", "binance", "BTC/USDT", "1h")``, ``jobs.list(state="active")``.

        ``ticklake worker`` does it, or ``jobs.start(id)`` in this process.
        """
        return self._make_jobs(self)
