"""Rows of a remote lake: whole stored files as they are, all others as Arrow."""

from __future__ import annotations

import io
import zlib
from base64 import b64decode
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from typing import Any

import polars as pl

from ticklake.core.dataset import Dataset
from ticklake.core.kinds import KINDS, Kind
from ticklake.core.segment import unpack_blocks
from ticklake.errors import BadInput, BadResponse, CatalogError, MissingSegment
from ticklake.interfaces.client.connection import ARROW, JSON, Answer, Connection, json_of
from ticklake.interfaces.client.wire import in_path, parameters

__all__ = ["PARQUET", "ask_with_rows", "frame_of", "load_parts", "load_rows", "pieces_of"]

PARQUET = "application/vnd.apache.parquet"
_AT_ONCE = 4
"""Parts that are fetched at the same time."""
_ATTEMPTS = 5
"""How often a read is planned because files were replaced and removed meanwhile."""
_PIECE = 700_000
"""Bytes of a body; servers take a MiB unless they are told otherwise."""
_Part = Mapping[str, Any]


def frame_of(answer: Answer) -> pl.DataFrame:
    """Return the rows of an answer in Arrow.

    Raises
    ------
    BadResponse
        If it is none.
    """
    try:
        return pl.read_ipc_stream(io.BytesIO(answer.content))
    except (pl.exceptions.PolarsError, pl.exceptions.PanicException, OSError) as error:
        raise BadResponse(
            f"{answer.url.host} sent no rows in Arrow: is it a server of a lake, of this version?"
        ) from error


def ask_with_rows(connection: Connection, path: str, data: Any, asked: Mapping[str, str]) -> pl.DataFrame:
    """Return the answer to rows of the caller's: one row for each. They are sent in pieces, as bodies of requests are small.

    Raises
    ------
    BadInput
        If they are no frame.
    """
    answers: list[pl.DataFrame] = []
    for piece in pieces_of(data):
        answer = connection.send("POST", path, piece, asked, accept=ARROW, is_read=True)
        # All pieces are answered of one version, whoever writes meanwhile.
        asked = {**asked, "version": answer.headers["ticklake-version"]}
        answers.append(frame_of(answer))
    return pl.concat(answers)


def pieces_of(data: Any) -> Iterator[bytes]:
    """Yield a frame of Polars, pandas or Arrow as Arrow streams of bounded size; one without rows as one stream, too.

    Raises
    ------
    BadInput
        If it is no frame.
    """
    rows = _as_frame(data)
    whole = _arrow(rows)
    count = max(rows.height * _PIECE // max(len(whole), 1), 1)
    if rows.height <= count:
        yield whole
        return
    for piece in rows.iter_slices(count):
        yield _arrow(piece)


def _as_frame(data: Any) -> pl.DataFrame:
    """Return a frame of Polars, pandas or Arrow as one of Polars.

    Raises
    ------
    BadInput
        If it is no frame.
    """
    if isinstance(data, pl.DataFrame):
        return data
    if hasattr(data, "__arrow_c_stream__") and not isinstance(data, pl.LazyFrame | pl.Series):
        # pandas passes an index without a name on as a column of this name.
        return pl.DataFrame(data).drop(pl.selectors.starts_with("__index_level_"))
    raise BadInput(f"{type(data).__name__} is no frame: pass a Polars, pandas or Arrow frame, or the name of a dataset")


def _arrow(rows: pl.DataFrame) -> bytes:
    buffer = io.BytesIO()
    rows.write_ipc_stream(buffer)
    return buffer.getvalue()


def load_rows(connection: Connection, dataset: Dataset, arguments: Mapping[str, Any]) -> pl.DataFrame:
    """Return rows that the server reads."""
    answer = connection.get(f"/datasets/{in_path(dataset)}/rows", parameters(arguments), ARROW)
    return frame_of(answer)


def load_parts(
    connection: Connection, dataset: Dataset, arguments: Mapping[str, Any], columns: Sequence[str] | None
) -> pl.DataFrame:
    """Return the rows of a span, of which whole stored files are read here: the server only sends their bytes.

    Parameters
    ----------
    arguments
        ``start`` and ``end``, and ``version`` or ``at`` if the rows are not to be the newest.

    Raises
    ------
    TicklakeError
        As the same read of a lake at hand.
    """
    for attempt in range(1, _ATTEMPTS + 1):
        try:
            return _load_planned(connection, dataset, arguments, columns)
        except (MissingSegment, CatalogError):
            # Compaction replaced files and vacuum removed them: the newest version has others, an older one is gone.
            is_pinned = arguments.get("version") is not None or arguments.get("at") is not None
            if is_pinned or attempt == _ATTEMPTS:
                raise
    raise AssertionError("unreachable")


def _load_planned(
    connection: Connection, dataset: Dataset, arguments: Mapping[str, Any], columns: Sequence[str] | None
) -> pl.DataFrame:
    asked = parameters({**arguments, "columns": columns})
    answer = connection.get(f"/datasets/{in_path(dataset)}/segments", asked, f"{JSON}, {ARROW}")
    if answer.headers.get("content-type", "").startswith(ARROW):
        # A few rows come at once, and spare a request.
        return frame_of(answer)
    plan = json_of(answer)
    known = Dataset.parse(plan["dataset"])
    version, parts = plan["version"], plan["parts"]
    if not any(part["segment"] for part in parts):
        return load_rows(connection, known, {**arguments, "at": None, "version": version, "columns": columns})
    read = partial(_read_part, connection, known, version, columns or KINDS[known.kind].names)
    if len(parts) == 1:
        return read(parts[0]).collect()
    with ThreadPoolExecutor(_AT_ONCE, "ticklake-client") as pool:
        return pl.concat(list(pool.map(read, parts))).collect()


def _read_part(
    connection: Connection, dataset: Dataset, version: int, columns: Sequence[str], part: _Part
) -> pl.LazyFrame:
    if part["segment"] is None:
        wanted = {"start": part["start"], "end": part["end"], "version": version, "columns": columns}
        return load_rows(connection, dataset, wanted).lazy()
    answer = connection.get(f"/segments/{part['segment']}", {"version": str(version)}, PARQUET)
    data = answer.content
    if not _is_as_written(data, part):
        # The server reads it and says what is wrong with it, as a lake at hand does.
        wanted = {"start": part["start"], "end": part["end"], "version": version, "columns": columns}
        return load_rows(connection, dataset, wanted).lazy()
    return _scan(data, KINDS[dataset.kind], columns)


def _scan(data: bytes, kind: Kind, columns: Sequence[str]) -> pl.LazyFrame:
    """Return the rows of a stored file: columns that are hidden, and those of the dataset's name, are left out."""
    reads = kind.reads
    return pl.scan_parquet(io.BytesIO(data)).select([reads[name] for name in columns])


def _is_as_written(data: bytes, part: _Part) -> bool:
    """Whether the bytes of a file are those that were written: the checksums of its blocks tell."""
    if len(data) != part["bytes"]:
        return False
    view = memoryview(data)
    blocks = unpack_blocks(b64decode(part["blocks"]))
    return all(zlib.crc32(view[block.offset : block.offset + block.length]) == block.crc for block in blocks)
