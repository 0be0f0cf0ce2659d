"""The namespace ``lake.features``: named, versioned values of symbols, for models, as they were known at each instant."""

from __future__ import annotations

import warnings
from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from contextlib import suppress
from typing import TYPE_CHECKING, Any

from ticklake.core.display import counts_text
from ticklake.core.duration import DurationLike, parse_length
from ticklake.core.feature_rows import ANY_EXCHANGE, split_by_symbol
from ticklake.core.feature_values import Materialised
from ticklake.core.features import FeatureSet
from ticklake.core.knowledge import Knowledge
from ticklake.core.lookup import is_pattern
from ticklake.core.provenance import Provenance
from ticklake.core.results import Receipt
from ticklake.core.selection import parse_count
from ticklake.core.span import Span
from ticklake.core.symbol import exchange_id
from ticklake.core.time import TimeLike, format_time
from ticklake.errors import BadInput, FeaturesDiffer, TicklakeWarning
from ticklake.lake.arguments import as_provenance, optional_time
from ticklake.lake.feature_arguments import identity_of, parse_exchange, parse_symbols, snapshot_at
from ticklake.lake.feature_reads import FeatureReads
from ticklake.query.feature_lineage import MaterialisedSpan
from ticklake.query.features import (
    ACTIVE,
    DELETED,
    DEPRECATED,
    datasets_of,
    drop_if_deleted,
)

if TYPE_CHECKING:
    from ticklake.core.dataset import Dataset
    from ticklake.core.progress import Watch
    from ticklake.lake.writer import Writer

__all__ = ["Features"]

_MOST_RUNS = 1_000
"""So many of the newest runs of a dataset are looked at for its lineage."""
_MOST_INSTANTS = 10_000_000
"""More instants at once are mostly a mistake in the unit of every=."""
_BATCH = 500
"""Instants whose values are committed together."""


