"""Rules: which datasets derived ones are made of, and how."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from ticklake.core.bars import Bars
from ticklake.core.dataset import BAR_KINDS, Dataset, check_variant
from ticklake.core.display import Displayed, field_values, moment
from ticklake.core.lookup import is_pattern
from ticklake.core.timeframe import Timeframe
from ticklake.errors import BadInput, UnknownTimeframe

__all__ = ["DerivedRule", "Refreshed", "Rule", "refuse_loop"]

_MADE_BY = 1
"""Raised when the same rule makes other values of the same rows: then everything is computed anew."""
_KINDS = ("ohlcv", "bars")


@dataclass(frozen=True, slots=True)
class Rule:
    """Makes bars of all datasets that match its inputs; its name is the variant of what it makes.

    Parameters
    ----------
    name
        The variant.
    inputs
        Names of datasets or patterns, all of the same kind and, of bars, the same timeframe.
    bars
        How bars are made.
    kind
        ``ohlcv``, or ``bars``, which have all columns that are known of a bar.

    Raises
    ------
    BadInput
        If the inputs differ, or what is made could not be stored.
    """

    name: str
    inputs: tuple[str, ...]
    bars: Bars
    kind: str = "ohlcv"

    def __post_init__(self) -> None:
        check_variant(self.name)
        if self.kind not in _KINDS:
            raise BadInput(f"kind={self.kind!r} is none that a rule makes: use one of {', '.join(_KINDS)}")
        self._check_inputs()
        self._check_bars()

    def _check_inputs(self) -> None:
        if not self.inputs:
            raise BadInput("a rule needs inputs: name datasets, or patterns like 'binance:trades:*'")
        if len(set(map(_shape, self.inputs))) > 1:
            raise BadInput(f"the inputs of {self.name!r} differ in kind or timeframe: declare a rule for each")

    def _check_bars(self) -> None:
        """Refuse bars that another dataset cannot hold, or that would have to be computed anew too often."""
        if self.bars.label != "open" or self.bars.fill is not None:
            raise BadInput(
                "label and fill are for reading: stored bars have the time at which they open, and none is made up"
            )
        if not self.bars.is_time and self.bars.session is None:
            raise BadInput(
                f"{self.bars} bars need a session, like session='UTC': else one late trade would change all bars after it"
            )
        if self.kind == "ohlcv" and not _fits_ohlcv(self.bars):
            raise BadInput(
                f"these bars are off the grid of {self.bars}: they need kind='bars', which has their close_time"
            )

    @classmethod
    def of(
        cls, name: str, inputs: str | Dataset | Iterable[str | Dataset], bars: Bars, kind: str | None = None
    ) -> Rule:
        """Return the rule that is written so; *kind* is ``ohlcv`` where that can hold the bars."""
        if isinstance(inputs, str | Dataset):
            inputs = [inputs]
        patterns = tuple(dict.fromkeys(map(str, inputs)))
        if not kind:
            kind = "bars"
            if _fits_ohlcv(bars):
                kind = "ohlcv"
        return cls(name, patterns, bars, kind)

    @classmethod
    def from_json(cls, name: str, kept: Mapping[str, Any]) -> Rule:
        """Read what :meth:`to_json` returned."""
        return cls(name, tuple(kept["inputs"]), Bars.from_json(kept["rule"]), kept["kind"])

    def to_json(self) -> dict[str, Any]:
        """Return it as it is kept in the catalog."""
        return {"inputs": list(self.inputs), "rule": self.bars.to_json(), "kind": self.kind, "made_by": _MADE_BY}

    @property
    def hash(self) -> str:
        """A hash of all that can change what it makes."""
        # Sorted, so that the same rule has the same hash whoever wrote it.
        text = json.dumps(self.to_json(), sort_keys=True)
        return hashlib.blake2b(text.encode(), digest_size=16).hexdigest()

    @property
    def reads(self) -> str | None:
        """The variant that it reads; ``None`` if it reads datasets that are not derived."""
        return _shape(self.inputs[0])[1]

    def takes(self, dataset: Dataset) -> bool:
        """Whether a dataset is one of its inputs."""
        kind, variant, timeframe = _shape(self.inputs[0])
        if (dataset.kind, dataset.variant, dataset.timeframe) != (kind, variant, timeframe):
            return False
        return any(map(dataset.matches, self.inputs))

    def makes(self, dataset: Dataset) -> bool:
        """Whether a dataset is of those that it makes."""
        made = (dataset.kind, dataset.variant, dataset.timeframe)
        return made == (self.kind, self.name, self.bars.timeframe)

    def output_of(self, dataset: Dataset) -> Dataset:
        """Return the dataset that it makes of an input."""
        return Dataset(dataset.exchange, self.kind, dataset.symbol, self.bars.timeframe, self.name)

    def input_of(self, dataset: Dataset) -> Dataset:
        """Return the input of which it makes a dataset."""
        kind, variant, timeframe = _shape(self.inputs[0])
        return Dataset(dataset.exchange, kind, dataset.symbol, timeframe, variant)

    def sample_input(self) -> Dataset:
        """Return a dataset like its inputs, to see whether it can become what the rule makes."""
        exchange = self.inputs[0].partition(":")[0]
        if is_pattern(exchange):
            exchange = "any"
        kind, variant, timeframe = _shape(self.inputs[0])
        return Dataset.of(exchange, "A/B", kind, timeframe, variant)


def _is_timeframe(text: str) -> bool:
    try:
        Timeframe.parse(text)
    except UnknownTimeframe:
        return False
    return True


def _fits_ohlcv(bars: Bars) -> bool:
    return bars.is_time and bars.session is None and bars.origin is None and bars.closed == "left"


def _shape(pattern: str) -> tuple[str, str | None, Timeframe | None]:
    """Return kind, variant and timeframe of the datasets that a pattern means."""
    parts = pattern.split(":")
    if len(parts) < 3 or is_pattern(parts[1]):
        raise BadInput(f"{pattern!r} names no kind: write an input like 'binance:trades:*' or 'binance:ohlcv:1m:BTC/*'")
    kind, at, named = parts[1].partition("@")
    variant: str | None = None
    if at:
        variant = named
    has_frame = kind in BAR_KINDS or (kind == "bars" and _is_timeframe(parts[2]))
    if has_frame:
        if len(parts) < 4 or is_pattern(parts[2]):
            raise BadInput(f"{pattern!r} names no timeframe: write an input like 'binance:ohlcv:1m:*'")
        return kind, variant, Timeframe.parse(parts[2])
    # Refuses a kind or a variant that does not exist.
    sample = Dataset.of("any", "A/B", parts[1])
    return sample.kind, sample.variant, None


def refuse_loop(rule: Rule, others: Sequence[Rule]) -> None:
    """Refuse a rule that reads what it makes, directly or through others.

    Raises
    ------
    BadInput
    """
    # A rule reads one variant at most: it is enough to follow one path.
    reads = {other.name: other.reads for other in others}
    reads[rule.name] = rule.reads
    path = [rule.name]
    following = rule.reads
    while following is not None:
        path.append(following)
        if following == rule.name:
            raise BadInput(f"the rule {rule.name!r} would read what it makes ({' <- '.join(path)}): name other inputs")
        following = reads.get(following)


@dataclass(frozen=True, slots=True, repr=False)
class DerivedRule(Displayed):
    """A rule as it is: what it makes of what, and how far that is.

    ``read_version`` is the version of the lake up to which its inputs were read; ``datasets`` are those that it has made.
    """

    name: str
    inputs: tuple[str, ...]
    rule: str
    kind: str
    hash: str
    read_version: int
    created_at: int
    datasets: tuple[str, ...] = ()

    def _summary(self) -> dict[str, Any]:
        return {**field_values(self), "created_at": moment(self.created_at)}


@dataclass(frozen=True, slots=True, repr=False)
class Refreshed(Displayed):
    """What a refresh of a rule did: how many rows are ``new``, ``changed`` and ``removed``, in which ``datasets``.

    ``version`` is that up to which its inputs were read, ``recomputed`` whether all of it was computed anew.
    """

    name: str
    version: int
    datasets: tuple[str, ...] = ()
    new: int = 0
    changed: int = 0
    removed: int = 0
    dropped: tuple[str, ...] = ()
    recomputed: bool = False
