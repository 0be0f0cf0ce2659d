"""Commands about keys of exchanges in the system's keyring: key set, list, delete."""

from __future__ import annotations

import sys
from typing import Annotated

import typer

from ticklake.interfaces.cli import options as o
from ticklake.interfaces.cli.output import print_json, say

__all__ = ["app"]

app = typer.Typer(no_args_is_help=True, help="Keys of exchanges in the system's keyring: set, list, delete.")

NoSecret = Annotated[bool, typer.Option("--no-secret", help="The exchange gives a key alone, without a secret.")]


@app.command("set")
def set_key(exchange: o.ExchangeName, no_secret: NoSecret = False, as_json: o.AsJson = False) -> None:
    """Keep the key and the secret of an exchange; they are asked for, or read from standard input, a line each."""
    from ticklake.errors import BadInput
    from ticklake.exchange_keys import store_keys

    name = exchange.lower()
    api_key, api_secret = _ask("key"), ""
    if not no_secret:
        api_secret = _ask("secret")
    if not api_key or not (api_secret or no_secret):
        raise BadInput(f"no key of {name} was given: write the key on one line, and the secret on the next")
    store_keys(name, api_key, api_secret)
    if as_json:
        return print_json({"exchange": name})
    say(f"the key of {name} is in the keyring; say so in ticklake.toml:")
    say(f"[exchanges.{name}]")
    say('api_key = "keyring"')
    if not no_secret:
        say('api_secret = "keyring"')
    return None


@app.command("list")
def list_stored(as_json: o.AsJson = False) -> None:
    """List the exchanges whose keys are in the keyring."""
    from ticklake.exchange_keys import list_keys

    names = list_keys()
    if as_json:
        return print_json(names)
    for name in names:
        say(name)
    return None


@app.command("delete")
def delete_key(exchange: o.ExchangeName, as_json: o.AsJson = False) -> None:
    """Remove the key of an exchange from the keyring."""
    from ticklake.exchange_keys import delete_keys

    name = exchange.lower()
    delete_keys(name)
    if as_json:
        return print_json({"exchange": name})
    return say(f"the key of {name} is gone from the keyring")


def _ask(what: str) -> str:
    """Ask for a secret; not on the command line, which other users and the shell's history see."""
    if sys.stdin.isatty():
        answer: str = typer.prompt(what, hide_input=True, default="", show_default=False)
        return answer.strip()
    return sys.stdin.readline().strip()
