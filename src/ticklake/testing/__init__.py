"""What tests of this project and of other packages stand on."""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from ticklake.testing.lookahead import Leak, LookAheadReport, check_no_lookahead

__all__ = ["Leak", "LookAheadReport", "check_no_lookahead"]


def __getattr__(name: str) -> Any:
    """Load a public name on first use: the simulated exchange does not need it."""
    if name not in __all__:
        raise AttributeError(f"module 'ticklake.testing' has no attribute {name!r}")
    return getattr(import_module("ticklake.testing.lookahead"), name)
