"""Sessions: browsers sign in with a token, and get a cookie."""

from __future__ import annotations

import html
from typing import Annotated, Any
from urllib.parse import parse_qsl

from fastapi import APIRouter, Depends, Request, Response
from fastapi.responses import HTMLResponse, JSONResponse, RedirectResponse

from ticklake.core.access import Caller, Role
from ticklake.errors import BadInput
from ticklake.interfaces.api.access import Allowed, anyone
from ticklake.interfaces.api.callers import Session, csrf_token
from ticklake.interfaces.api.head import COOKIE
from ticklake.interfaces.api.openapi import answers_object
from ticklake.interfaces.api.server import server_of

__all__ = ["api_router", "router"]

router = APIRouter(tags=["sessions"])
api_router = APIRouter(tags=["sessions"])
_PAGE = """<!doctype html>
<html lang="en"><meta charset="utf-8"><title>Sign in to Ticklake</title>
<h1>Sign in</h1>
<form method="post" action="/login"><input type="hidden" name="next" value="{next}">
<label>Token <input name="token" type="password" autocomplete="current-password" autofocus required></label>
<button>Sign in</button></form>
</html>
"""


@router.get("/login", dependencies=[anyone()], include_in_schema=False)
async def login_page(next: str = "/") -> HTMLResponse:  # noqa: A002 - the usual name of the parameter
    """Return the form to sign in."""
    return HTMLResponse(_PAGE.format(next=html.escape(_local(next))))


@router.post("/login", dependencies=[anyone()], include_in_schema=False)
async def login(request: Request) -> Response:
    """Begin a session with a token, sent as JSON (``{"token": ...}``) or by a form."""
    is_form = request.headers.get("content-type", "").startswith("application/x-www-form-urlencoded")
    sent = await _sent(request, is_form=is_form)
    address = ""
    if request.client is not None:
        address = request.client.host
    caller, session = await server_of(request).callers.sign_in(str(sent.get("token", "")).strip(), address)
    # For the audit log: when the request came, nobody was known.
    request.state.caller = caller
    request.state.audit = "signed in"
    answer: Response = JSONResponse(_facts(caller, session.value))
    # A browser that sent a form shows what comes back; a program wants to know what it may do.
    if is_form:
        answer = RedirectResponse(_local(str(sent.get("next", "/"))), 303)
    _set_cookie(answer, request, session)
    return answer


@router.post("/logout", dependencies=[anyone()], include_in_schema=False)
async def logout(request: Request) -> Response:
    """End the session."""
    if request.state.session is not None:
        await server_of(request).callers.sign_out(request.state.session)
    request.state.audit = "signed out"
    answer = Response(status_code=204)
    answer.delete_cookie(COOKIE, httponly=True, samesite="strict")
    return answer


@api_router.get(
    "/session",
    summary="The caller",
    responses=answers_object({"name": "dashboard", "role": "read", "csrf_token": None}),
)
async def session(request: Request, caller: Annotated[Caller, Depends(Allowed(Role.READ))]) -> dict[str, Any]:
    """Return who the caller is, and what a page sends as ``X-CSRF-Token``."""
    return _facts(caller, request.state.session)


async def _sent(request: Request, *, is_form: bool) -> dict[str, Any]:
    if is_form:
        text = (await request.body()).decode("utf-8", "replace")
        return dict(parse_qsl(text, keep_blank_values=True, max_num_fields=10))
    try:
        sent = await request.json()
    except (ValueError, RecursionError):
        sent = None
    if not isinstance(sent, dict):
        raise BadInput('the body is no JSON object: send {"token": "tl_..."}')
    return sent


def _facts(caller: Caller, session: str | None) -> dict[str, Any]:
    token = None
    if session is not None:
        token = csrf_token(session)
    return {"name": caller.name, "role": caller.role.value, "csrf_token": token}


def _set_cookie(answer: Response, request: Request, session: Session) -> None:
    answer.set_cookie(
        COOKIE,
        session.value,
        max_age=session.seconds,
        path="/",
        httponly=True,
        samesite="strict",
        secure=request.url.scheme == "https",
    )


def _local(path: str) -> str:
    """Return a path of this server: an address of others, also one in disguise, would be a trap."""
    if path.startswith("/") and not path.startswith(("//", "/\\")) and path.isprintable():
        return path
    return "/"
