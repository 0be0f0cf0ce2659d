"""Names of indicators: what ``"macd_12_26_9"`` means."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from functools import cache

from ticklake.core.indicator_table import DEFINITIONS, Definition, Parameter
from ticklake.core.lookup import did_you_mean
from ticklake.errors import BadInput

__all__ = ["Indicator", "parse_indicators", "usual_name"]

_NAME = re.compile(r"(?P<name>[a-z]+(?:_[a-z]+)*)(?P<numbers>(?:_[0-9]+(?:\.[0-9]+)?)*)")


@dataclass(frozen=True, slots=True)
class Indicator:
    """An indicator with its numbers.

    Attributes
    ----------
    name
        As it is written: ``"bbands_20_2"``.
    outputs
        The names of its values: ``("bbands_20_2.upper", ...)``, or its name if there is one.
    columns
        The columns of bars that it reads.
    warm_up
        How many bars it reads; with fewer it has no value.
    """

    name: str
    outputs: tuple[str, ...]
    columns: tuple[str, ...]
    warm_up: int
    function: str = field(repr=False)
    arguments: tuple[float, ...] = field(repr=False)
    is_ratio: bool = field(repr=False)


def parse_indicators(names: str | Indicator | Iterable[str | Indicator]) -> tuple[Indicator, ...]:
    """Return the indicators of names, each once, in their order.

    Raises
    ------
    BadInput
        If there is no such indicator, or a number is missing or out of range.

    Examples
    --------
    >>> [indicator.warm_up for indicator in parse_indicators(["sma_20", "rsi_14"])]
    [20, 326]
    """
    if isinstance(names, (str, Indicator)):
        names = [names]
    found: dict[str, Indicator] = {}
    for name in names:
        indicator = name
        if not isinstance(indicator, Indicator):
            indicator = _parse(str(name))
        found[indicator.name] = indicator
    return tuple(found.values())


@cache
def _parse(text: str) -> Indicator:
    match = _NAME.fullmatch(text)
    if match is None or match["name"] not in DEFINITIONS:
        raise BadInput(
            f"there is no indicator {text!r}{did_you_mean(text, _usual_names())}: it is written like 'sma_20'"
        )
    name = match["name"]
    definition = DEFINITIONS[name]
    written = match["numbers"].split("_")[1:]
    if len(written) != len(definition.parameters):
        raise BadInput(f"{text!r} has not the numbers of {name}: {_explained(name, definition)}")
    numbers: list[int | float] = []
    for parameter, number in zip(definition.parameters, written, strict=True):
        numbers.append(_number(text, parameter, number))
    _check_order(text, definition, numbers)
    outputs = tuple(f"{text}.{output}" for output in definition.outputs) or (text,)
    return Indicator(
        text,
        outputs,
        definition.columns,
        definition.warm_up(*numbers),
        definition.function,
        definition.arguments(*numbers),
        definition.is_ratio,
    )


def _number(text: str, parameter: Parameter, written: str) -> int | float:
    """Read a number of a name; there is one way to write it, so that an indicator has one name."""
    number: int | float = float(written)
    if number == int(number):
        number = int(number)
    if isinstance(number, float) and not parameter.decimal:
        raise BadInput(f"{text!r}: {parameter.name} is a whole number, not {written}")
    if not parameter.least <= number <= parameter.most:
        raise BadInput(f"{text!r}: {parameter.name} is between {parameter.least} and {parameter.most}, not {written}")
    if str(number) != written:
        raise BadInput(f"{text!r}: write {number}, not {written}")
    return number


def _check_order(text: str, definition: Definition, numbers: Sequence[float]) -> None:
    ordered = definition.parameters[: definition.ascending]
    for place in range(1, definition.ascending):
        if numbers[place - 1] >= numbers[place]:
            raise BadInput(f"{text!r}: {ordered[place - 1].name} must be less than {ordered[place].name}")


def _usual_names() -> list[str]:
    return [usual_name(name, definition) for name, definition in DEFINITIONS.items()]


def usual_name(name: str, definition: Definition) -> str:
    """Return an indicator's name with the numbers that most people use."""
    return "_".join([name, *(f"{parameter.usual:g}" for parameter in definition.parameters)])


def _explained(name: str, definition: Definition) -> str:
    form = "_".join([name, *(parameter.name.upper() for parameter in definition.parameters)])
    return f"write {form}, like {usual_name(name, definition)!r}"
