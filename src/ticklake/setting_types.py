"""Types of single settings: what is checked of a value beside its type, with an error that says how it is written."""

from __future__ import annotations

import re
from typing import Annotated, Any

from pydantic import (
    AfterValidator,
    BeforeValidator,
    ByteSize,
    Field,
    StringConstraints,
    ValidationError,
    ValidatorFunctionWrapHandler,
    WrapValidator,
)

from ticklake.core.schedules import refuse_bare_number

__all__ = ["Address", "Lag", "Length", "MinFree", "Origin", "Share", "Size"]


def _refuse_percentage(value: object) -> object:
    """Refuse an invalid percentage like ``200 %``: pydantic would take its number for a size in bytes."""
    if "%" in str(value):
        raise ValueError("a share of a disk is written like 2 %")
    return value


def _free_space(value: object, parse: ValidatorFunctionWrapHandler) -> Any:
    """Refuse what is neither a share nor a size with one error: pydantic has one for each, and names its own types."""
    try:
        return parse(value)
    except ValidationError:
        raise ValueError("is neither a share of the disk nor a size: write it like '2 %' or '500MB'") from None


def _checked_address(value: str) -> str:
    """Refuse what is no address of a server: requests would fail with an error that does not name the setting."""
    if value and not re.match(r"https?://[^/\s]", value):
        raise ValueError("an address is written like http://127.0.0.1:8000")
    return value


def _checked_origin(value: str) -> str:
    """Refuse what browsers do not send as an origin: it would never match."""
    if not re.fullmatch(r"https?://[^/\s*]+", value):
        raise ValueError("an origin is written like https://dash.example.com, without a path")
    return value.lower()


Address = Annotated[str, AfterValidator(_checked_address)]
Origin = Annotated[str, AfterValidator(_checked_origin)]
Share = Annotated[str, StringConstraints(pattern=r"^\s*\d{1,2}(\.\d+)?\s*%\s*$")]
Size = Annotated[ByteSize, BeforeValidator(_refuse_percentage)]
MinFree = Annotated[Share | Size, Field(union_mode="left_to_right"), WrapValidator(_free_space)]
Lag = Annotated[str, BeforeValidator(refuse_bare_number), StringConstraints(pattern=r"^(0|[1-9]\d*)[smhdw]$")]
Length = Annotated[str, BeforeValidator(refuse_bare_number), StringConstraints(pattern=r"^[1-9]\d*[smhdw]$")]