class Features(FeatureReads):
    """The feature sets of a lake."""

    _view: Writer

    def register(
        self,
        name: str,
        version: str | int,
        columns: Any,
        *,
        keys: str | Sequence[str] = ("symbol",),
        description: str = "",
        tags: str | Iterable[str] = (),
        code: Callable[..., Any] | None = None,
        inputs: str | Iterable[str] = (),
    ) -> FeatureSet:
        """Declare a version of a feature set; the same again changes nothing.

        Parameters
        ----------
        name
            Up to 64 lower-case letters, digits and ``_``.
        version
            Like ``"v3"``; ``3`` is ``v3``.
        columns
            Types by name, like ``{"ret_5m": "float64"}``, with units and descriptions: ``{"ret_5m": ("float64", "1", "log return")}``. Types
            are ``float64``, ``int64``, ``bool``, ``string`` and ``time``.
        keys
            ``("symbol",)``, or ``("exchange", "symbol")`` if each value belongs to an exchange.
        code
            The function that makes the values. A hash of its source is kept: with other code, :meth:`materialise` asks for a new version.
        inputs
            Datasets or patterns that the values are made of.

        Raises
        ------
        FeaturesDiffer
            If that version is registered with another definition.
        """
        features = FeatureSet.of(
            name, version, columns, keys=keys, description=description, tags=tags, code=code, inputs=inputs
        )
        before = self._engine.catalog.feature_set(features.name, features.version)
        if before is None:
            # Another process may register it meanwhile.
            with suppress(BadInput):
                self._add(features)
                return features
            before = self._known(features.name, features.version, quiet=True)
        if before.state == DELETED:
            self._register_again(features, before.features)
        elif before.features != features:
            parts = ", ".join(before.features.differences(features))
            raise FeaturesDiffer(f"{features} is registered with other {parts}: register it as another version")
        return features

    def _register_again(self, features: FeatureSet, before: FeatureSet) -> None:
        """Register a feature set that was deleted."""
        if before == features:
            self._table.set_state(features.name, features.version, ACTIVE)
            return
        if self._engine.catalog.has_rows_of(str(features)):
            raise FeaturesDiffer(
                f"{features} was deleted, and older versions of the lake are read with its other definition: "
                "register another version, or vacuum first"
            )
        self._table.delete(features.name, features.version)
        self._add(features)

    def _add(self, features: FeatureSet) -> None:
        self._table.add(features.name, features.version, features.to_dict(), features.hash)

    def write(
        self,
        name: str,
        version: str | int | None,
        rows: Any,
        *,
        exchange: str | None = None,
        symbol: str | None = None,
        provenance: Provenance | str = "user",
    ) -> Receipt:
        """Add values: all rows in one commit, or none. The same again changes nothing.

        Parameters
        ----------
        rows
            A Polars, pandas or Arrow frame, or a list of records, with ``ts``, ``symbol`` and columns of the feature set; those that are absent
            are null. ``known_at`` says from when on a value could be known: at ``ts``, unless it is there. Two values of
            one instant with different ``known_at`` are both kept.
        exchange, symbol
            Those of all rows, instead of columns. Without an exchange, values belong to a symbol wherever it trades.

        Raises
        ------
        InvalidData
            If a column is unknown or has another type, times are naive, or a row is known before its ``ts``. Nothing is stored then.
        """
        from ticklake.files.user_rows import as_frame

        features = self._known(name, version).features
        place = parse_exchange(exchange)
        parts = split_by_symbol(features, as_frame(rows), place, symbol)
        origin = as_provenance(provenance)
        receipts = self._engine.append_all(parts, origin)
        drop_if_deleted(self._engine, features, dict(parts))
        total = _total(receipts)
        if total.quarantined:
            warnings.warn(
                f"{features}: {total.quarantined:,} of {total.received:,} rows were refused ({counts_text(total.reasons)}): lake.quarantine() has them",
                TicklakeWarning,
                stacklevel=2,
            )
        return total

    def materialise(
        self,
        name: str,
        version: str | int | None,
        fn: Callable[[Any], Any],
        exchange: str | None = None,
        symbols: str | Sequence[str] | None = None,
        instants: Any = None,
        *,
        every: DurationLike | None = None,
        start: TimeLike | None = None,
        end: TimeLike | None = None,
        again: bool = False,
        knowledge: Knowledge = "default",
        batch: int = _BATCH,
        make_frame: Callable[[str, str, int], Any] | None = None,
        watch: Watch = lambda _progress: None,
        **frame: Any,
    ) -> Materialised:
        """Call a function at instants of the past, and store the values that it returns; what is there already is not computed again.

        All frames are of one version of the lake, the newest one. A row is known at its instant, as its frame has only what was known then.

        Parameters
        ----------
        fn
            Gets a frame and returns a mapping of values by column, a single value if there is one column, or ``None`` for no row.
        exchange, symbols
            Of which frames are made. The exchange may be left out where the lake has a symbol of one alone.
        instants
            At which it is called: a list of times, an array, a series or an index; or say *every*.
        every, start, end
            At the multiples of *every* in ``[start, end)``: until now by default, and from where the last run ended.
        again
            Compute anew what is there: the rows from the first to the last instant are removed first.
        batch
            How many instants are computed and committed together. If the work is stopped, the next run goes on after the last commit.
        make_frame
            ``make_frame(exchange, symbol, instant)`` makes what *fn* gets, instead of ``lake.frame``. It must use only what was known then.
        watch
            Called with a :class:`~ticklake.core.progress.Progress` after every commit; what it raises ends the work.
        frame
            Options of ``lake.frame``, like ``window="60m"``.

        Raises
        ------
        FeaturesDiffer
            If the feature set is registered with other code, or has values that were made by other code or of frames with other options:
            *again* computes them anew.
        InvalidData
            If the function returns something else than the columns are.
        """
        from ticklake.core.feature_work import Work
        from ticklake.query.materialise import Materialising, check_code

        features = self._known(name, version).features
        code = check_code(features, fn)
        chosen = parse_symbols(symbols)
        if not chosen:
            raise BadInput("no symbol is named: name at least one, like 'BTC/USDT'")
        places = [(self._exchange_of(symbol, exchange), symbol) for symbol in chosen]
        step: int | None = None
        if every is not None:
            step = parse_length(every)
        moments = self._instants(features, places, instants, step, start, end)
        version_read = self._engine.catalog.version()
        pinned = FeatureReads(snapshot_at(self._view, version_read))
        options: dict[str, Any] | None = None
        if make_frame is None:
            options = frame
        work = Work.of(code, knowledge, options)
        if work.options is not None:
            frame = {**work.options, "knowledge": work.knowledge}
        run = Materialising(
            self._engine,
            self._view.runs,
            features,
            fn,
            pinned._frames(make_frame, frame),
            lambda exchange, symbol: self._inputs(features, exchange, symbol),
            step,
            parse_count("batch", batch, 1, of="instants"),
            work,
            version_read,
            watch,
        )
        return run.run(places, moments, again=again)

    def _exchange_of(self, symbol: str, exchange: str | None) -> str:
        """Return the exchange that is named, or the only one of which the lake has a symbol."""
        if exchange is not None:
            return exchange_id(exchange)
        found = {dataset.exchange for dataset in self._view.datasets(symbol) if str(dataset.symbol) == symbol}
        found.discard(ANY_EXCHANGE)
        if len(found) != 1:
            places = ", ".join(sorted(found)) or "no exchange"
            raise BadInput(f"the lake has {symbol} of {places}: say exchange=")
        return found.pop()

    def _computed(self, dataset: Dataset) -> Sequence[MaterialisedSpan]:
        from ticklake.query.materialise import OPERATION

        spans: list[MaterialisedSpan] = []
        for run in self._view.runs.list(dataset=str(dataset), limit=_MOST_RUNS):
            if run.operation == OPERATION and run.parameters["first"] is not None:
                span = [run.parameters[name] for name in ("first", "last", "lake_version")]
                spans.append(MaterialisedSpan(*span))
        return spans

    def _instants(
        self,
        features: FeatureSet,
        places: Sequence[tuple[str, str]],
        instants: Any,
        every: int | None,
        start: TimeLike | None,
        end: TimeLike | None,
    ) -> Sequence[int]:
        now = self._engine.now()
        if (instants is None) == (every is None):
            raise BadInput("the instants are not clear: pass a list of them, or every= with start=")
        if instants is not None:
            if start is not None or end is not None:
                raise BadInput("start= and end= are those of every=: a list of instants has its own")
            return _checked(_listed(instants), now)
        first, last = optional_time(start), optional_time(end)
        if first is None:
            first = self._covered_until(features, places)
        if last is None:
            last = now + 1
        return _checked(_on_grid(first, last, every or 0), now)

    def _covered_until(self, features: FeatureSet, places: Sequence[tuple[str, str]]) -> int:
        """Return up to where the symbol that is farthest behind was materialised."""
        ends: list[int] = []
        for place in places:
            reach = self._engine.catalog.coverage(features.dataset(*place)).reach
            if reach is None:
                raise BadInput(f"{features} has no values of {place[1]} yet, from where it could go on: say start=")
            ends.append(reach.end)
        return min(ends)

    def _inputs(self, features: FeatureSet, exchange: str, symbol: str) -> Sequence[str]:
        """Return the datasets that values of a symbol are made of, as far as that is known: those declared, or all of the symbol."""
        names = [name for name, *_ in self._engine.catalog.inventory()]
        from ticklake.core.dataset import Dataset

        own = f"{exchange}:"
        mine = [name for name in names if name.startswith(own) and str(Dataset.parse(name).symbol) == symbol]
        mine = [name for name in mine if Dataset.parse(name).kind_text != str(features)]
        if not features.inputs:
            return mine
        known = list(map(Dataset.parse, names))
        found = [str(dataset) for dataset in known if any(dataset.matches(pattern) for pattern in features.inputs)]
        return found or [name for name in features.inputs if not is_pattern(name)]

    def deprecate(self, name: str, version: str | int | None = None) -> None:
        """Mark a feature set as one that is not to be used any more: each use gives a warning. Its values stay."""
        known = self._known(name, version, quiet=True)
        self._table.set_state(known.features.name, known.features.version, DEPRECATED)

    def delete(self, name: str, version: str | int | None = None, *, dry_run: bool = False) -> int:
        """Remove a feature set and all of its values; return how many rows went.

        Readers of older versions of the lake have them until :meth:`Lake.vacuum`.

        Parameters
        ----------
        dry_run
            Only count the rows that would go.
        """
        features = self._known_or_left(name, version)
        datasets = datasets_of(self._engine, features)
        if dry_run:
            return sum(self._engine.drop(dataset, dry_run=True) for dataset in datasets)
        # First of all no writer may begin: what one writes meanwhile it drops itself.
        self._table.set_state(features.name, features.version, DELETED)
        return sum(self._engine.drop(dataset) for dataset in datasets_of(self._engine, features))

    def _known_or_left(self, name: str, version: str | int | None) -> FeatureSet:
        """Return a feature set, also one whose deletion was stopped before all of its values were gone."""
        record = self._engine.catalog.feature_set(*identity_of(name, version))
        if record is not None and record.state == DELETED and datasets_of(self._engine, record.features):
            return record.features
        return self._known(name, version, quiet=True).features


