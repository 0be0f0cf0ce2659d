"""Every error Ticklake raises, in one tree.

::

    TicklakeError
    ├── BadInput (ValueError)      what the caller asked for cannot be meant
    │   ├── InvalidName            a dataset, exchange or symbol that cannot be one
    │   ├── InvalidTime            a time or span that cannot be read or is reversed
    │   ├── InvalidData            a frame or record that does not fit its kind
    │   ├── NotFound               no job, run, schedule, rule or upload of that number or name
    │   ├── UnknownDataset         the lake has no such dataset
    │   ├── UnknownFeatures        the lake has no such feature set
    │   ├── FeaturesDiffer         a feature set is registered already, with another definition
    │   ├── UnknownExchange
    │   ├── UnknownSymbol
    │   ├── UnknownTimeframe
    │   ├── InvalidQuery           SQL that cannot be run, or that is not allowed
    │   └── Unsupported            the source cannot serve what was asked
    ├── SourceError                the market's side
    │   ├── RateLimited            retriable; carries ``retry_after`` seconds where known
    │   ├── SourceUnavailable      retriable: time-outs, 5xx, maintenance
    │   ├── BadResponse            retriable: truncated or contradictory answers
    │   ├── Banned                 stop now: more requests make it worse; carries ``retry_after`` too
    │   └── AccessDenied           permanent for this job: region, key or permission
    ├── StorageError               bytes at rest
    │   ├── CorruptSegment         a segment whose bytes are not what was written
    │   ├── WriteFailed            what was just written is not what was to be written; nothing was committed
    │   ├── MissingSegment         a segment that the catalog names and is not there
    │   ├── DiskFull
    │   ├── DiskAlmostFull         less is free than the setting min_free asks for
    │   │   └── DiskTooSmall       the disk has not even that much
    │   └── ReadOnlyLake
    ├── CatalogError               what is true
    │   ├── CatalogTooNew          written by a newer Ticklake
    │   ├── VersionGone            a version of the lake that vacuum has removed, or its history
    │   ├── CatalogDamaged
    │   │   └── CatalogReplaced    deleted or replaced while it was open
    │   ├── CatalogOutdated        older than what was acknowledged: commits are missing
    │   ├── CatalogBusy            retriable: another process held it too long
    │   ├── Conflict               retriable: somebody else committed first
    │   ├── LeaseHeld              retriable: another job works on the dataset
    │   └── LeaseLost              another worker took the job over
    ├── Cancelled                  the work was told to stop
    ├── AlertNotSent               an address of alerts did not take one
    ├── NoLake                     there is no lake at that place
    ├── BrokenPlugin               a package offers a source that cannot be loaded
    ├── ServerUnavailable          retriable: no server answers at that address
    ├── NotSignedIn                a server needs a token, and got none that it knows
    ├── NotAllowed                 the role of the caller does not include it
    ├── TooManyRequests            retriable: a server had enough of this caller; carries ``retry_after`` seconds
    ├── LooksAhead                 a function uses rows that were not knowable
    ├── QueryTooLarge              a query needs more memory or time than it may use
    └── MissingExtra               an optional dependency is not installed

``retriable`` is a fact of the class; ``exit_code`` is what the shell sees.
"""

from __future__ import annotations

__all__ = [
    "AccessDenied",
    "AlertNotSent",
    "BadInput",
    "BadResponse",
    "Banned",
    "BrokenPlugin",
    "Cancelled",
    "CatalogBusy",
    "CatalogDamaged",
    "CatalogReplaced",
    "CatalogError",
    "CatalogOutdated",
    "CatalogTooNew",
    "Conflict",
    "CorruptSegment",
    "DiskAlmostFull",
    "DiskFull",
    "DiskTooSmall",
    "FeaturesDiffer",
    "InvalidData",
    "InvalidName",
    "InvalidQuery",
    "InvalidTime",
    "LeaseHeld",
    "LeaseLost",
    "LooksAhead",
    "MissingExtra",
    "MissingSegment",
    "NoLake",
    "NotAllowed",
    "NotFound",
    "NotSignedIn",
    "QueryTooLarge",
    "RateLimited",
    "ReadOnlyLake",
    "ServerUnavailable",
    "SlowSubscriber",
    "SourceError",
    "SourceUnavailable",
    "StorageError",
    "TicklakeError",
    "TicklakeWarning",
    "TooManyRequests",
    "UnknownDataset",
    "UnknownExchange",
    "UnknownFeatures",
    "UnknownSymbol",
    "UnknownTimeframe",
    "Unsupported",
    "VersionGone",
    "WriteFailed",
]


class TicklakeError(Exception):
    """Base of every error of Ticklake; its text is one line that names the value and the cure."""

    retriable: bool = False
    exit_code: int = 1


class TicklakeWarning(UserWarning):
    """Something that is no error and that the caller should know, like rows that were refused."""


class BadInput(TicklakeError, ValueError):
    """What the caller asked for cannot be meant."""

    exit_code = 2


class InvalidName(BadInput):
    """A dataset, exchange or symbol that cannot be one."""


class InvalidTime(BadInput):
    """A time or span that cannot be read, or that is reversed."""


class InvalidData(BadInput):
    """A frame or record that does not fit its kind."""


