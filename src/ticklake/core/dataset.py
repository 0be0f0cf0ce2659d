"""Datasets: one exchange x symbol x kind (x variant) (x timeframe)."""

from __future__ import annotations

import re
from dataclasses import dataclass, replace
from fnmatch import fnmatchcase
from functools import cached_property, lru_cache
from typing import TYPE_CHECKING

from ticklake.core.symbol import Symbol, exchange_id
from ticklake.core.time import DAY
from ticklake.core.timeframe import THURSDAY, Timeframe
from ticklake.errors import BadInput, InvalidName, UnknownTimeframe

if TYPE_CHECKING:
    from ticklake.core.kinds import Kind

__all__ = ["BAR_KINDS", "DERIVED", "SNAPSHOTS", "USUAL_FRAMES", "Dataset", "check_variant", "refuse_derived"]

BAR_KINDS = frozenset({"ohlcv", "mark_ohlcv", "index_ohlcv"})

SNAPSHOTS = frozenset({"book", "predicted_funding"})
"""Kinds of which exchanges tell what is now and nothing of the past."""
USUAL_FRAMES = {"open_interest": Timeframe(5, "m")}
"""Kinds that exchanges serve in several timeframes, and the one that a dataset without a timeframe has."""

DERIVED = "derived"
"""The folder of all datasets with a variant: who reads ``ohlcv/**`` never mixes collected and derived rows."""

_MADE_BARS = "bars"
"""Bars with a ``close_time``: those that end with a trade have no timeframe, and the others need not lie on its grid."""
_NAME = re.compile(r"[a-z][a-z0-9_]{0,63}")
_ANCHORS = {
    ("kraken", "w"): THURSDAY,
    ("bitfinex", "w"): THURSDAY,
    ("binance", "d"): DAY,
    ("binanceusdm", "d"): DAY,
}
"""From where exchanges count weeks and bars of several days, where that is not Monday and the epoch."""


