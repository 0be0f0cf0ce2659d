"""The MCP server: tools by which a language model reads a lake."""
