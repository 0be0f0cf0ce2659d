"""What a file is, told from its first bytes and not from its name."""

from __future__ import annotations

import csv
import json
import re
from enum import StrEnum

from ticklake.errors import InvalidData

__all__ = ["HEAD", "Format", "delimiter_of", "packing_of", "sniff"]

HEAD = 65_536
"""So many bytes from the beginning are looked at."""
_PACKINGS = (
    (b"\x1f\x8b", "gz"),
    (b"\xfd7zXZ\x00", "xz"),
    (b"\x28\xb5\x2f\xfd", "zst"),
    (b"BZh", "bz2"),
    (b"PK\x03\x04", "zip"),
)
_LFS = b"version https://git-lfs.github.com/spec/"
_HTML = re.compile(rb"^\s*(?:<!doctype\s+html|<html|<\?xml|<!--|<head|<error)", re.IGNORECASE)
_DELIMITERS = ",;\t|"


class Format(StrEnum):
    """What stands inside, once it is unpacked."""

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
    """Return how the bytes are packed: ``gz``, ``xz``, ``zst``, ``bz2``, ``zip``, or nothing if they are not."""
    return next((name for magic, name in _PACKINGS if head.startswith(magic)), "")


def sniff(head: bytes) -> Format:
    """Return the format of unpacked bytes from the first of them.

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
    known = next((form for magic, form in _MAGIC if head.startswith(magic)), None)
    if known is not None:
        return known
    if head.startswith(b"FEA1"):
        raise InvalidData("it is Feather version 1, which nothing current reads: write it anew as version 2")
    text = head.removeprefix(b"\xef\xbb\xbf").lstrip()
    if b"\x00" in text:
        raise InvalidData("it is neither text nor a format that is known: CSV, JSON, NDJSON, Parquet, Feather")
    return _kind_of_json(text) if text[:1] in b"[{" else Format.CSV


def delimiter_of(head: bytes) -> str:
    """Return what divides the cells of a table: what the lines have most of, the same number in each."""
    lines = [line for line in head.decode("utf-8", "replace").splitlines()[:20] if line.strip()][1:-1]
    lines = lines or [head.decode("utf-8", "replace").split("\n", 1)[0]]
    counts = {mark: {len(next(csv.reader([line], delimiter=mark))) for line in lines} for mark in _DELIMITERS}
    steady = {mark: min(count) for mark, count in counts.items() if len(count) == 1}
    return max(steady or {",": 1}, key=lambda mark: (steady or {",": 1})[mark])


def _kind_of_json(text: bytes) -> Format:
    """Text that begins a JSON value is NDJSON if its first line is a whole one and another follows."""
    first, mark, after = text.partition(b"\n")
    if mark and after.lstrip()[:1] in (b"[", b"{"):
        try:
            json.loads(first)
        except ValueError:
            return Format.JSON
        return Format.NDJSON
    return Format.JSON