@dataclass(frozen=True)
class Dataset:
    """What is recorded together: an exchange, a kind, a symbol and, for bars, a timeframe.

    Open interest may have one, too: without it, and with ``5m``, it is that of every five minutes.

    A *variant* names rows that are made of other rows: bars of trades, or the values of a feature. Only then
    may the kind be one that a lake declares.

    Its text form is ``exchange:kind[@variant][:timeframe]:symbol``; the symbol stands last so that it parses
    without doubt: ``binance:ohlcv:1h:BTC/USDT``, ``binance:trades:BTC/USDT:USDT``, ``binance:ohlcv@from_trades:1h:BTC/USDT``.

    Raises
    ------
    InvalidName
        If a part cannot be what it should, or a timeframe is missing or too many.
    """

    exchange: str
    kind: str
    symbol: Symbol
    timeframe: Timeframe | None = None
    variant: str | None = None

    def __post_init__(self) -> None:
        # Texts are taken for the values they stand for: equal datasets are equal however they were made.
        if isinstance(self.symbol, str):
            object.__setattr__(self, "symbol", Symbol(self.symbol))
        if isinstance(self.timeframe, str):
            object.__setattr__(self, "timeframe", Timeframe.parse(self.timeframe))
        if not isinstance(self.symbol, Symbol) or not isinstance(self.timeframe, Timeframe | None):
            raise InvalidName(f"a dataset has a symbol and a timeframe, not {self.symbol!r} and {self.timeframe!r}")
        object.__setattr__(self, "exchange", exchange_id(self.exchange))
        if self.variant is not None:
            check_variant(self.variant)
        self._check_kind()
        if self.kind in USUAL_FRAMES:
            if self.timeframe == USUAL_FRAMES[self.kind]:
                object.__setattr__(self, "timeframe", None)
        elif self.kind in BAR_KINDS and self.timeframe is None:
            raise InvalidName(f"a dataset of kind {self.kind!r} needs a timeframe, like 1h")
        elif not _may_have_frame(self.kind, self.variant) and self.timeframe is not None:
            raise InvalidName(f"a dataset of kind {self.kind!r} has no timeframe")
        if self.timeframe is None and _may_have_frame(self.kind, self.variant):
            self._refuse_frame_in_symbol()

    def _check_kind(self) -> None:
        """Refuse a kind that does not exist. One that a lake declares is known to the lake alone: its name is checked."""
        # Bars, which exist, are not looked up: the table of kinds loads polars.
        if self.kind in BAR_KINDS:
            return
        if self.variant is None:
            _ = self.spec
        elif not isinstance(self.kind, str) or not _NAME.fullmatch(self.kind):
            raise InvalidName(
                f"{self.kind!r} cannot name a kind: use lower-case letters, digits and _, like 'momentum'"
            )

    def _refuse_frame_in_symbol(self) -> None:
        """Refuse a symbol that would be read as a timeframe and another symbol."""
        frame, colon, _ = str(self.symbol).partition(":")
        if colon and _is_timeframe(frame):
            raise InvalidName(
                f"{str(self.symbol)!r} begins like a timeframe: a dataset of kind {self.kind!r} cannot have it"
            )

    @classmethod
    def of(
        cls,
        exchange: str,
        symbol: str,
        kind: str,
        timeframe: str | Timeframe | None = None,
        variant: str | None = None,
    ) -> Dataset:
        """Build a dataset from texts; *kind* may say the variant as it stands in names, like ``ohlcv@from_trades``."""
        if variant is None and isinstance(kind, str):
            kind, variant = _with_variant(kind)
        if timeframe is not None:
            timeframe = Timeframe.parse(timeframe)
        return cls(exchange, kind, Symbol(symbol), timeframe, variant)

    @classmethod
    def parse(cls, text: str | Dataset) -> Dataset:
        """Read the text form."""
        if isinstance(text, Dataset):
            return text
        return _parsed(str(text))

    @classmethod
    def _read(cls, text: str) -> Dataset:
        exchange, _, rest = text.partition(":")
        kind, _, rest = rest.partition(":")
        if not rest:
            raise InvalidName(
                f"{text!r} is not a dataset: write exchange:kind[:timeframe]:symbol, "
                "like binance:ohlcv:1h:BTC/USDT or binance:trades:BTC/USDT"
            )
        kind, variant = _with_variant(kind)
        timeframe, _, symbol = rest.partition(":")
        has_frame = _may_have_frame(kind, variant)
        if has_frame and kind not in BAR_KINDS:
            has_frame = bool(symbol) and _is_timeframe(timeframe)
        if not has_frame:
            return cls.of(exchange, rest, kind, None, variant)
        return cls.of(exchange, symbol, kind, timeframe, variant)

    @property
    def timeframe_text(self) -> str | None:
        """Its timeframe as text, like ``1h``; ``None`` where there is none."""
        if self.timeframe is None:
            return None
        return str(self.timeframe)

    def matches(self, pattern: str) -> bool:
        """Whether *pattern* is its text form, or one that matches it, like ``binance:trades:*``."""
        if not isinstance(pattern, str):
            raise InvalidName(f"{pattern!r} is no pattern: write it like 'binance:trades:*'")
        # Compared as text first: a symbol may contain brackets, which have a meaning in patterns.
        return self._text == pattern or fnmatchcase(self._text, pattern)

    def __str__(self) -> str:
        return self._text

    def __repr__(self) -> str:
        return f"Dataset({self._text!r})"

    def __hash__(self) -> int:
        return self._hash

    def __reduce__(self) -> tuple[object, tuple[str]]:
        # By its name, because another process hashes texts differently.
        return Dataset.parse, (self._text,)

    @cached_property
    def _hash(self) -> int:
        # Kept, because a dataset is the key of many tables: live rows look it up several times each.
        return hash((self.exchange, self.kind, self.symbol, self.timeframe, self.variant))

    @cached_property
    def _text(self) -> str:
        if self.timeframe is None:
            return f"{self.exchange}:{self.kind_text}:{self.symbol}"
        return f"{self.exchange}:{self.kind_text}:{self.timeframe}:{self.symbol}"

    @property
    def kind_text(self) -> str:
        """Its kind as it stands in its name: with the variant, if it has one, like ``ohlcv@from_trades``."""
        if self.variant is None:
            return self.kind
        return f"{self.kind}@{self.variant}"

    @cached_property
    def spec(self) -> Kind:
        """The row of the table of kinds that says what its rows are."""
        # On use, as it loads polars: names of datasets are read by commands that need no rows.
        from ticklake.core.kinds import KINDS, kind_of

        if self.variant is not None and self.kind not in KINDS:
            raise InvalidName(
                f"{self.kind_text!r} is no kind that this lake declares: 'ticklake features list' shows those"
            )
        return kind_of(self.kind)

    def with_kind(self, kind: Kind) -> Dataset:
        """Return the same dataset, which knows what its rows are: the name of a declared kind alone does not say it.

        Two lakes may declare kinds of one name.
        """
        # Not by replace, which would check all parts again: a lake may have thousands.
        known = object.__new__(Dataset)
        # Where the cached property keeps its value; two datasets of one name are equal, whatever they know.
        vars(known).update(vars(self), spec=kind)
        return known

    @property
    def path(self) -> str:
        """Its folder inside the lake, Hive style; never leaves the root whatever the symbol."""
        folder = self.kind
        if self.variant is not None:
            folder = f"{DERIVED}/{self.kind}/variant={self.variant}"
        folder = f"{folder}/exchange={self.exchange}/symbol={self.symbol.escaped}"
        if self.timeframe is None:
            return folder
        return f"{folder}/timeframe={self.timeframe}"

    def row_end(self, ts: int) -> int:
        """Return when a row that begins at *ts* ends: with its bar, or a nanosecond later."""
        if self.timeframe is None or self.kind == _MADE_BARS:
            return ts + 1
        return self.timeframe.next(ts, self.anchor)

    @property
    def anchor(self) -> int | None:
        """From where its exchange counts weeks and bars of several days; ``None`` for the usual."""
        if self.timeframe is None:
            return None
        return self.anchor_of(self.timeframe)

    def anchor_of(self, timeframe: Timeframe) -> int | None:
        """Return from where its exchange counts bars of *timeframe*, which need not be the dataset's own."""
        return _ANCHORS.get((self.exchange, timeframe.unit))


