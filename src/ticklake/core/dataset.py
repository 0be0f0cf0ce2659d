"""Datasets: one exchange x symbol x kind (x timeframe)."""

from __future__ import annotations

from dataclasses import dataclass
from fnmatch import fnmatchcase
from functools import cached_property, lru_cache
from typing import TYPE_CHECKING

from ticklake.core.symbol import Symbol, exchange_id
from ticklake.core.time import DAY
from ticklake.core.timeframe import THURSDAY, Timeframe
from ticklake.errors import InvalidName, UnknownTimeframe

if TYPE_CHECKING:
    from ticklake.core.kinds import Kind

__all__ = ["BAR_KINDS", "SNAPSHOTS", "USUAL_FRAMES", "Dataset"]

BAR_KINDS = frozenset({"ohlcv", "mark_ohlcv", "index_ohlcv"})

SNAPSHOTS = frozenset({"book", "predicted_funding"})
"""Kinds of which exchanges tell what is now and nothing of the past."""
USUAL_FRAMES = {"open_interest": Timeframe(5, "m")}
"""Kinds that exchanges serve in several timeframes, and the one that a dataset without a timeframe has."""

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

    Its text form is ``exchange:kind[:timeframe]:symbol``; the symbol stands last so that it parses
    without doubt: ``binance:ohlcv:1h:BTC/USDT``, ``binance:trades:BTC/USDT:USDT``.

    Raises
    ------
    InvalidName
        If a part cannot be what it should, or a timeframe is missing or too many.
    """

    exchange: str
    kind: str
    symbol: Symbol
    timeframe: Timeframe | None = None

    def __post_init__(self) -> None:
        # Texts are taken for the values they stand for: equal datasets are equal however they were made.
        if isinstance(self.symbol, str):
            object.__setattr__(self, "symbol", Symbol(self.symbol))
        if isinstance(self.timeframe, str):
            object.__setattr__(self, "timeframe", Timeframe.parse(self.timeframe))
        if not isinstance(self.symbol, Symbol) or not isinstance(self.timeframe, Timeframe | None):
            raise InvalidName(f"a dataset has a symbol and a timeframe, not {self.symbol!r} and {self.timeframe!r}")
        object.__setattr__(self, "exchange", exchange_id(self.exchange))
        if self.kind not in BAR_KINDS:
            # Refuses a kind that does not exist. Bars, which do, are not looked up: the table of kinds loads polars.
            _ = self.spec
        if self.kind in USUAL_FRAMES:
            if self.timeframe == USUAL_FRAMES[self.kind]:
                object.__setattr__(self, "timeframe", None)
        elif self.kind in BAR_KINDS and self.timeframe is None:
            raise InvalidName(f"a dataset of kind {self.kind!r} needs a timeframe, like 1h")
        elif self.kind not in BAR_KINDS and self.timeframe is not None:
            raise InvalidName(f"a dataset of kind {self.kind!r} has no timeframe")

    @classmethod
    def of(cls, exchange: str, symbol: str, kind: str, timeframe: str | Timeframe | None = None) -> Dataset:
        """Build a dataset from texts."""
        if timeframe is not None:
            timeframe = Timeframe.parse(timeframe)
        return cls(exchange, kind, Symbol(symbol), timeframe)

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
        timeframe, _, symbol = rest.partition(":")
        may_lack_frame = kind in USUAL_FRAMES and not (symbol and _is_timeframe(timeframe))
        if may_lack_frame or kind not in BAR_KINDS | USUAL_FRAMES.keys():
            return cls.of(exchange, rest, kind)
        return cls.of(exchange, symbol, kind, timeframe)

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
        return hash((self.exchange, self.kind, self.symbol, self.timeframe))

    @cached_property
    def _text(self) -> str:
        if self.timeframe is None:
            return f"{self.exchange}:{self.kind}:{self.symbol}"
        return f"{self.exchange}:{self.kind}:{self.timeframe}:{self.symbol}"

    @cached_property
    def spec(self) -> Kind:
        """The row of the table of kinds that says what its rows are."""
        # On use, as it loads polars: names of datasets are read by commands that need no rows.
        from ticklake.core.kinds import kind_of

        return kind_of(self.kind)

    @property
    def path(self) -> str:
        """Its folder inside the lake, Hive style; never leaves the root whatever the symbol."""
        folder = f"{self.kind}/exchange={self.exchange}/symbol={self.symbol.escaped}"
        if self.timeframe is None:
            return folder
        return f"{folder}/timeframe={self.timeframe}"

    def row_end(self, ts: int) -> int:
        """Return when a row that begins at *ts* ends: with its bar, or a nanosecond later."""
        if self.timeframe is None:
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
