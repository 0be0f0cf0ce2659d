"""Hidden paths: what leaves the server names no folder of its machine, which is nobody's business who only reads."""

from __future__ import annotations

import re
from collections.abc import Collection, Mapping
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
    names
        Of files and folders in them. A folder that is named from the working folder, like ``lake``, may be any word of a text:
        it is taken out where one of these follows.
    """

    def __init__(self, folders: Mapping[Path, str], names: Collection[str] = ()) -> None:
        self._words: dict[str, str] = {}
        relative = [re.escape(str(folder)) for folder in folders if not folder.is_absolute() and folder != Path()]
        self._relative: re.Pattern[str] | None = None
        if relative and names:
            below = "|".join(map(re.escape, names))
            self._relative = re.compile(rf"(?<![\w./~-])(?:{'|'.join(relative)})/(?=(?:{below})\b)")
        for folder, word in folders.items():
            for path in (str(folder.expanduser().resolve()), str(folder)):
                # A lake in "." would take every full stop for itself.
                if path.startswith("/") and len(path) > 1:
                    self._words[path] = word

    def text(self, text: str) -> str:
        """Return a text without the folders."""
        for path, word in self._words.items():
            # Most texts name none, and a look is cheaper than two copies.
            if path in text:
                text = text.replace(f"{path}/", "").replace(path, word)
        if self._relative is not None:
            text = self._relative.sub("", text)
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
