"""Commands about who may call a server: token create, list, revoke; and what they did: audit."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Any

import typer

from ticklake.interfaces.cli import options as o
from ticklake.interfaces.cli.output import print_error, print_json, print_table, say

if TYPE_CHECKING:
    from ticklake.core.audit_log import AuditEntry
    from ticklake.core.tokens import Token

__all__ = ["app", "audit"]

app = typer.Typer(no_args_is_help=True, help="Who may call a server of the lake: create, list, revoke.")

Name = Annotated[str, typer.Argument(metavar="NAME", help="How lists and the audit log call the token.")]
RoleName = Annotated[
    str, typer.Option("--role", metavar="ROLE", help="read, collect or admin; each includes those before.")
]
Expires = Annotated[
    str | None,
    typer.Option("--expires", metavar="LENGTH", help="Valid for so long: 12h, 30d, 52w. [default: for ever]"),
]
Last = Annotated[int, typer.Option("--last", min=1, help="How many entries.")]


@app.command("create")
def create_token(
    name: Name, role: RoleName, expires: Expires = None, lake_path: o.LakePath = None, as_json: o.AsJson = False
) -> None:
    """Make a token. It is printed once: the lake keeps only its SHA-256."""
    with o.opened(lake_path, create=True) as lake:
        new = lake.tokens.create(name, role, expires=expires)
    if as_json:
        return print_json(new)
    # Alone on standard output, so that a script can take it: TOKEN=$(ticklake token create ...).
    say(new.secret)
    return print_error(
        f"token {name} is made, and not shown again: keep it as a password, or revoke it and make another"
    )


@app.command("list")
def list_tokens(lake_path: o.LakePath = None, as_json: o.AsJson = False) -> None:
    """List the tokens, also those that expired or were revoked."""
    with o.opened(lake_path) as lake:
        tokens = lake.tokens.list()
        now = lake.engine.now()
    if as_json:
        from ticklake.interfaces.schema import token_to_json

        return print_json([token_to_json(token, now) for token in tokens])
    columns = ["name", "role", "state", "created", "expires", "revoked", "last used"]
    return print_table(columns, (_token_row(token, now) for token in tokens))


@app.command("revoke")
def revoke_token(name: Name, lake_path: o.LakePath = None, as_json: o.AsJson = False) -> None:
    """End a token at once, with the sessions of browsers that signed in with it."""
    with o.opened(lake_path) as lake:
        revoked = lake.tokens.revoke(name)
    if as_json:
        return print_json(revoked)
    return say(f"token {name} is valid no more")


def audit(last: Last = 100, lake_path: o.LakePath = None, as_json: o.AsJson = False) -> None:
    """Show who changed what over HTTP, who signed in, and who was refused, the last one first."""
    with o.opened(lake_path) as lake:
        entries = lake.admin.audit_log(last)
    if as_json:
        return print_json(entries)
    columns = ["at", "caller", "role", "address", "method", "path", "status", "count", "detail"]
    return print_table(columns, map(_audit_row, entries), numbers=("status", "count"))


def _token_row(token: Token, now: int) -> tuple[Any, ...]:
    times = map(o.moment, (token.created_at, token.expires_at, token.revoked_at, token.used_at))
    return token.name, token.role.value, token.state(now), *times


def _audit_row(entry: AuditEntry) -> tuple[Any, ...]:
    request = (entry.address, entry.method, entry.path, entry.status)
    return o.moment(entry.at), entry.caller, entry.role, *request, entry.count, entry.detail
