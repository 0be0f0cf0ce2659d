"""Tokens and the audit log: who may call, and who did what."""

from __future__ import annotations

from typing import Annotated, Any

from fastapi import APIRouter, Path, Query, Request
from pydantic import BaseModel, ConfigDict, Field

from ticklake.core.access import Role
from ticklake.interfaces.api.access import allow
from ticklake.interfaces.api.openapi import answers_object
from ticklake.interfaces.api.server import server_of
from ticklake.interfaces.schema import to_json, token_to_json

__all__ = ["router"]

router = APIRouter(tags=["access"], dependencies=[allow(Role.ADMIN)])
Limit = Annotated[int, Query(ge=1, le=1000, description="How many entries.")]
TokenName = Annotated[str, Path(description="The name of the token.", examples=["dashboard"])]
Before = Annotated[int | None, Query(ge=1, description="The id of an entry: those before it.")]
_TOKEN = {"name": "dashboard", "role": "read", "state": "valid"}


class NewTokenBody(BaseModel):
    """A token that is to be made."""

    model_config = ConfigDict(extra="forbid")

    name: str = Field(examples=["dashboard"])
    role: Role = Field(examples=["read"])
    expires: str | None = Field(None, description="Valid for so long; for ever by default.", examples=["30d"])


@router.get("/tokens", summary="Tokens", responses=answers_object({"data": [_TOKEN]}))
async def list_tokens(request: Request) -> dict[str, Any]:
    """List the tokens, also those that expired or were revoked, without their secrets."""
    server = server_of(request)
    tokens = await server.read(server.lake.tokens.list)
    now = server.lake.engine.now()
    return {"data": [token_to_json(token, now) for token in tokens]}


@router.post(
    "/tokens",
    status_code=201,
    summary="Make a token",
    responses=answers_object({**_TOKEN, "token": "tl_..."}, 201),
)
async def create_token(request: Request, body: NewTokenBody) -> dict[str, Any]:
    """Make a token; ``token`` is its secret, which is shown this once."""
    server = server_of(request)
    new = await server.write(server.lake.tokens.create, body.name, body.role, expires=body.expires)
    server.callers.forget()
    request.state.audit = f"token {new.token.name}, {new.token.role}"
    created: dict[str, Any] = to_json(new)
    return created


@router.delete("/tokens/{name}", summary="Revoke a token", responses=answers_object({**_TOKEN, "state": "revoked"}))
async def revoke_token(request: Request, name: TokenName) -> dict[str, Any]:
    """End a token at once, with the sessions that were begun with it."""
    server = server_of(request)
    revoked = await server.write(server.lake.tokens.revoke, name)
    # Else this process would take the token for a moment longer.
    server.callers.forget()
    request.state.audit = f"token {revoked.name}"
    return token_to_json(revoked, server.lake.engine.now())


@router.get("/audit", summary="The audit log", responses=answers_object({"next": None, "data": []}))
async def audit_log(request: Request, limit: Limit = 100, before: Before = None) -> dict[str, Any]:
    """List who changed what, who signed in, and who was refused, the last one first; ``next`` is where to go on from."""
    server = server_of(request)
    entries = await server.read(server.lake.admin.audit_log, limit, before=before)
    after = None
    if len(entries) == limit:
        after = entries[-1].id
    return {"next": after, "data": to_json(entries)}