def check_variant(name: str) -> None:
    """Refuse what cannot name a variant.

    Raises
    ------
    InvalidName
    """
    if not isinstance(name, str) or not _NAME.fullmatch(name):
        raise InvalidName(f"{name!r} cannot name a variant: use lower-case letters, digits and _, like 'from_trades'")


def refuse_derived(dataset: Dataset) -> Dataset:
    """Return a dataset that rows may be saved to or collected for; those with a variant are made of other rows.

    Raises
    ------
    BadInput
    """
    if dataset.variant is None:
        return dataset
    from ticklake.core.kinds import KINDS

    if dataset.kind not in KINDS:
        raise BadInput(f"{dataset} holds the values of a feature set: add them with lake.features.write()")
    plain = replace(dataset, variant=None) if dataset.kind in BAR_KINDS else "another dataset"
    raise BadInput(
        f"{dataset} is made of other rows, by the rule of its variant: nothing else comes into it; name {plain}"
    )


def _with_variant(kind: str) -> tuple[str, str | None]:
    """Split ``ohlcv@from_trades`` into kind and variant."""
    name, at, variant = kind.partition("@")
    if not at:
        return kind, None
    return name, variant


def _may_have_frame(kind: str, variant: str | None) -> bool:
    if kind in BAR_KINDS or kind in USUAL_FRAMES or kind == _MADE_BARS:
        return True
    if variant is None:
        return False
    # Only here, as it loads polars: names of collected datasets are read by commands that need no rows.
    from ticklake.core.kinds import KINDS

    return kind not in KINDS


def _is_timeframe(text: str) -> bool:
    try:
        Timeframe.parse(text)
    except UnknownTimeframe:
        return False
    return True


# Names are parsed again for every row of the catalog: a lake may have thousands of datasets.
@lru_cache(maxsize=65_536)
def _parsed(text: str) -> Dataset:
    return Dataset._read(text)