class UnknownDataset(BadInput):
    """The lake has no such dataset."""


class NotFound(BadInput):
    """The lake has no job, run, schedule or rule of that number or name, or a server no upload."""


class UnknownFeatures(BadInput):
    """The lake has no such feature set."""


class FeaturesDiffer(BadInput):
    """A feature set is registered already, with another definition: another version is needed."""


class UnknownExchange(BadInput):
    """No source knows this exchange."""


class UnknownSymbol(BadInput):
    """The exchange does not list this symbol."""


class UnknownTimeframe(BadInput):
    """Not a timeframe, or not one the exchange serves."""


class InvalidQuery(BadInput):
    """SQL that cannot be run, or that is not allowed."""


class Unsupported(BadInput):
    """The source cannot serve what was asked."""


class SourceError(TicklakeError):
    """The market's side failed."""


class RateLimited(SourceError):
    """Too many requests; wait ``retry_after`` seconds where the exchange said so."""

    retriable = True

    def __init__(self, message: str, retry_after: float | None = None) -> None:
        super().__init__(message)
        self.retry_after = retry_after


class SourceUnavailable(SourceError):
    """The exchange cannot answer now."""

    retriable = True


class BadResponse(SourceError):
    """The exchange answered with something that is not an answer."""

    retriable = True


class Banned(SourceError):
    """The exchange refuses this address, for ``retry_after`` seconds where known; going on makes it worse."""

    def __init__(self, message: str, retry_after: float | None = None) -> None:
        super().__init__(message)
        self.retry_after = retry_after


class AccessDenied(SourceError):
    """The exchange will not serve this to us at all."""


class StorageError(TicklakeError):
    """Bytes at rest could not be written or read."""


class CorruptSegment(StorageError):
    """A segment's bytes are not the bytes that were written."""


class WriteFailed(StorageError):
    """What was just written is not what was to be written; nothing was committed."""


class MissingSegment(StorageError):
    """A segment that the catalog names is not there."""


class DiskFull(StorageError):
    """No space is left where the lake lives."""


class DiskAlmostFull(StorageError):
    """Less space is left than is to stay free; nothing more is collected until there is."""


class DiskTooSmall(DiskAlmostFull):
    """More space is to stay free than the disk has: nothing that is deleted helps."""


class ReadOnlyLake(StorageError):
    """The lake's place cannot be written."""


class CatalogError(TicklakeError):
    """The catalog could not be read or changed."""


class CatalogTooNew(CatalogError):
    """The catalog was written by a newer Ticklake."""


class VersionGone(CatalogError):
    """The version of the lake, or its history, was removed by vacuum."""


class CatalogDamaged(CatalogError):
    """The catalog's own file is damaged."""


class CatalogReplaced(CatalogDamaged):
    """The catalog's file was deleted or replaced while it was open: the lake has to be opened again."""


class CatalogOutdated(CatalogError):
    """The catalog is older than what was acknowledged; nothing is written or removed until that is settled."""


class CatalogBusy(CatalogError):
    """Another process held the catalog for too long."""

    retriable = True


class Conflict(CatalogError):
    """Somebody else committed first; read again and retry."""

    retriable = True


class LeaseHeld(CatalogError):
    """Another job works on the dataset; it must end first."""

    retriable = True


class LeaseLost(CatalogError):
    """The worker was silent for too long and another one took its job over."""


class Cancelled(TicklakeError):
    """The work was told to stop; what it committed is kept. ``run_id`` is the number of its run, once there is one."""

    exit_code = 130
    run_id: int | None = None


class SlowSubscriber(TicklakeError):
    """A subscriber of live rows did not read them fast enough, and gets no more."""


class AlertNotSent(TicklakeError):
    """An address of alerts did not take one; ``nobody`` says whether none did."""

    retriable = True

    def __init__(self, message: str, *, nobody: bool = True) -> None:
        super().__init__(message)
        self.nobody = nobody


class NoLake(TicklakeError):
    """There is no lake at that place."""

    exit_code = 2


class BrokenPlugin(TicklakeError):
    """A package offers a source that cannot be loaded."""


class ServerUnavailable(TicklakeError):
    """The server of a lake cannot be reached, or does not answer now; ``retry_after`` has the seconds that it asks for."""

    retriable = True

    def __init__(self, message: str, retry_after: float | None = None) -> None:
        super().__init__(message)
        self.retry_after = retry_after


class NotSignedIn(TicklakeError):
    """A server needs a token, and got none that it knows."""


class NotAllowed(TicklakeError):
    """The role of the caller does not include what was asked for."""


class TooManyRequests(TicklakeError):
    """A server had enough requests, or invalid tokens, of this caller for now; wait ``retry_after`` seconds."""

    retriable = True

    def __init__(self, message: str, retry_after: float = 1.0) -> None:
        super().__init__(message)
        self.retry_after = retry_after


class LooksAhead(TicklakeError):
    """A function uses rows that were not knowable at the instant; ``leak`` has the instant, the rows and the values."""

    def __init__(self, message: str, leak: object = None) -> None:
        super().__init__(message)
        self.leak = leak


class QueryTooLarge(TicklakeError):
    """A query needs more memory or time than it may use."""


class MissingExtra(TicklakeError):
    """An optional dependency is not installed."""
