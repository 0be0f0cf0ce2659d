"""Hidden paths: what leaves the server names no folder of its machine, which is nobody's business who only reads."""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any, TypeVar

__all__ = ["HiddenPaths"]

T = TypeVar("T")


class HiddenPaths:
    """Takes folders out of texts.

    Parameters
    ----------
    folders
        A word for each folder; what lies below is named without the folder.
    """

    def __init__(self, folders: Mapping[Path, str]) -> None:
        self._words: dict[str, str] = {}
        self._relative: list[re.Pattern[str]] = []
        for folder, word in folders.items():
            for path in (str(folder.expanduser().resolve()), str(folder)):
                # A lake in "." would take every full stop for itself.
                if path.startswith("/") and len(path) > 1:
                    self._words[path] = word
            # Only before what lies in it: the name itself may be any word.
            if not folder.is_absolute() and folder.parts:
                self._relative.append(re.compile(rf"(?<![\w./-])(?:\./)?{re.escape(str(folder))}/"))

    def text(self, text: str) -> str:
        """Return a text without the folders."""
        for path, word in self._words.items():
            # Most texts name none, and a look is cheaper than two copies.
            if path in text:
                text = text.replace(f"{path}/", "").replace(path, word)
        for pattern in self._relative:
            text = pattern.sub("", text)
        return text

    def of(self, value: T) -> T:
        """Return a value of JSON whose texts have no folders."""
        return self._of(value)  # type: ignore[no-any-return]

    def _of(self, value: Any) -> Any:
        if isinstance(value, str):
            return self.text(value)
        if isinstance(value, dict):
            return {name: self._of(item) for name, item in value.items()}
        if isinstance(value, list):
            return list(map(self._of, value))
        return value
