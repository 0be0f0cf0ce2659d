"""Feature sets: named, versioned columns of values that a lake keeps for each symbol and instant."""

from __future__ import annotations

import hashlib
import inspect
import json
import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from types import CodeType
from typing import TYPE_CHECKING, Any

from ticklake.core.dataset import Dataset
from ticklake.core.feature_columns import COLUMN_NAME, FeatureColumn, check_text, parse_columns
from ticklake.core.kinds import KINDS, TIME, Column, Encoding, Kind
from ticklake.core.knowledge import KNOWN_AT
from ticklake.core.lookup import did_you_mean, is_pattern
from ticklake.core.selection import parse_names
from ticklake.errors import BadInput, InvalidName

if TYPE_CHECKING:
    pass

__all__ = [
    "CodeReference",
    "FeatureRef",
    "FeatureSet",
    "RegisteredFeatures",
    "check_name",
    "parse_version",
]

_NAME = re.compile(r"[a-z][a-z0-9_]{0,63}")
_DEVICES = re.compile(r"con|prn|aux|nul|com\d|lpt\d")
"""Names that Windows opens as devices, in whichever folder."""
_FOLDERS = frozenset({"derived", "retired", "features"})
"""Folders of a lake that hold no feature set."""
_ENCODINGS: dict[str, Encoding] = {"float64": "plain", "int64": "plain", "bool": "plain", "time": "delta"}
_KEYS = (("symbol",), ("exchange", "symbol"))
_FIRST_FIELD_ID = 100
"""Ids of feature columns in files begin after those of all columns that every kind has."""


@dataclass(frozen=True, slots=True)
class CodeReference:
    """The function that makes the values: where it is, and a hash of its source."""

    name: str
    hash: str

    @classmethod
    def of(cls, function: Callable[..., Any]) -> CodeReference:
        """Return the reference to a function.

        Raises
        ------
        BadInput
            If it cannot be called.
        """
        if not callable(function):
            raise BadInput(f"code={function!r} is no function: pass one, like momentum")
        module = getattr(function, "__module__", None) or "?"
        name = getattr(function, "__qualname__", None) or type(function).__qualname__
        return cls(f"{module}:{name}", hashlib.sha256(_source_of(function)).hexdigest())


@dataclass(frozen=True)
class FeatureSet:
    """What a version of a feature set is: it never changes once it is registered.

    Attributes
    ----------
    keys
        What a row belongs to: ``("symbol",)`` or ``("exchange", "symbol")``.
    code
        The function that makes the values, if they are made by one.
    inputs
        Names or patterns of the datasets that the values are made of.
    """

    name: str
    version: str
    columns: tuple[FeatureColumn, ...]
    keys: tuple[str, ...] = ("symbol",)
    description: str = ""
    tags: tuple[str, ...] = ()
    code: CodeReference | None = None
    inputs: tuple[str, ...] = ()

    @classmethod
    def of(
        cls,
        name: str,
        version: str | int,
        columns: Any,
        *,
        keys: str | Sequence[str] = ("symbol",),
        description: str = "",
        tags: str | Iterable[str] = (),
        code: Callable[..., Any] | CodeReference | None = None,
        inputs: str | Iterable[str] = (),
    ) -> FeatureSet:
        """Read what a caller says of a feature set.

        Raises
        ------
        InvalidName
            If a name is one that none can have.
        BadInput
            If columns or keys are not those of a feature set.
        """
        if code is not None and not isinstance(code, CodeReference):
            code = CodeReference.of(code)
        return cls(
            check_name(name),
            parse_version(version),
            parse_columns(columns),
            _parse_keys(keys),
            check_text("description", description),
            tuple(sorted(set(parse_names("tags", tags)))),
            code,
            tuple(map(_parse_input, parse_names("inputs", inputs))),
        )

    def __str__(self) -> str:
        return f"{self.name}@{self.version}"

    @cached_property
    def kind(self) -> Kind:
        """What its rows are: ``ts``, ``known_at`` and its columns. A value that became known later is a row of its own."""
        columns = [Column("ts", TIME, 1, True, "delta", 4), Column(KNOWN_AT, TIME, 2, True, "delta", 4)]
        for number, column in enumerate(self.columns):
            encoding = _ENCODINGS.get(column.dtype, "dictionary")
            columns.append(Column(column.name, column.polars, _FIRST_FIELD_ID + number, encoding=encoding))
        keys = ("ts", KNOWN_AT)
        return Kind(
            str(self),
            tuple(columns),
            key=keys,
            order=keys,
            same=(),
            group_rows=16_384,
            in_sessions=False,
            definition=self.to_json(),
        )

    @property
    def code_name(self) -> str | None:
        """Where the function is that makes the values, like ``module:function``; ``None`` if they are made by none."""
        if self.code is None:
            return None
        return self.code.name

    @property
    def names(self) -> list[str]:
        """The names of its columns, in order."""
        return [column.name for column in self.columns]

    def dataset(self, exchange: str, symbol: str) -> Dataset:
        """Return the dataset that holds the values of a symbol."""
        return Dataset.of(exchange, symbol, self.name, variant=self.version).with_kind(self.kind)

    def to_dict(self) -> dict[str, Any]:
        """Return the definition as a plain mapping."""
        code = None
        if self.code is not None:
            code = {"name": self.code.name, "hash": self.code.hash}
        return {
            "name": self.name,
            "version": self.version,
            "columns": [column.to_dict() for column in self.columns],
            "keys": list(self.keys),
            "description": self.description,
            "tags": list(self.tags),
            "code": code,
            "inputs": list(self.inputs),
        }

    def to_json(self) -> str:
        """Return the definition as JSON; equal definitions give equal texts."""
        return json.dumps(self.to_dict(), sort_keys=True, ensure_ascii=False)

    @classmethod
    def from_json(cls, text: str) -> FeatureSet:
        """Read what :meth:`to_json` wrote."""
        return cls.from_dict(json.loads(text))

    @classmethod
    def from_dict(cls, raw: Mapping[str, Any]) -> FeatureSet:
        """Read what :meth:`to_dict` returned."""
        code: CodeReference | None = None
        if raw["code"] is not None:
            code = CodeReference(**raw["code"])
        return cls(
            raw["name"],
            raw["version"],
            tuple(FeatureColumn(**column) for column in raw["columns"]),
            tuple(raw["keys"]),
            raw["description"],
            tuple(raw["tags"]),
            code,
            tuple(raw["inputs"]),
        )

    @property
    def hash(self) -> str:
        """The SHA-256 of the definition."""
        return hashlib.sha256(self.to_json().encode()).hexdigest()

    def differences(self, other: FeatureSet) -> list[str]:
        """Return the parts in which another definition differs, by name."""
        parts = ("columns", "keys", "description", "tags", "code", "inputs")
        return [part for part in parts if getattr(self, part) != getattr(other, part)]


