"""The namespace ``features`` of a remote lake: what there is, and values as they were known at each instant."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import polars as pl

from ticklake.core.duration import DurationLike
from ticklake.core.feature_values import FeatureDescription
from ticklake.core.features import FeatureRef, FeatureSet, check_name, parse_version
from ticklake.core.instants import parse_instants
from ticklake.core.knowledge import Knowledge
from ticklake.core.results import Receipt
from ticklake.core.selection import parse_names, parse_text
from ticklake.core.time import TimeLike, format_time
from ticklake.errors import BadInput, Unsupported
from ticklake.interfaces.client.asking import Asking
from ticklake.interfaces.client.connection import ARROW, json_of
from ticklake.interfaces.client.rows import ask_with_rows, frame_of
from ticklake.interfaces.client.saving import send_rows
from ticklake.interfaces.client.wire import in_path, parameters
from ticklake.interfaces.decoding import from_json

__all__ = ["RemoteFeatures"]


class RemoteFeatures(Asking):
    """The feature sets of a remote lake, for reading: named like ``("momentum", "v3")``, or ``"momentum@v3"``."""

    def list(self, search: str = "") -> pl.DataFrame:
        """Return a row for each version of each feature set whose name contains *search*."""
        rows: pl.DataFrame = self._ask("features.list", search=parse_text("search", search))
        return rows

    def describe(self, name: str, version: str | int | None = None, *, statistics: bool = True) -> FeatureDescription:
        """Return the definition of a feature set, what the lake holds of it, and the statistics of each day."""
        told: FeatureDescription = self._ask("features.describe", features=_named(name, version), statistics=statistics)
        return told

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
        """Return stored values with ``exchange``, ``symbol``, ``ts`` and ``known_at``, in order of time."""
        rows: pl.DataFrame = self._ask(
            "features.read",
            features=_named(name, version),
            symbols=_several("symbols", symbols),
            start=start,
            end=end,
            exchange=exchange,
            columns=_several("columns", columns),
            history=history,
        )
        return rows

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
        """Return one row for each symbol: the newest values that are known at an instant, now by default, or nulls."""
        rows: pl.DataFrame = self._ask(
            "features.latest",
            features=_named(name, version),
            symbols=_several("symbols", symbols),
            at=self._instant(at),
            exchange=exchange,
            max_age=max_age,
            knowledge=knowledge,
        )
        return rows

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
        """Return the values of features of a symbol at each of some instants: a row for each, with ``at`` and a column a feature."""
        times = list(map(format_time, parse_instants(instants).tolist()))
        options = {"symbol": symbol, "exchange": exchange, "max_age": max_age, "knowledge": knowledge}
        asked = self._asked(features, options)
        return frame_of(self._connection.send("POST", "/features/at", times, asked, accept=ARROW, is_read=True))

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
        """Return the rows of *left* with the values of features that were known at each: one row for each, in the same order."""
        options = {
            "instants": at,
            "by": by,
            "symbol": symbol,
            "exchange": exchange,
            "max_age": max_age,
            "knowledge": knowledge,
            "full_names": full_names,
        }
        return ask_with_rows(self._connection, "/features/join", left, self._asked(features, options))

    def register(
        self,
        name: str,
        version: str | int,
        columns: Any,
        *,
        keys: str | Sequence[str] = ("symbol",),
        description: str = "",
        tags: str | Iterable[str] = (),
        code: None = None,
        inputs: str | Iterable[str] = (),
    ) -> FeatureSet:
        """Declare a version of a feature set; the same again changes nothing. Code is never sent: no function can be named."""
        if code is not None:
            raise Unsupported("code= is never sent to a server: leave it out, or register the set where the lake is")
        declared = FeatureSet.of(
            name, version, columns, keys=keys, description=description, tags=tags, inputs=inputs
        ).to_dict()
        del declared["code"]
        types = {each["name"]: [each["dtype"], each["unit"], each["description"]] for each in declared["columns"]}
        answer = self._connection.send("POST", "/features", {**declared, "columns": types})
        return from_json(FeatureSet, json_of(answer)["data"])

    def write(
        self,
        name: str,
        version: str | int | None,
        rows: Any,
        *,
        exchange: str | None = None,
        symbol: str | None = None,
    ) -> Receipt:
        """Add values: see :meth:`Features.write <ticklake.Features.write>`. Many rows are sent in pieces, a commit each."""
        path = f"/features/{in_path(_named(name, version))}/rows"
        return send_rows(self._connection, path, rows, parameters({"exchange": exchange, "symbol": symbol}))

    def deprecate(self, name: str, version: str | int | None = None) -> None:
        """Mark a feature set as one that is not to be used any more; its values stay."""
        self._connection.send("POST", f"/features/{in_path(_named(name, version))}/deprecate")

    def delete(self, name: str, version: str | int | None = None, *, dry_run: bool = False) -> int:
        """Remove a feature set and all of its values; return how many rows went."""
        path = f"/features/{in_path(_named(name, version))}"
        answer = self._connection.send("DELETE", path, None, parameters({"dry_run": dry_run}))
        return int(json_of(answer)["rows"])

    def _asked(self, features: str | Sequence[str], options: Mapping[str, Any]) -> dict[str, str]:
        names = parse_names("features", features)
        if not names:
            raise BadInput("no feature is named: name some, like ['momentum@v3:ret_5m']")
        return {**parameters({**options, "features": names}), **self._pin.of_instant}


def _named(name: str, version: str | int | None) -> str:
    """Return the name of a feature set with its version."""
    if version is not None:
        return f"{check_name(name)}@{parse_version(version)}"
    if not isinstance(name, str) or "@" not in name:
        raise BadInput(f"{name!r} has no version: say it, like 'momentum', 'v3', or 'momentum@v3'")
    ref = FeatureRef.parse(name)
    if ref.column is not None:
        raise BadInput(f"{name!r} names a column: name the feature set alone, {ref.name}@{ref.version}")
    return f"{ref.name}@{ref.version}"


def _several(argument: str, value: str | Sequence[str] | None) -> list[str] | None:
    if value is None:
        return None
    return parse_names(argument, value)
