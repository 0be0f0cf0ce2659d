"""The command mcp: tools by which a language model reads the lake."""

from __future__ import annotations

from ticklake.interfaces.cli import options as o

__all__ = ["mcp"]


def mcp(lake_path: o.LakePath = None) -> None:
    """Let a language model read the lake: an MCP server on standard input and output, for the program that starts it.

    Its tools only read: list, describe, condition, gaps, estimate, query, snippet.
    """
    from ticklake.errors import MissingExtra

    try:
        from ticklake.interfaces.mcp.server import make_server
    except ModuleNotFoundError as error:
        raise MissingExtra(f"{error.name} is not installed: pip install 'ticklake[mcp]'") from error
    from ticklake.config import load_settings
    from ticklake.query.sql_sandbox import Sandbox

    with Sandbox(load_settings().sql.limits) as sandbox, o.opened(lake_path) as lake:
        # What the user types elsewhere, too: a snippet runs in another folder than this process.
        address = str(lake.root.resolve()) if lake.root is not None else ""
        make_server(lake, sandbox, address).run("stdio")