@dataclass(frozen=True, slots=True)
class RegisteredFeatures:
    """A feature set as a lake has it: its definition, whether it is ``active``, ``deprecated`` or ``deleted``, and since when it is there."""

    features: FeatureSet
    state: str
    created_at: int


@dataclass(frozen=True, slots=True)
class FeatureRef:
    """Which values of a feature set are meant: ``momentum@v3:ret_5m``, or ``momentum@v3`` for all of its columns."""

    name: str
    version: str
    column: str | None = None

    @classmethod
    def parse(cls, text: str | FeatureRef) -> FeatureRef:
        """Read the text form.

        Raises
        ------
        InvalidName
            If it is no reference to a feature.
        """
        if isinstance(text, FeatureRef):
            return text
        if not isinstance(text, str):
            raise InvalidName(
                f"{text!r} is no feature: write it like 'momentum@v3:ret_5m', or 'momentum@v3' for all columns"
            )
        whole, colon, column = text.partition(":")
        name, at, version = whole.partition("@")
        if not at or (colon and not COLUMN_NAME.fullmatch(column)):
            raise InvalidName(
                f"{text!r} is no feature: write it like 'momentum@v3:ret_5m', or 'momentum@v3' for all columns"
            )
        return cls(check_name(name), parse_version(version), column or None)

    def names_in(self, features: FeatureSet) -> list[str]:
        """Return the columns that are meant.

        Raises
        ------
        InvalidName
            If the set has no such column.
        """
        if self.column is None:
            return features.names
        if self.column not in features.names:
            hint = did_you_mean(self.column, features.names)
            raise InvalidName(f"{features} has no column {self.column!r}{hint}: it has {', '.join(features.names)}")
        return [self.column]

    def __str__(self) -> str:
        if self.column is None:
            return f"{self.name}@{self.version}"
        return f"{self.name}@{self.version}:{self.column}"


def check_name(name: Any) -> str:
    """Return the name of a feature set if it can be one.

    Raises
    ------
    InvalidName
        If it has other characters than a folder of a lake may have, or if it is taken by a kind.
    """
    if not isinstance(name, str) or not _NAME.fullmatch(name):
        shown = repr(name)[:80]
        raise InvalidName(
            f"{shown} cannot name features: use up to 64 lower-case letters, digits and _, beginning with a letter, like 'momentum'"
        )
    if name in KINDS or name in _FOLDERS or _DEVICES.fullmatch(name):
        raise InvalidName(
            f"{name!r} cannot name features, as the lake uses it: choose another name, like '{name}_features'"
        )
    return name


def parse_version(version: Any) -> str:
    """Return the version of a feature set as it stands in names: ``3`` and ``"3"`` are ``v3``.

    Raises
    ------
    InvalidName
        If it can be none.
    """
    if isinstance(version, int) and not isinstance(version, bool) and version >= 0:
        version = f"v{version}"
    if isinstance(version, str) and version.isascii() and version.isdecimal():
        version = f"v{version}"
    if not isinstance(version, str) or not _NAME.fullmatch(version):
        shown = repr(version)[:80]
        raise InvalidName(
            f"{shown} is no version: use a number, or up to 64 lower-case letters, digits and _, like 'v3'"
        )
    return version


def _parse_keys(keys: Any) -> tuple[str, ...]:
    names = tuple(sorted(parse_names("keys", keys)))
    if names not in _KEYS:
        raise BadInput(f"keys={keys!r} cannot be those of features: use ('symbol',) or ('exchange', 'symbol')")
    return names


def _parse_input(text: str) -> str:
    """Return the name of a dataset, or a pattern of names."""
    if is_pattern(text):
        return text
    try:
        return str(Dataset.parse(text))
    except InvalidName as error:
        raise InvalidName(f"input {text!r} is neither a dataset nor a pattern like 'binance:trades:*'") from error


def _source_of(function: Callable[..., Any]) -> bytes:
    """Return what tells one function from another: its source, or its compiled code where there is no source."""
    plain: Any = inspect.unwrap(function)
    try:
        return inspect.getsource(plain).encode()
    except (OSError, TypeError):
        code = getattr(plain, "__code__", None)
    if code is None:
        return type(plain).__qualname__.encode()
    return _compiled(code)


def _compiled(code: CodeType) -> bytes:
    """Return compiled code as bytes that are the same in each process."""
    parts = [code.co_code, repr(code.co_names).encode()]
    for constant in code.co_consts:
        text = repr(constant).encode()
        if isinstance(constant, CodeType):
            # The text of a function names its place in memory.
            text = _compiled(constant)
        parts += [text]
    return b"\0".join(parts)
