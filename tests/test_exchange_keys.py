"""Keys of exchanges in the system's keyring, and in files that only their owner reads."""

from __future__ import annotations

import json
import sys

import keyring
import keyring.backends.fail
import pytest
from keyring.backend import KeyringBackend
from keyring.errors import KeyringLocked, PasswordDeleteError
from typer.testing import CliRunner

from ticklake.app import wire_source
from ticklake.config import Settings, load_settings
from ticklake.errors import BadInput, MissingExtra
from ticklake.exchange_keys import list_keys, resolve_key, store_keys
from ticklake.interfaces.cli.main import app


class Memory(KeyringBackend):
    """A keyring in memory."""

    priority = 1

    def __init__(self):
        super().__init__()
        self.held = {}

    def get_password(self, service, username):
        return self.held.get((service, username))

    def set_password(self, service, username, password):
        self.held[service, username] = password

    def delete_password(self, service, username):
        if (service, username) not in self.held:
            raise PasswordDeleteError(username)
        del self.held[service, username]


class Locked(Memory):
    def get_password(self, service, username):
        raise KeyringLocked("secret words of the system")


@pytest.fixture(autouse=True)
def ring():
    before, memory = keyring.get_keyring(), Memory()
    keyring.set_keyring(memory)
    yield memory
    keyring.set_keyring(before)


@pytest.fixture
def shell():
    runner = CliRunner()
    return lambda *arguments, typed=None: runner.invoke(app, ["key", *arguments], input=typed)


def secrets_of(monkeypatch, settings):
    """What a source of Binance gets."""
    given = {}
    monkeypatch.setattr(
        "ticklake.sources.registry.Registry.make", lambda _self, _exchange, options: given.update(options.secrets)
    )
    monkeypatch.setattr("ticklake.app._with_archives", lambda *_arguments: None)
    wire_source("binance", settings)
    return given


def test_a_key_is_set_used_listed_and_deleted(shell, monkeypatch):
    done = shell("set", "Binance", typed="the-key\nthe-secret\n")
    assert (done.exit_code, "the-key" in done.output, 'api_key = "keyring"' in done.output) == (0, False, True)
    settings = Settings(exchanges={"binance": {"api_key": "keyring", "api_secret": "keyring"}})
    assert secrets_of(monkeypatch, settings) == {"apiKey": "the-key", "secret": "the-secret"}
    assert json.loads(shell("list", "--json").stdout) == ["binance"]
    assert shell("delete", "binance").exit_code == 0
    assert shell("list").stdout == ""
    with pytest.raises(BadInput, match="the keyring has none: run 'ticklake key set binance'"):
        secrets_of(monkeypatch, settings)


def test_a_key_without_a_secret_replaces_one_with_a_secret(shell, ring):
    store_keys("binance", "a", "b")
    assert shell("set", "binance", "--no-secret", typed="c\n").exit_code == 0
    assert sorted(ring.held.values()) == ['["binance"]', "c"]


@pytest.mark.parametrize("typed", ["", "\n\n", "only-a-key\n"])
def test_a_key_that_is_not_typed_is_not_stored(shell, ring, typed):
    refused = shell("set", "binance", typed=typed)
    assert (refused.exit_code, ring.held) == (2, {})
    assert "only-a-key" not in refused.output


def test_an_unknown_key_is_not_deleted(shell):
    refused = shell("delete", "binance")
    assert (refused.exit_code, "'ticklake key list' shows" in refused.stderr) == (2, True)


def test_a_system_without_a_keyring_says_what_else_there_is():
    keyring.set_keyring(keyring.backends.fail.Keyring())
    with pytest.raises(BadInput, match=r"no keyring: write the key into a file of mode 0600"):
        store_keys("binance", "a")


def test_a_keyring_that_is_locked_is_one_line_without_its_words():
    keyring.set_keyring(Locked())
    with pytest.raises(BadInput, match=r"KeyringLocked\): unlock it") as refused:
        list_keys()
    assert "secret words" not in str(refused.value)


def test_without_the_package_the_extra_is_named(monkeypatch):
    monkeypatch.setitem(sys.modules, "keyring", None)
    with pytest.raises(MissingExtra, match=r"pip install 'ticklake\[keyring\]'"):
        list_keys()


@pytest.fixture
def key_file(tmp_path):
    path = tmp_path / "binance.key"
    path.write_text("from-the-file\n")
    path.chmod(0o600)
    return path


def test_a_key_is_read_from_a_file_of_its_owner(key_file, monkeypatch):
    settings = Settings(exchanges={"binance": {"api_key": f"file:{key_file}"}})
    assert secrets_of(monkeypatch, settings) == {"apiKey": "from-the-file"}
    assert "from-the-file" not in repr(settings)


@pytest.mark.parametrize("mode", [0o640, 0o604, 0o620, 0o644, 0o660, 0o777])
def test_a_file_that_others_may_read_or_write_is_refused_with_the_cure(key_file, mode):
    key_file.chmod(mode)
    with pytest.raises(BadInput, match=rf"others may read or write \(mode {mode:04o}\): run 'chmod 600'") as refused:
        resolve_key("binance", "api_key", f"file:{key_file}")
    assert "from-the-file" not in str(refused.value)
    assert str(key_file) not in str(refused.value)


def test_a_file_that_is_no_key_is_refused(key_file):
    key_file.write_bytes(b"\xff")
    for path, words in (
        (key_file, "it is not UTF-8"),
        (key_file.parent / "none", "No such file"),
        (key_file.parent, "Is a directory"),
    ):
        with pytest.raises(BadInput, match=words):
            resolve_key("binance", "api_key", f"file:{path}")
    key_file.write_text("\n")
    with pytest.raises(BadInput, match="is empty"):
        resolve_key("binance", "api_key", f"file:{key_file}")


def test_the_settings_that_are_shown_hold_no_secret(key_file, monkeypatch):
    monkeypatch.setenv("TICKLAKE_EXCHANGES__BINANCE__API_KEY", f"file:{key_file}")
    assert load_settings().exchange("binance").secret("binance", "api_key") == "from-the-file"
    shown = CliRunner().invoke(app, ["config", "--json"])
    assert (shown.exit_code, "from-the-file" in shown.output) == (0, False)
