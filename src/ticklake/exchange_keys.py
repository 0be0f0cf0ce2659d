"""Keys of exchanges: where they are kept, beside the settings themselves: in the system's keyring, or in files that only their owner reads."""

from __future__ import annotations

import json
import os
import stat
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from ticklake.errors import BadInput, MissingExtra

__all__ = ["KEYRING", "delete_keys", "list_keys", "resolve_key", "store_keys"]

KEYRING = "keyring"
"""The value of a setting whose secret is in the system's keyring."""
_FILE = "file:"
_SERVICE = "ticklake"
_INDEX = "exchanges"
"""The entry that lists the exchanges: keyrings cannot be asked what they hold."""
_NAMES = ("api_key", "api_secret")
_OTHERS = stat.S_IRWXG | stat.S_IRWXO


def resolve_key(exchange: str, name: str, value: str) -> str:
    """Return the secret that the setting *name* of an exchange stands for.

    Parameters
    ----------
    value
        The secret itself; or ``keyring``; or ``file:PATH``, a file that holds it and that nobody else may read.

    Raises
    ------
    BadInput
        If the keyring or the file does not have it, or others may read the file.
    MissingExtra
        If the package for keyrings is not installed.
    """
    if value == KEYRING:
        return _from_keyring(exchange, name)
    if value.startswith(_FILE):
        return _from_file(f"exchanges.{exchange}.{name}", Path(value.removeprefix(_FILE)).expanduser())
    return value


def store_keys(exchange: str, api_key: str, api_secret: str = "") -> None:
    """Keep the keys of an exchange in the system's keyring; they replace those that it had."""
    keyring = _keyring()
    with _translated(keyring):
        # First: of a key that comes without a secret, an older secret must not stay.
        _forget(keyring, exchange)
        for name, value in zip(_NAMES, (api_key, api_secret), strict=True):
            if value:
                keyring.set_password(_SERVICE, f"{exchange}/{name}", value)
        _write_index(keyring, {*_read_index(keyring), exchange})


def list_keys() -> list[str]:
    """Return the exchanges whose keys are in the keyring, sorted."""
    keyring = _keyring()
    with _translated(keyring):
        return sorted(_read_index(keyring))


def delete_keys(exchange: str) -> None:
    """Remove the keys of an exchange from the keyring.

    Raises
    ------
    BadInput
        If it has none.
    """
    keyring = _keyring()
    with _translated(keyring):
        names = set(_read_index(keyring))
        if exchange not in names:
            raise BadInput(f"the keyring has no key of {exchange!r}: 'ticklake key list' shows those that it has")
        _forget(keyring, exchange)
        _write_index(keyring, names - {exchange})


def _from_keyring(exchange: str, name: str) -> str:
    keyring = _keyring()
    with _translated(keyring):
        value = keyring.get_password(_SERVICE, f"{exchange}/{name}")
    if not value:
        raise BadInput(
            f"exchanges.{exchange}.{name} is 'keyring', and the keyring has none: run 'ticklake key set {exchange}'"
        )
    return str(value)


def _from_file(setting: str, path: Path) -> str:
    # Without the path: errors are also told to callers over HTTP, and whoever wrote the setting knows it.
    try:
        with path.open(encoding="utf-8") as file:
            # Of the open file: another one may take its place.
            _check_owner(setting, os.fstat(file.fileno()))
            value = file.read().strip()
    except (OSError, UnicodeDecodeError) as error:
        reason = getattr(error, "strerror", None) or "it is not UTF-8"
        raise BadInput(
            f"{setting} names a file that cannot be read ({reason}): check the path after 'file:'"
        ) from error
    if not value:
        raise BadInput(f"{setting} names a file that is empty: write the key into it")
    return value


def _check_owner(setting: str, status: os.stat_result) -> None:
    if os.name == "posix" and status.st_mode & _OTHERS:
        mode = stat.S_IMODE(status.st_mode)
        raise BadInput(
            f"{setting} names a file that others may read or write (mode {mode:04o}): run 'chmod 600' on it, "
            "and make a new key if others could see this one"
        )


def _keyring() -> Any:
    # On use: it looks for the keyrings of the system.
    try:
        import keyring
    except ModuleNotFoundError as error:
        raise MissingExtra(f"{error.name} is not installed: pip install 'ticklake[keyring]'") from error
    return keyring


@contextmanager
def _translated(keyring: Any) -> Iterator[None]:
    try:
        yield
    except keyring.errors.NoKeyringError as error:
        raise BadInput(
            "this system has no keyring: write the key into a file of mode 0600, and api_key = 'file:PATH' into ticklake.toml"
        ) from error
    except keyring.errors.KeyringError as error:
        raise BadInput(f"the keyring does not answer ({type(error).__name__}): unlock it, then try again") from error


def _forget(keyring: Any, exchange: str) -> None:
    for name in _NAMES:
        if keyring.get_password(_SERVICE, f"{exchange}/{name}") is not None:
            keyring.delete_password(_SERVICE, f"{exchange}/{name}")


def _read_index(keyring: Any) -> list[str]:
    names: list[str] = json.loads(keyring.get_password(_SERVICE, _INDEX) or "[]")
    return names


def _write_index(keyring: Any, names: set[str]) -> None:
    keyring.set_password(_SERVICE, _INDEX, json.dumps(sorted(names)))
