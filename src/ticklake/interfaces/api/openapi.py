"""The OpenAPI document: FastAPI's, with what it cannot know of our answers and errors."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from fastapi import FastAPI
from fastapi.openapi.utils import get_openapi
from fastapi.routing import APIRoute, RouteContext, iter_route_contexts

from ticklake.interfaces.api.access import role_of
from ticklake.interfaces.api.formats import Format
from ticklake.interfaces.api.problems import PROBLEM, Problem
from ticklake.interfaces.api.rows import HEADERS

__all__ = ["TAGS", "answers_object", "answers_rows", "answers_value", "document", "operation_id"]

TAGS = {
    "datasets": "What the lake holds.",
    "rows": "Rows as they are stored, in pages or as streams.",
    "completeness": "What is there, what is missing and why, and how sound it is.",
    "history": "Where rows came from, what was changed and refused, and what each version did.",
    "books": "Order books.",
    "computed": "Rows that are made of stored rows.",
    "frames": "What was known of a symbol at an instant.",
    "sql": "Queries over views of the lake.",
    "derived": "Rules of derived rows, and feature sets.",
    "markets": "Exchanges, and the markets that they list and listed.",
    "jobs": "What is to be done, by whichever worker.",
    "runs": "What was executed, also by your own code.",
    "schedules": "What is done again and again.",
    "streams": "What is collected live.",
    "collecting": "Bringing history in.",
    "writing": "Rows of your own, and what takes rows away.",
    "imports": "Files that are uploaded.",
    "maintenance": "What keeps files and catalog in order.",
    "live": "What changes, as it changes.",
}
_DESCRIPTION = (
    "The lake over HTTP. Times are ISO 8601 or integers of nanoseconds, spans are half-open, and every read takes `version` or `at`. "
    "Errors are problems (RFC 9457) whose `title` is the name of the error in Python and whose `detail` names the cure."
)
_PROBLEMS = {
    400: "A parameter cannot be meant; the detail names it.",
    401: "A token is needed.",
    403: "The role of the caller does not include this.",
    404: "The lake has nothing of this name.",
    405: "The address does not take this method.",
    414: "The address is too long.",
    429: "Too many requests at a time.",
    500: "The lake is damaged, or the server has a defect.",
    501: "An optional package is not installed on the server.",
    503: "Not now; the header Retry-After says when.",
}
_PROBLEMS_OF_READS = {
    406: "No format that the request accepts.",
    410: "The version was vacuumed: it can no longer be read.",
}
_PROBLEMS_OF_WORK = {
    408: "The body came too slowly.",
    409: "It contradicts what is there by now.",
    413: "The body is too large, or a query needs more memory or time than it may use.",
    415: "The body is of a kind that is not taken.",
    502: "The exchange answered with an error.",
    507: "The disk is full.",
}
_SCHEME_NAME = "bearer"
_SCHEME = {
    "type": "http",
    "scheme": "bearer",
    "description": "A token of `ticklake token create`. Once a lake has one, each request needs one with the role `x-role`, or a higher one.",
}
_HEADER_WORDS = {
    "rows": ("integer", "How many rows the answer has."),
    "complete": ("boolean", "Whether it has all that was asked for."),
    "next": ("string", "The cursor of the next page, if there is one."),
    "version": ("integer", "The version of the lake that the rows are of."),
    "condition": ("string", "complete, gaps, pending, missing or unknown."),
}
_EXAMPLE_ROWS = {
    "rows": 1,
    "complete": True,
    "next": None,
    "version": 12,
    "condition": "complete",
}
_ENVELOPE = {
    "type": "object",
    "title": "Rows",
    "required": ["rows", "complete", "next", "version", "condition", "data"],
    "properties": {
        "rows": {"type": "integer", "minimum": 0},
        "complete": {"type": "boolean"},
        "next": {"type": ["string", "null"]},
        "version": {"type": "integer", "minimum": 0},
        "condition": {"enum": ["complete", "gaps", "pending", "missing", "unknown", None]},
        "data": {
            "description": "A list of rows, or an object of columns with layout=columns.",
            "type": ["array", "object"],
        },
    },
}


def operation_id(route: APIRoute) -> str:
    """Return the name of an operation: those of two subjects may have one name."""
    return ".".join([*map(str, route.tags[:1]), route.name])


def answers_rows(example: Mapping[str, Any], facts: Mapping[str, Any] | None = None) -> dict[int | str, dict[str, Any]]:
    """Return what a route answers that returns rows, of which *example* is one."""
    shown = {**_EXAMPLE_ROWS, **(facts or {}), "data": [dict(example)]}
    content: dict[str, Any] = {"application/json": {"schema": _ENVELOPE, "example": shown}}
    for form in Format:
        kind = form.media_type.partition(";")[0]
        content.setdefault(kind, {"schema": {"type": "string", "format": "binary"}})
    headers: dict[str, Any] = {
        "ETag": {"schema": {"type": "string"}, "description": "For If-None-Match, of stored rows."}
    }
    for name, header in HEADERS.items():
        kind, words = _HEADER_WORDS[name]
        headers[header] = {"schema": {"type": kind}, "description": words}
    return {
        200: {"description": "Rows, in the format that was asked for.", "content": content, "headers": headers},
        304: {"description": "What the client has is what there is."},
    }


def answers_value(example: Any, *, of_version: bool = True, **facts: Any) -> dict[int | str, dict[str, Any]]:
    """Return what a route answers that returns a value, of which *example* is one, with *facts* beside it."""
    properties: dict[str, Any] = {"data": {"description": "What the verb of the lake returns."}}
    shown: dict[str, Any] = {}
    if of_version:
        properties["version"] = {"type": "integer", "minimum": 0}
        shown["version"] = 12
    schema = {"type": "object", "required": [*properties, *facts], "properties": properties}
    content = {"application/json": {"schema": schema, "example": {**shown, **facts, "data": example}}}
    return {200: {"description": "The answer.", "content": content}}


def answers_object(example: Mapping[str, Any], status: int = 200) -> dict[int | str, dict[str, Any]]:
    """Return what a route answers that returns an object of its own form, of which *example* is one."""
    return {status: {"description": "The answer.", "content": {"application/json": {"example": dict(example)}}}}


def document(app: FastAPI) -> dict[str, Any]:
    """Return the OpenAPI document of an application; it is made once."""
    if app.openapi_schema is None:
        made = get_openapi(
            title=app.title,
            version=app.version,
            description=_DESCRIPTION,
            routes=app.routes,
            separate_input_output_schemas=False,
        )
        schemas = made.setdefault("components", {}).setdefault("schemas", {})
        # Invalid parameters are problems, too: FastAPI's own form of them is never sent.
        for name in ("HTTPValidationError", "ValidationError"):
            schemas.pop(name, None)
        schemas["Problem"] = _problem_schema()
        made["components"]["securitySchemes"] = {_SCHEME_NAME: _SCHEME}
        for context in iter_route_contexts(app.routes):
            _describe_access(made, context)
        for method, operation in _operations(made):
            _describe(method, operation)
        made["tags"] = list(_tags(made))
        app.openapi_schema = made
    return app.openapi_schema


def _describe_access(made: Mapping[str, Any], context: RouteContext) -> None:
    """Say of each operation of a route which role its callers need."""
    methods = made["paths"].get(context.path, {})
    for method in context.methods or ():
        operation = methods.get(method.lower())
        if operation is None:
            continue
        role = role_of(context.dependant)
        operation["security"] = []
        if role is not None:
            operation["security"] = [{_SCHEME_NAME: []}]
            operation["x-role"] = role.value


def _operations(made: Mapping[str, Any]) -> Iterator[tuple[str, dict[str, Any]]]:
    for methods in made["paths"].values():
        yield from methods.items()


def _describe(method: str, operation: dict[str, Any]) -> None:
    responses = operation["responses"]
    responses.pop("422", None)
    problems = dict(_PROBLEMS)
    if method == "get":
        problems |= _PROBLEMS_OF_READS
    else:
        problems |= _PROBLEMS_OF_WORK | _PROBLEMS_OF_READS
    for status, words in problems.items():
        responses.setdefault(str(status), _problem(status, words))
    operation["responses"] = dict(sorted(responses.items()))
    for parameter in operation.get("parameters", ()):
        parameter["schema"] = _without_null(parameter["schema"])


def _problem(status: int, words: str) -> dict[str, Any]:
    schema = {"$ref": "#/components/schemas/Problem"}
    example = {
        "type": "about:blank",
        "title": "BadInput",
        "status": status,
        "detail": words,
        "retriable": status == 503,
    }
    return {"description": words, "content": {PROBLEM: {"schema": schema, "example": example}}}


def _problem_schema() -> dict[str, Any]:
    return Problem.model_json_schema()


def _without_null(schema: Mapping[str, Any]) -> dict[str, Any]:
    """Return the schema of a parameter that may be left out, which says nothing of a value null: no address can have it."""
    choices = [choice for choice in schema.get("anyOf", ()) if choice.get("type") != "null"]
    if len(choices) != 1:
        return dict(schema)
    rest = {name: value for name, value in schema.items() if name != "anyOf"}
    return {**choices[0], **rest}


def _tags(made: Mapping[str, Any]) -> Iterator[dict[str, str]]:
    """Yield the subjects, those that others add at the end."""
    for name, words in TAGS.items():
        yield {"name": name, "description": words}
    others: dict[str, None] = {}
    for _, operation in _operations(made):
        others.update(dict.fromkeys(operation.get("tags", ())))
    for name in others:
        if name not in TAGS:
            yield {"name": name}
