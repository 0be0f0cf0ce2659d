"""How values of features are made: by which function, and of which frames. Values made in different ways are not mixed."""

from __future__ import annotations

import datetime as dt
import hashlib
import inspect
import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from ticklake.core.features import CodeReference
from ticklake.core.frame_request import FrameRequest
from ticklake.core.knowledge import Knowledge, parse_knowledge
from ticklake.core.lookup import absent, did_you_mean
from ticklake.errors import BadInput

__all__ = ["Work", "check_options"]

_OPTIONS = tuple(inspect.signature(FrameRequest.of).parameters)[2:]
"""Options of frames, besides exchange and symbol."""


def check_options(options: Iterable[str]) -> None:
    """Refuse options that frames do not have.

    Raises
    ------
    BadInput
    """
    for name in absent(options, _OPTIONS):
        hint = did_you_mean(name, _OPTIONS)
        raise BadInput(f"frames have no option {name!r}{hint}: they have {', '.join(_OPTIONS)}")


@dataclass(frozen=True)
class Work:
    """The function that makes values, and the options of the frames that it gets; ``None`` if the caller makes its frames."""

    code: CodeReference
    knowledge: Knowledge
    options: Mapping[str, Any] | None

    @classmethod
    def of(cls, code: CodeReference, knowledge: Any, options: Mapping[str, Any] | None) -> Work:
        """Read what a caller says.

        Raises
        ------
        BadInput
            If an option is none of frames, or has a value that it cannot have.
        """
        if options is not None:
            check_options(options)
            # As texts and numbers, as they are kept.
            options = json.loads(json.dumps(dict(options), sort_keys=True, default=_text_of))
        work = cls(code, parse_knowledge(knowledge), options)
        work._request()
        return work

    @classmethod
    def from_note(cls, note: str) -> Work | None:
        """Read what the note of rows says; ``None`` if no function made them."""
        try:
            facts = json.loads(note)
            code = CodeReference(facts["code"], facts["code_hash"])
            options = facts.get("frame")
            if options is not None:
                options = json.loads(options)
            return cls(code, parse_knowledge(facts["knowledge"]), options)
        except (ValueError, KeyError, TypeError):
            return None

    def to_dict(self) -> dict[str, Any]:
        """Return it as the note of rows has it."""
        facts = {"code": self.code.name, "code_hash": self.code.hash, "knowledge": self.knowledge}
        if self.options is not None:
            facts["frame"] = json.dumps(self.options, sort_keys=True)
        return facts

    @property
    def hash(self) -> str:
        """A hash of all that decides the values."""
        text = f"{self.code.hash} {self._request()!r}"
        return hashlib.blake2b(text.encode(), digest_size=8).hexdigest()

    def difference(self, before: Work) -> str:
        """Say how earlier values were made, if it was in another way; empty if not."""
        if before.code.hash != self.code.hash:
            return f"other code, {before.code.name} as it was then"
        if before._request() != self._request():
            return f"frames of {before}, not of {self}"
        return ""

    def _request(self) -> FrameRequest | None:
        """Return what is asked of a frame: the same, however it is written. Exchange and symbol do not matter."""
        if self.options is None:
            return None
        return FrameRequest.of("any", "ANY", knowledge=self.knowledge, **self.options)

    def __str__(self) -> str:
        if self.options is None:
            return "make_frame"
        texts = [f"{name}={_short(value)}" for name, value in self.options.items()]
        if self.knowledge != "default":
            texts.append(f"knowledge={self.knowledge}")
        return ", ".join(texts) or "the usual options"


def _short(value: Any) -> str:
    if isinstance(value, list):
        return ",".join(map(str, value))
    return str(value)


def _text_of(value: Any) -> Any:
    """Return a value of an option as a text that means the same."""
    if isinstance(value, dt.timedelta):
        return f"{value // dt.timedelta(seconds=1)}s"
    return str(value)
