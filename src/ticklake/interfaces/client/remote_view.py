"""The verbs that read, which a remote lake and its snapshots share; and what they lack, said clearly."""

from __future__ import annotations

from functools import cached_property
from typing import TYPE_CHECKING

from ticklake.interfaces.client.books import RemoteBooks
from ticklake.interfaces.client.facts import RemoteFacts
from ticklake.interfaces.client.features import RemoteFeatures
from ticklake.interfaces.client.frames import RemoteFrames
from ticklake.interfaces.client.joins import RemoteJoins
from ticklake.interfaces.client.lacking import Lacking, NotServed
from ticklake.interfaces.client.reads import RemoteReads

if TYPE_CHECKING:
    from ticklake.core.verbs import ReadVerbs

__all__ = ["LOCAL_ONLY", "NotServed", "RemoteView"]

_WHERE_IT_IS = "it works on the files of the lake: use it where the lake is"
LOCAL_ONLY = {
    "admin": _WHERE_IT_IS,
    "alerts": "they are set up where the lake is: use 'ticklake alerts' there",
    "apply": "it reads a file of settings: use it where the lake is",
    "backup": _WHERE_IT_IS,
    "candles": "a chart is drawn from rows at hand: open the lake itself, or draw what lake.ohlcv(...) returns",
    "cleanup": _WHERE_IT_IS,
    "compact": _WHERE_IT_IS,
    "cross_check": "it is not served: use it where the lake is",
    "collected": "it is not served: lake.datasets() has all",
    "engine": "the lake is elsewhere, and has its engine there",
    "export": "it writes files beside the lake: use it there, or write what lake.load(...) returns",
    "import_files": "it reads files beside the lake: use it there",
    "import_lake": "it reads files beside the lake: use it there",
    "latest_with_source": "lake.latest(...) returns the rows; where they were stored is known to the lake alone",
    "poll": "a job does it: lake.jobs.create('poll', dataset)",
    "rebuild": _WHERE_IT_IS,
    "refresh_instruments": "backfills do it once a day; ask for it where the lake is",
    "rename_instrument": "it is recorded where the lake is",
    "root": "the lake is elsewhere: its files have no path here",
    "symbols": "it asks an exchange: lake.instruments.list(exchange) has what the lake saw",
    "save_all": "lake.save(...) sends one dataset at a time",
    "tokens": "they are made where the lake is: use 'ticklake token' there",
    "vacuum": _WHERE_IT_IS,
    "verify": _WHERE_IT_IS,
}
"""What a lake at hand has and a remote one has not, and why."""


class RemoteView(RemoteReads, RemoteJoins, RemoteBooks, RemoteFrames, RemoteFacts, Lacking):
    """The data of a remote lake, for reading: all of it as it is now, or as of one version."""

    lacking = LOCAL_ONLY

    @cached_property
    def features(self) -> RemoteFeatures:
        """Feature sets: ``features.list()``, ``features.read("momentum", "v3")``."""
        return RemoteFeatures(self._connection, self._pin)


if TYPE_CHECKING:

    def _keep_the_verbs(view: RemoteView) -> ReadVerbs:
        return view
