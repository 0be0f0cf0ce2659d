"""Events for logs: each has a name and fields. Nothing is printed unless a program configures ``logging``.

A room has one :class:`Log`, whose loggers are those of the standard library: ``ticklake.jobs``, ``ticklake.streams``, ...
:mod:`ticklake.interfaces.logs` renders them for the commands; any other handler gets the name and the fields as one line of text.
"""

from __future__ import annotations

import logging
from collections.abc import Mapping
from typing import Any

from ticklake.core.redact import redacted

__all__ = ["Event", "Log", "one_line"]

_CALLER = 3
"""Frames from the logger up to who says what happened."""


class Event:
    """What happened: the message of a record, with the *name* of the event and its *fields*, free of secrets."""

    __slots__ = ("fields", "name")

    def __init__(self, name: str, fields: Mapping[str, Any]) -> None:
        self.name = name
        self.fields = {key: _safe(value) for key, value in fields.items() if value is not None}

    def __str__(self) -> str:
        words = [self.name]
        for key, value in self.fields.items():
            words.append(f"{key}={value!r}" if isinstance(value, str) and " " in value else f"{key}={value}")
        return " ".join(words)


class Log:
    """The events of one room; *room* is the last part of the logger's name."""

    def __init__(self, room: str) -> None:
        self._logger = logging.getLogger(f"ticklake.{room}")
        # Without a handler, Python prints warnings to standard error: a library must not.
        self._logger.addHandler(logging.NullHandler())

    def is_on(self, level: int = logging.DEBUG) -> bool:
        """Whether events of a level are wanted: ask before fields are collected that cost something."""
        return self._logger.isEnabledFor(level)

    def debug(self, event: str, /, **fields: Any) -> None:
        """Say what only matters when something is looked for."""
        self._say(logging.DEBUG, event, fields)

    def info(self, event: str, /, **fields: Any) -> None:
        """Say what happened as it should."""
        self._say(logging.INFO, event, fields)

    def warning(self, event: str, /, **fields: Any) -> None:
        """Say what did not go as it should, and goes on by itself."""
        self._say(logging.WARNING, event, fields)

    def error(self, event: str, /, failure: BaseException | None = None, **fields: Any) -> None:
        """Say what failed; a *failure* that nobody expected comes with its traceback."""
        self._say(logging.ERROR, event, fields, failure)

    def at(self, level: int, event: str, /, **fields: Any) -> None:
        """Say what happened, with a level that depends on how it went."""
        self._say(level, event, fields)

    def _say(self, level: int, event: str, fields: Mapping[str, Any], failure: BaseException | None = None) -> None:
        if self._logger.isEnabledFor(level):
            self._logger.log(level, Event(event, fields), exc_info=failure, stacklevel=_CALLER)


def one_line(text: str) -> str:
    """Return a text for a log: without secrets, and with what is no printable character written out.

    Whoever sends a request chooses its path: a line break in it would begin a line that nobody logged.
    """
    text = redacted(text)
    if text.isprintable():
        return text
    return "".join(map(_written_out, text))


def _written_out(character: str) -> str:
    if character.isprintable():
        return character
    return character.encode("unicode_escape").decode()


def _safe(value: Any) -> Any:
    if isinstance(value, bool | int | float):
        return value
    return one_line(str(value))
