"""Serving tools over MCP: standard input and output, for programs that start the server themselves."""

from __future__ import annotations

import functools
import inspect
from collections.abc import Callable
from typing import Any

from mcp.server.mcpserver import MCPServer
from mcp.server.mcpserver.exceptions import ToolError
from mcp.types import ToolAnnotations

from ticklake.app import tool
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
    server: MCPServer[Any] = MCPServer("ticklake", instructions=_INSTRUCTIONS, version=version, log_level="WARNING")
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


def _told(function: Callable[..., str]) -> Callable[..., str]:
    """Return a tool whose errors reach the model: it can mend its question by them."""

    @functools.wraps(function)
    def call(*arguments: Any, **named: Any) -> str:
        try:
            return function(*arguments, **named)
        except TicklakeError as error:
            raise ToolError(f"{type(error).__name__}: {error}") from error

    return call