def _listed(instants: Any) -> Sequence[int]:
    """Return the instants of a list in order, each once."""
    from ticklake.core.instants import parse_instants

    return sorted(set(parse_instants(instants).tolist()))


def _checked(moments: Sequence[int], now: int) -> Sequence[int]:
    """Refuse no instant at all, one in the future, and so many that they are a mistake."""
    if not moments:
        raise BadInput("there is no instant to compute: start earlier, or say a shorter every=")
    if moments[-1] > now:
        latest = format_time(moments[-1])
        raise BadInput(f"{latest} lies in the future, of which nothing is known: end at now or before")
    if len(moments) > _MOST_INSTANTS:
        raise BadInput(
            f"{len(moments):,} instants are more than {_MOST_INSTANTS:,}: say a longer every=, or do a part of the time"
        )
    return moments


def _on_grid(first: int, last: int, every: int) -> Sequence[int]:
    """Return the instants of a grid in ``[first, last)``."""
    from ticklake.query.materialise import grid

    if every <= 0:
        raise BadInput("every= is no length of time: write it like 5m")
    if first >= last:
        return []
    return grid(Span(first, last), every)


def _total(receipts: Sequence[Receipt]) -> Receipt:
    """Return the sum of receipts of one commit."""
    sums: Counter[str] = Counter()
    reasons: Counter[str] = Counter()
    version = 0
    for receipt in receipts:
        for name in ("received", "new", "changed", "duplicate", "quarantined"):
            sums[name] += getattr(receipt, name)
        reasons.update(receipt.reasons)
        version = max(version, receipt.version)
    return Receipt(**sums, version=version, reasons=dict(reasons))
