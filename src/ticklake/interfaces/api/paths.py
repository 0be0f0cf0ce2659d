"""Paths of the server's machine: texts that were written for whoever runs it are told to callers without them."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import Any

__all__ = ["Paths"]


class Paths:
    """Hides folders in texts.

    Parameters
    ----------
    folders
        Each with what is written in its place.
    """

    def __init__(self, folders: Iterable[tuple[Path | None, str]]) -> None:
        self._words: dict[str, str] = {}
        for folder, words in folders:
            if folder is not None:
                for path in (str(folder.expanduser().resolve()), str(folder)):
                    # A lake in "." would take every full stop for itself.
                    if len(path) > 1 and path.startswith("/"):
                        self._words[path] = words

    def hide(self, value: Any) -> Any:
        """Return a text, or what JSON is made of, without the folders."""
        if isinstance(value, str):
            for path, words in self._words.items():
                value = value.replace(f"{path}/", "").replace(path, words)
            return value
        if isinstance(value, dict):
            return {name: self.hide(item) for name, item in value.items()}
        if isinstance(value, list):
            return list(map(self.hide, value))
        return value
