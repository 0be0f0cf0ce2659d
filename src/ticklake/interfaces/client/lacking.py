"""What a remote lake and its namespaces lack, said clearly."""

from __future__ import annotations

from typing import Any, ClassVar

from ticklake.errors import Unsupported

__all__ = ["Lacking", "NotServed"]


class NotServed(Unsupported, AttributeError):
    """What a remote lake has not. Also an error of attributes: so ``hasattr`` says no, and does not fail."""


class Lacking:
    """A namespace of a remote lake that has not all of the names of the one at hand."""

    lacking: ClassVar[dict[str, str]] = {}
    """Its other names, and what to do instead."""

    def __getattr__(self, name: str) -> Any:
        # Only names that are not there come here.
        if name in self.lacking:
            raise NotServed(f"a remote lake has no {name}: {self.lacking[name]}")
        raise AttributeError(f"{type(self).__name__!r} has no attribute {name!r}")
