"""Recognise the format of a file by its first bytes, not by its name."""

from __future__ import annotations

import csv
import json
import re
from enum import StrEnum

from ticklake.errors import InvalidData

__all__ = ["HEAD", "Format", "delimiter_of", "packing_of", "sniff"]

HEAD = 65_536
"""This many bytes from the beginning are looked at."""
_PACKINGS = (
    (b"\x1f\x8b", "gz"),
    (b"\xfd7zXZ\x00", "xz"),
    (b"\x28\xb5\x2f\xfd", "zst"),
    # A frame that readers skip (RFC 8878, 3.1.2), of which a capture has one before each of its own.
    (b"\x5c\x2a\x4d\x18", "zst"),
    (b"BZh", "bz2"),
    (b"PK\x03\x04", "zip"),
)
_LFS = b"version https://git-lfs.github.com/spec/"
_HTML = re.compile(rb"^\s*(?:<!doctype\s+html|<html|<\?xml|<!--|<head|<error)", re.IGNORECASE)
_DELIMITERS = ",;\t|"


class Format(StrEnum):
    """The format of the decompressed bytes."""

    CSV = "csv"
    JSON = "json"
    NDJSON = "ndjson"
    PARQUET = "parquet"
    FEATHER = "feather"
    SQLITE = "sqlite"
    BI5 = "bi5"


_MAGIC = (
    (b"PAR1", Format.PARQUET),
    (b"ARROW1", Format.FEATHER),
    (b"SQLite format 3\x00", Format.SQLITE),
    (b"\x5d\x00\x00", Format.BI5),
)


def packing_of(head: bytes) -> str:
    """Return how the bytes are compressed: ``gz``, ``xz``, ``zst``, ``bz2``, ``zip``; empty if they are not."""
    for magic, name in _PACKINGS:
        if head.startswith(magic):
            return name
    return ""


def sniff(head: bytes) -> Format:
    """Return the format of decompressed bytes from the first of them.

    Raises
    ------
    InvalidData
        If they hold no rows that could be read: nothing, a git-LFS pointer, a web page, or bytes of another kind.
    """
    if not head.strip():
        raise InvalidData("the file is empty")
    if head.startswith(_LFS):
        raise InvalidData("it is a git-LFS pointer, not the data: fetch the data with 'git lfs pull'")
    if _HTML.match(head):
        raise InvalidData("it is a web page, not data: the download brought an error page or needs a login")
    for magic, form in _MAGIC:
        if head.startswith(magic):
            return form
    if head.startswith(b"FEA1"):
        raise InvalidData("it is Feather version 1, which nothing current reads: write it again as version 2")
    text = head.removeprefix(b"\xef\xbb\xbf").lstrip()
    if b"\x00" in text:
        raise InvalidData("it is neither text nor a format that is known: CSV, JSON, NDJSON, Parquet, Feather")
    if text[:1] in b"[{":
        return _json_format(text)
    return Format.CSV


def delimiter_of(head: bytes) -> str:
    """Return the delimiter of a table: the one that divides each line into the same number of cells, and into most."""
    text = head.decode("utf-8", "replace")
    filled = [line for line in text.splitlines()[:20] if line.strip()]
    # The first line may be a title, and the last one cut.
    lines = filled[1:-1] or [text.split("\n", 1)[0]]
    best, most_cells = ",", 0
    for delimiter in _DELIMITERS:
        widths = {len(next(csv.reader([line], delimiter=delimiter))) for line in lines}
        cells = min(widths)
        if len(widths) == 1 and cells > most_cells:
            best, most_cells = delimiter, cells
    return best


def _json_format(text: bytes) -> Format:
    """Return NDJSON if the first line is a whole value and another follows, else JSON."""
    first, newline, after = text.partition(b"\n")
    if newline and after.lstrip()[:1] in (b"[", b"{"):
        try:
            json.loads(first)
        except ValueError:
            return Format.JSON
        return Format.NDJSON
    return Format.JSON
