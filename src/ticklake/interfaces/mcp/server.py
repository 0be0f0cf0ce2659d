"""Serving tools over MCP: standard input and output, for programs that start the server themselves."""

from __future__ import annotations

import functools
import inspect
from collections.abc import Callable, Iterator
from typing import Any

import pydantic
from mcp.server.mcpserver import MCPServer
from mcp.server.mcpserver.exceptions import ToolError
from mcp.types import ToolAnnotations

from ticklake.app import tool
from ticklake.core.lookup import did_you_mean
from ticklake.errors import TicklakeError
from ticklake.interfaces.mcp.tools import Tools
from ticklake.lake import Lake
from ticklake.query.sql_sandbox import Sandbox

__all__ = ["make_server"]

_INSTRUCTIONS = """A lake of market data (bars, trades, order books, funding, ...), read-only. Datasets are named
exchange:kind:symbol, bars exchange:ohlcv:timeframe:symbol. Times are UTC, spans are half-open [start, end). Use `list` first,
`condition` or `gaps` before you rely on completeness, `estimate` before large reads, `query` for figures, and `snippet` for code that the
user can run. Answers are cut when they are long, and say so."""
_READ_ONLY = ToolAnnotations(read_only_hint=True, destructive_hint=False, idempotent_hint=True, open_world_hint=False)


def make_server(lake: Lake, sandbox: Sandbox, address: str) -> MCPServer[Any]:
    """Return the server of a lake's tools; who makes it closes the lake and the sandbox."""
    version = tool().removeprefix("ticklake ")
    server = _Server("ticklake", instructions=_INSTRUCTIONS, version=version, log_level="WARNING")
    for function in Tools(lake, sandbox, address).all:
        # Text and no structure: the answer would be sent twice.
        server.add_tool(
            _told(function),
            name=function.__name__,
            description=inspect.getdoc(function),
            annotations=_READ_ONLY,
            structured_output=False,
        )
    return server


class _Server(MCPServer[Any]):
    """A server that says in one line which arguments of a tool are wrong."""

    async def call_tool(self, name: str, arguments: dict[str, Any], context: Any = None) -> Any:
        """Call a tool by its name."""
        try:
            return await super().call_tool(name, arguments, context)
        except ToolError as error:
            if not isinstance(error.__cause__, pydantic.ValidationError):
                raise
            (known,) = [list(each.input_schema["properties"]) for each in await self.list_tools() if each.name == name]
            text = "; ".join(_lines(error.__cause__, known, arguments))
            raise ToolError(f"BadInput: {text}; {name} takes {', '.join(known)}") from error


def _lines(error: pydantic.ValidationError, known: list[str], arguments: dict[str, Any]) -> Iterator[str]:
    """Yield for each wrong argument which it is, and what is wrong with it."""
    for each in error.errors():
        yield f"{'.'.join(map(str, each['loc']))}: {each['msg']}"
    for name in arguments:
        if name not in known:
            yield f"there is no argument {name!r}{did_you_mean(name, known)}"


def _told(function: Callable[..., str]) -> Callable[..., str]:
    """Return a tool whose errors reach the model: it can mend its question by them."""

    @functools.wraps(function)
    def call(*arguments: Any, **named: Any) -> str:
        try:
            return function(*arguments, **named)
        except TicklakeError as error:
            raise ToolError(f"{type(error).__name__}: {error}") from error

    return call
