"""Reading feature sets: what there is, values as they were known at each instant, and where they came from."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Mapping, MutableSequence, Sequence
from functools import partial
from typing import TYPE_CHECKING, Any

import polars as pl

from ticklake.core.batch import times_of
from ticklake.core.duration import DurationLike
from ticklake.core.feature_values import FeatureDescription, FeatureDiff, compare, day_statistics
from ticklake.core.features import FeatureRef, FeatureSet, RegisteredFeatures
from ticklake.core.kinds import TIME
from ticklake.core.knowledge import Knowledge, parse_knowledge
from ticklake.core.lookup import absent, did_you_mean
from ticklake.core.selection import parse_names, parse_text
from ticklake.core.span import ALL_TIME, Span
from ticklake.core.symbol import Symbol
from ticklake.core.time import TimeLike
from ticklake.errors import BadInput, UnknownDataset
from ticklake.lake.arguments import optional_time
from ticklake.lake.feature_arguments import (
    day_or_span,
    identity_of,
    parse_age,
    parse_exchange,
    parse_refs,
    parse_symbols,
    snapshot_at,
)
from ticklake.query.feature_lineage import MaterialisedSpan, lineage
from ticklake.query.features import (
    DELETED,
    JoinOptions,
    datasets_of,
    features_at,
    join,
    latest,
    registered,
    stored_rows,
)

if TYPE_CHECKING:
    from ticklake.catalog.feature_sets import FeatureSetTable
    from ticklake.core.dataset import Dataset
    from ticklake.core.progress import Watch
    from ticklake.engine.engine import Engine
    from ticklake.lake.view import View
    from ticklake.query.materialise import Frames

__all__ = ["FeatureReads", "one_by_one"]

_LIST: dict[str, Any] = {
    "name": pl.String,
    "version": pl.String,
    "state": pl.String,
    "columns": pl.List(pl.String),
    "symbols": pl.Int64,
    "rows": pl.Int64,
    "first": TIME,
    "last": TIME,
    "description": pl.String,
    "tags": pl.List(pl.String),
    "code": pl.String,
    "created_at": TIME,
}
_Held = tuple[int, int | None, int | None]


class FeatureReads:
    """The feature sets of a lake or of one version of it, for reading.

    A feature set is named by its name and version, ``("momentum", "v3")``, or by ``"momentum@v3"``.
    """

    def __init__(self, view: View) -> None:
        self._view = view

    @property
    def _engine(self) -> Engine:
        return self._view.engine

    def list(self, search: str = "") -> pl.DataFrame:
        """Return a row for each version of each feature set whose name contains *search*.

        Columns: ``name``, ``version``, ``state`` (``active`` or ``deprecated``), ``columns``, ``symbols`` (how many have values), ``rows``,
        ``first``, ``last``, ``description``, ``tags``, ``code``, ``created_at``.
        """
        part = parse_text("search", search)
        held = self._held()
        rows: list[dict[str, Any]] = []
        for record in self._table.list():
            features = FeatureSet.from_dict(record.definition)
            mine = held.get(str(features), [])
            # An older version of the lake may have the values of one that was deleted since.
            is_gone = record.state == DELETED and (not mine or self._engine.catalog.pinned is None)
            if is_gone or part not in str(features):
                continue
            rows.append({**_listed(features), **_extent(mine), "state": record.state, "created_at": record.created_at})
        times = dict.fromkeys(("first", "last", "created_at"), pl.Int64)
        return pl.DataFrame(rows, schema={**_LIST, **times}).cast(dict.fromkeys(times, TIME))

    def _held(self) -> dict[str, MutableSequence[_Held]]:
        """Return rows, first and last time of each dataset with a variant, by its kind."""
        from ticklake.core.dataset import Dataset

        held: dict[str, MutableSequence[_Held]] = {}
        for name, rows, _, first, last, _ in self._engine.listing():
            if "@" in name:
                held.setdefault(Dataset.parse(name).kind_text, []).append((rows, first, last))
        return held

    def describe(self, name: str, version: str | int | None = None, *, statistics: bool = True) -> FeatureDescription:
        """Return the definition of a feature set, what the lake holds of it, and the statistics of each day.

        Parameters
        ----------
        statistics
            Without them no row is read.

        Raises
        ------
        UnknownFeatures
            If the lake has no such feature set.
        """
        known = self._known(name, version, quiet=True)
        datasets = datasets_of(self._engine, known.features)
        days = day_statistics(known.features.kind.empty(), known.features)
        if statistics and datasets:
            days = day_statistics(self._rows(known.features, datasets), known.features)
        extent = _extent(self._held().get(str(known.features), []))
        return FeatureDescription(
            known.features,
            known.state,
            known.created_at,
            tuple(map(str, datasets)),
            extent["rows"] or 0,
            extent["first"],
            extent["last"],
            days,
        )

    def read(
        self,
        name: str,
        version: str | int | None = None,
        symbols: str | Sequence[str] | None = None,
        start: TimeLike | None = None,
        end: TimeLike | None = None,
        *,
        exchange: str | None = None,
        columns: str | Sequence[str] | None = None,
        history: bool = False,
    ) -> pl.DataFrame:
        """Return stored values with ``exchange``, ``symbol``, ``ts`` and ``known_at``, in order of time.

        Parameters
        ----------
        symbols, exchange
            All by default.
        start, end
            Rows whose ``ts`` lies in ``[start, end)``.
        columns
            Columns of the feature set; all by default.
        history
            Return every value that an instant ever had. By default only the one that became known last.
        """
        features = self._known(name, version).features
        chosen = parse_symbols(symbols)
        datasets = datasets_of(self._engine, features, parse_exchange(exchange), chosen)
        rows = self._rows(features, datasets, Span.parse(start, end), history=history)
        if columns is None:
            return rows
        names: list[str] = []
        for column in parse_names("columns", columns):
            names += FeatureRef(features.name, features.version, column).names_in(features)
        return rows.select("exchange", "symbol", "ts", "known_at", *names)

    def _rows(
        self, features: FeatureSet, datasets: Sequence[Dataset], span: Span = ALL_TIME, *, history: bool = False
    ) -> pl.DataFrame:
        if datasets:
            return stored_rows(self._engine, datasets, span, history=history)
        names = {"exchange": pl.String(), "symbol": pl.String()}
        return pl.DataFrame(schema={**names, **features.kind.schema})

    def latest(
        self,
        name: str,
        version: str | int | None = None,
        symbols: str | Sequence[str] | None = None,
        at: TimeLike | None = None,
        *,
        exchange: str | None = None,
        max_age: DurationLike | None = None,
        knowledge: Knowledge = "default",
    ) -> pl.DataFrame:
        """Return one row for each symbol: the newest values that are known at an instant, now by default, or nulls.

        Values stay in memory until a commit changes them. They are those that :meth:`join` finds for the same instant.
        """
        features = self._known(name, version).features
        place, moment = parse_exchange(exchange), optional_time(at)
        chosen = parse_symbols(symbols)
        if chosen is None:
            chosen = sorted({str(dataset.symbol) for dataset in datasets_of(self._engine, features, place)})
        if moment is None:
            moment = self._engine.now()
        return latest(self._engine, features, place, chosen, moment, parse_knowledge(knowledge), parse_age(max_age))

    def at(
        self,
        features: str | Sequence[str],
        exchange: str | None,
        symbol: str,
        instants: Any,
        *,
        max_age: DurationLike | None = None,
        knowledge: Knowledge = "default",
    ) -> pl.DataFrame:
        """Return the values of features of a symbol at each of some instants: a row for each, with ``at`` and a column a feature.

        Columns have the full names of features, like ``momentum@v3:ret_5m``.
        """
        from ticklake.core.instants import parse_instants

        times = parse_instants(instants).tolist()
        refs = parse_names("features", features)
        values = features_at(
            self._engine,
            refs,
            parse_exchange(exchange),
            str(Symbol(symbol)),
            times,
            parse_knowledge(knowledge),
            parse_age(max_age),
        )
        return pl.DataFrame({"at": pl.Series(times, dtype=pl.Int64).cast(TIME), **values})

    def join(
        self,
        left: Any,
        features: str | Sequence[str],
        *,
        at: str = "ts",
        by: str | None = "symbol",
        symbol: str | None = None,
        exchange: str | None = None,
        max_age: DurationLike | None = None,
        knowledge: Knowledge = "default",
        full_names: bool = False,
    ) -> pl.DataFrame:
        """Return the rows of *left* with the values of features that were known at each: one row for each, in the same order.

        Of the values known at an instant, those of the latest ``ts`` are taken; a value that became known late replaces none of a later
        ``ts``. Where none is known, or it is too old, the columns are null.

        Parameters
        ----------
        left
            A Polars, pandas or Arrow frame. An ``exchange`` column is used, too, unless *exchange* is given.
        features
            Like ``["momentum@v3:ret_5m", "book@v1"]``; without a column, all of a feature set.
        at, by
            The columns of *left* with the instants and with the symbols.
        symbol
            The symbol of all rows, instead of a column.
        max_age
            How old a value may be: from its ``ts`` to the instant, inclusive.
        knowledge
            ``"default"``: known from ``known_at`` on; ``"event"``: from ``ts`` on.
        full_names
            Name columns like ``momentum@v3:ret_5m`` instead of ``ret_5m``.

        Raises
        ------
        BadInput
            If a column is missing or its name is taken, or if several exchanges have values of a symbol and none is named.
        """
        from ticklake.files.user_rows import as_frame

        refs = list(map(FeatureRef.parse, parse_refs(features)))
        frame = as_frame(left)
        if at not in frame.columns:
            raise BadInput(
                f"the frame has no column {at!r} of instants (it has {', '.join(frame.columns) or 'none'}): say at="
            )
        times_of(frame[at])
        options = JoinOptions(
            at,
            by,
            symbol,
            parse_exchange(exchange),
            parse_age(max_age),
            parse_knowledge(knowledge),
            full_names=full_names,
        )
        return join(self._engine, frame, refs, options)

    def diff(
        self,
        name: str,
        before: str | int | None = None,
        after: str | int | None = None,
        *,
        start: TimeLike | None = None,
        end: TimeLike | None = None,
        symbols: str | Sequence[str] | None = None,
        at: tuple[TimeLike, TimeLike] | None = None,
    ) -> FeatureDiff:
        """Compare the values of two versions of a feature set, or of one version at two versions of the lake.

        Parameters
        ----------
        before, after
            Two versions of the feature set, or with *at* only the first.
        at
            Two versions of the lake, or times, like ``(120, 135)``.
        """
        span = Span.parse(start, end)
        if at is None:
            if after is None:
                raise BadInput(
                    "diff compares two versions of a feature set, or with at= two of the lake: say after= or at="
                )
            sides = [(self._engine, self._known(name, version, quiet=True).features) for version in (before, after)]
            names = (str(sides[0][1]), str(sides[1][1]))
        else:
            features = self._known(name, before, quiet=True).features
            sides = [(snapshot_at(self._view, moment).engine, features) for moment in at]
            names = (f"{features} at {at[0]}", f"{features} at {at[1]}")
        chosen = parse_symbols(symbols)
        _check_compared(sides, chosen or ())
        frames = [_side(engine, features, span, chosen) for engine, features in sides]
        return compare(names, frames[0], frames[1])

    def lineage(
        self,
        name: str,
        version: str | int | None = None,
        symbols: str | Sequence[str] | None = None,
        start: TimeLike | None = None,
        end: TimeLike | None = None,
        *,
        exchange: str | None = None,
    ) -> pl.DataFrame:
        """Return where stored values came from: a row for each dataset and origin.

        Columns: ``dataset``, ``rows``, ``first``, ``last``, ``source`` (``derived`` if a function made them), ``code`` and ``code_hash`` of the
        function, ``lake_versions`` that its :attr:`runs <Lake.runs>` read, ``knowledge``, ``inputs`` (the datasets it could read), ``frame`` (options of frames), ``note``.
        """
        features = self._known(name, version, quiet=True).features
        datasets = datasets_of(self._engine, features, parse_exchange(exchange), parse_symbols(symbols))
        return lineage(self._engine, datasets, Span.parse(start, end), self._computed)

    def _computed(self, _dataset: Dataset) -> Sequence[MaterialisedSpan]:
        """Return what runs computed of a dataset: a version of the lake knows of none."""
        return ()

    def verify(
        self,
        name: str,
        version: str | int | None,
        fn: Callable[[Any], Any],
        *,
        day: TimeLike | None = None,
        start: TimeLike | None = None,
        end: TimeLike | None = None,
        symbols: str | Sequence[str] | None = None,
        exchange: str | None = None,
        make_frame: Callable[[str, str, int], Any] | None = None,
        watch: Watch = lambda _progress: None,
        **frame: Any,
    ) -> FeatureDiff:
        """Call the function anew for each row that it made, one instant after another, and compare its values with the stored ones bit for bit.

        That is how a live program calls it; stored values were computed for many instants at once. Rows that users wrote are left out.

        Parameters
        ----------
        day
            A UTC day, instead of *start* and *end*.
        make_frame, frame
            As they were given to :meth:`Features.materialise`; by default those that the stored rows were made with.

        Returns
        -------
        FeatureDiff
            ``equal`` and ``changed`` rows; :attr:`~FeatureDiff.is_empty` if all are the same.
        """
        from ticklake.core.feature_work import check_options
        from ticklake.query.materialise import check_code, verify

        check_options(frame)
        features = self._known(name, version, quiet=True).features
        check_code(features, fn)
        span = day_or_span(day, start, end)
        datasets = datasets_of(self._engine, features, parse_exchange(exchange), parse_symbols(symbols))
        if not datasets:
            raise UnknownDataset(f"{features} has no values to verify: lake.features.materialise() makes some")
        if make_frame is not None:
            frames = one_by_one(make_frame, frame)
        else:
            options = frame or self._options_of(features, datasets, span)
            frames = one_by_one(partial(self._frame, options), {})
        return verify(self._engine, features, fn, frames, datasets, span, watch)

    def _frame(self, options: Mapping[str, Any], exchange: str, symbol: str, instant: int) -> Any:
        return self._view.frame(exchange, symbol, instant, **options)

    def _options_of(self, features: FeatureSet, datasets: Sequence[Dataset], span: Span) -> dict[str, Any]:
        """Return the options of the frames that stored rows were made with.

        Raises
        ------
        BadInput
            If rows were made with different ones.
        """
        found: list[dict[str, Any]] = []
        for row in lineage(self._engine, datasets, span).iter_rows(named=True):
            if row["frame"] is not None:
                options = {**json.loads(row["frame"]), "knowledge": row["knowledge"]}
                if options not in found:
                    found.append(options)
        if len(found) > 1:
            raise BadInput(
                f"rows of {features} were made with different options of frames: say them, and a span or symbols"
            )
        if not found:
            return {}
        return found[0]

    def _frames(self, make_frame: Callable[[str, str, int], Any] | None, options: Mapping[str, Any]) -> Frames:
        """Return what makes the frames that a function gets."""
        if make_frame is None:
            return lambda exchange, symbol, instants: self._view.frames(exchange, symbol, instants, **options)
        return one_by_one(make_frame, options)

    @property
    def _table(self) -> FeatureSetTable:
        from ticklake.catalog.feature_sets import FeatureSetTable

        return FeatureSetTable(self._engine.catalog.database, self._engine.now)

    def _known(self, name: str, version: str | int | None, *, quiet: bool = False) -> RegisteredFeatures:
        """Return the feature set that a name and a version mean, or a name like ``momentum@v3``."""
        return registered(self._engine, *identity_of(name, version), quiet=quiet)


def _listed(features: FeatureSet) -> dict[str, Any]:
    return {
        "name": features.name,
        "version": features.version,
        "columns": features.names,
        "description": features.description,
        "tags": features.tags,
        "code": features.code_name,
    }


def _extent(held: Sequence[_Held]) -> dict[str, int | None]:
    """Return how many symbols and rows there are, and from when to when."""
    rows, firsts, lasts = 0, [], []
    for count, first, last in held:
        rows += count
        if first is not None and last is not None:
            firsts.append(first)
            lasts.append(last)
    return {"symbols": len(held), "rows": rows, "first": min(firsts, default=None), "last": max(lasts, default=None)}


def one_by_one(make: Callable[[str, str, int], Any], options: Mapping[str, Any]) -> Frames:
    """Return what makes frames with a function of the caller's, one after another."""
    if options:
        raise BadInput(f"{', '.join(options)} are options of lake.frame, which make_frame= takes the place of")
    return lambda exchange, symbol, instants: [make(exchange, symbol, instant) for instant in instants]


def _side(engine: Engine, features: FeatureSet, span: Span, symbols: Sequence[str] | None) -> pl.DataFrame:
    datasets = [
        dataset for dataset in datasets_of(engine, features) if symbols is None or str(dataset.symbol) in symbols
    ]
    if not datasets:
        names = {"exchange": pl.String(), "symbol": pl.String()}
        return pl.DataFrame(schema={**names, **features.kind.schema})
    return stored_rows(engine, datasets, span, history=False)


def _check_compared(sides: Iterable[tuple[Engine, FeatureSet]], symbols: Iterable[str]) -> None:
    """Refuse a symbol of which neither side has values: a filter that matches nothing is mostly a typing error."""
    known: set[str] = set()
    for engine, features in sides:
        known.update(str(dataset.symbol) for dataset in datasets_of(engine, features))
    for symbol in absent(symbols, known):
        hint = did_you_mean(symbol, sorted(known))
        raise UnknownDataset(f"neither side has values of {symbol}{hint}: name a symbol that one of them has")
