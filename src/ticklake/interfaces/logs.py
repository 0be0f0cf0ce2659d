"""Logs: the one place that configures ``logging``. Records become lines of JSON or of text; secrets never get into them.

Only programs call it, the commands of the shell among them: a program that imports Ticklake keeps its own logging.
"""

from __future__ import annotations

import datetime as dt
import logging
import sys
import threading
from collections.abc import Callable, MutableMapping
from logging.handlers import WatchedFileHandler
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ticklake.core.redact import redacted
from ticklake.errors import BadInput
from ticklake.log import Event, Log, one_line

if TYPE_CHECKING:
    from ticklake.config import LogSettings

__all__ = ["configure_logs", "log_lost_threads"]

_LOGGERS = {"ticklake": logging.DEBUG, "uvicorn.error": logging.WARNING, "py.warnings": logging.WARNING}
"""Whose records are written, and their least level: ours, those of uvicorn (whose start and end we tell ourselves), Python's warnings."""
Fields = MutableMapping[str, Any]
_LOG = Log("threads")


def configure_logs(options: LogSettings, *, warnings: bool = False) -> None:
    """Write what happens to standard error or to a file, as the settings say.

    Parameters
    ----------
    warnings
        Whether Python's warnings are records, too, and no lines of their own.

    Raises
    ------
    BadInput
        If the file cannot be written.
    """
    handler = _handler(options)
    handler.setFormatter(_formatter(is_json=_is_json(options), colors=options.file is None and sys.stderr.isatty()))
    logging.captureWarnings(warnings)
    level = logging.getLevelNamesMapping()[options.level.upper()]
    for name, least in _LOGGERS.items():
        logger = logging.getLogger(name)
        for old in list(logger.handlers):
            logger.removeHandler(old)
            old.close()
        logger.addHandler(handler)
        logger.setLevel(max(level, least))
        logger.propagate = False


def log_lost_threads(say: Callable[[str], None] = lambda _text: None) -> None:
    """Log each thread that an error ends, which Python prints between the lines of the log; *say* is called with a text, too."""

    def tell(lost: threading.ExceptHookArgs) -> None:
        name = lost.thread.name if lost.thread is not None else "unknown"
        reason = f"{lost.exc_type.__name__}: {lost.exc_value}"
        if not issubclass(lost.exc_type, SystemExit):
            _LOG.error("thread lost", failure=lost.exc_value, thread=name, reason=reason)
            say(f"the thread {name} ended: {reason}")

    threading.excepthook = tell


def _handler(options: LogSettings) -> logging.Handler:
    if options.file is None:
        return _StandardError()
    path = Path(options.file).expanduser()
    try:
        # It follows the file when logrotate moves it away.
        return WatchedFileHandler(path, encoding="utf-8")
    except OSError as error:
        raise BadInput(f"log.file={options.file} cannot be written ({error.strerror}): name another file") from error


class _StandardError(logging.StreamHandler[Any]):
    """Writes to what standard error is at that moment: whoever redirects it for a while closes the file that it was."""

    def __init__(self) -> None:
        super().__init__(sys.stderr)

    @property
    def stream(self) -> Any:
        return sys.stderr

    @stream.setter
    def stream(self, _stream: Any) -> None:
        pass


def _is_json(options: LogSettings) -> bool:
    if options.format == "auto":
        return options.file is not None or not sys.stderr.isatty()
    return options.format == "json"


def _formatter(*, is_json: bool, colors: bool) -> logging.Formatter:
    # On use: it takes a tenth of a second to load.
    import structlog

    renderer: Any = structlog.processors.JSONRenderer(default=str, ensure_ascii=False)
    if not is_json:
        renderer = structlog.dev.ConsoleRenderer(
            colors=colors, timestamp_key="time", exception_formatter=structlog.dev.plain_traceback
        )
    return structlog.stdlib.ProcessorFormatter(
        foreign_pre_chain=[_fields_of_record],
        processors=[structlog.stdlib.ProcessorFormatter.remove_processors_meta, _with_traceback, renderer],
    )


def _fields_of_record(_logger: Any, _method: str, fields: Fields) -> Fields:
    """Return what a record says, in the order in which it is read."""
    record: logging.LogRecord = fields["_record"]
    # Not the message of the record: structlog has put its arguments in and taken them away.
    text, more = one_line(str(fields["event"])), {}
    if isinstance(record.msg, Event):
        text, more = record.msg.name, record.msg.fields
    at = dt.datetime.fromtimestamp(record.created, dt.UTC).isoformat(timespec="milliseconds")
    said = {"time": at.replace("+00:00", "Z"), "level": record.levelname.lower(), "logger": record.name, "event": text}
    return {**fields, **more, **said, "exc_info": record.exc_info}


def _with_traceback(_logger: Any, _method: str, fields: Fields) -> Fields:
    """Return the fields, those of every record first, with the traceback of an error as text."""
    first = {name: fields.pop(name) for name in ("time", "level", "logger", "event")}
    failure = fields.pop("exc_info", None)
    if failure:
        fields["exception"] = redacted(logging.Formatter().formatException(failure))
    return {**first, **fields}
