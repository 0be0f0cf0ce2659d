"""The pages that show the OpenAPI document: Swagger UI at /docs and ReDoc at /redoc.

Their scripts and styles are files of the package fastapi-offline, served by this server. No script stands in a page itself, so that a policy of
``script-src 'self'`` holds; with it, no page asks another server.
"""

from __future__ import annotations

from importlib.util import find_spec
from pathlib import Path

from fastapi import FastAPI
from fastapi.responses import FileResponse, HTMLResponse, RedirectResponse, Response
from starlette.exceptions import HTTPException

from ticklake.interfaces.api.access import anyone

__all__ = ["add_pages"]

_FILES = {
    "swagger-ui-bundle.js": "text/javascript",
    "swagger-ui.css": "text/css",
    "redoc.standalone.js": "text/javascript",
    "favicon.png": "image/png",
}
_PAGE = """<!DOCTYPE html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>Ticklake</title>
<link rel="icon" href="/docs/assets/favicon.png">
{head}
</head>
<body>
{body}
</body>
</html>
"""
_SWAGGER = _PAGE.format(
    head='<link rel="stylesheet" href="/docs/assets/swagger-ui.css">',
    body='<div id="swagger-ui"></div>\n<script src="/docs/assets/swagger-ui-bundle.js"></script>\n<script src="/docs/start.js"></script>',
)
_START = """SwaggerUIBundle({{url: "{document}", dom_id: "#swagger-ui", deepLinking: true, validatorUrl: null, tryItOutEnabled: true}});
"""
_REDOC = _PAGE.format(
    head="",
    body='<redoc spec-url="{document}" disable-search="true"></redoc>\n<script src="/docs/assets/redoc.standalone.js"></script>',
)

_REDOC_POLICY = {
    # ReDoc writes its styles into the page; its scripts are those of this server alone.
    "Content-Security-Policy": "default-src 'self'; script-src 'self'; style-src 'self' 'unsafe-inline'; img-src 'self' data:; "
    "object-src 'none'; base-uri 'none'; frame-ancestors 'none'"
}


def add_pages(app: FastAPI, document: str) -> None:
    """Add the pages to an application whose OpenAPI document is at this address."""

    @app.get("/", include_in_schema=False, dependencies=[anyone()])
    async def root() -> Response:
        return RedirectResponse("/docs")

    @app.get("/docs", include_in_schema=False, dependencies=[anyone()])
    async def docs() -> Response:
        return HTMLResponse(_SWAGGER)

    @app.get("/docs/start.js", include_in_schema=False, dependencies=[anyone()])
    async def start() -> Response:
        return Response(_START.format(document=document), media_type="text/javascript")

    @app.get("/redoc", include_in_schema=False, dependencies=[anyone()])
    async def redoc() -> Response:
        return HTMLResponse(_REDOC.format(document=document), headers=_REDOC_POLICY)

    @app.get("/docs/assets/{name}", include_in_schema=False, dependencies=[anyone()])
    async def asset(name: str) -> Response:
        # Only these: a name is never joined to a path that it could leave.
        if name not in _FILES:
            raise HTTPException(404)
        return FileResponse(_folder() / name, media_type=_FILES[name], headers={"Cache-Control": "max-age=86400"})


def _folder() -> Path:
    spec = find_spec("fastapi_offline")
    if spec is None or spec.origin is None:
        raise HTTPException(501, "fastapi-offline is not installed: pip install 'ticklake[server]'")
    return Path(spec.origin).parent / "static"
