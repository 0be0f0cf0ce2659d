"""Segments: what is encoded comes back exactly, by us and by other engines; damage is named."""

import gc
import io
import json
import sys
from dataclasses import replace

import duckdb
import polars as pl
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ticklake.core.coverage import Covered, Found
from ticklake.core.dataset import BAR_KINDS, Dataset
from ticklake.core.kinds import KINDS, PROVENANCE, TIME
from ticklake.core.provenance import Provenance
from ticklake.core.segment import Segment
from ticklake.core.span import Span
from ticklake.errors import CorruptSegment
from ticklake.storage.encoding import read_footer, write_file
from ticklake.storage.files import check_blocks, file_digest, read_blocks, scan_file
from ticklake.storage.segments import FORMAT, Footer, decode_inline, encode_inline, inline_segment

LAST = 2**63 - 1
_VALUES = {
    pl.Float64: st.floats(allow_nan=False) | st.sampled_from([0.1 + 0.2, -0.0, 5e-324, 1.7976931348623157e308]),
    pl.Int64: st.integers(-(2**63), LAST),
    pl.Int32: st.integers(-(2**31), 2**31 - 1),
    pl.String: st.text(st.characters(exclude_categories=["Cs"]), max_size=8),
    pl.Boolean: st.booleans(),
}


def values_of(dtype):
    whole = st.integers(-LAST, LAST)
    return next((strategy for known, strategy in _VALUES.items() if dtype == known), whole)


@st.composite
def frames(draw, kind, min_size=1):
    """A frame as segments hold it: ts sorted and known, everything else any value or null."""
    height = draw(st.integers(min_size, 12))
    columns = []
    for column in kind.stored:
        values = st.lists(st.none() | values_of(column.dtype), min_size=height, max_size=height)
        known = st.lists(values_of(column.dtype), min_size=height, max_size=height)
        drawn = sorted(draw(known)) if column.name == "ts" else draw(values)
        physical = pl.Int64 if column.is_temporal else column.dtype
        columns.append(pl.Series(column.name, drawn, dtype=physical).cast(column.dtype))
    return pl.DataFrame(columns)


def dataset_of(kind):
    return Dataset.of("x", "BTC/USDT:USDT", kind.name, "1m" if kind.name in BAR_KINDS else None)


def exact(frame):
    """The rows such that equal text means equal bits, signed zeros and nanoseconds included."""
    return frame.schema, repr(frame.with_columns(pl.selectors.temporal().to_physical()).rows())


def written(frames, kind, **more):
    """A file's bytes, and the segment that it is."""
    sink = io.BytesIO()
    footer = Footer(dataset_of(kind), "id1", 3, 0, 0, 0, "natural", **more)
    segment = write_file(sink, frames, footer, "a/b.parquet", lambda _frame: None)
    return sink.getvalue(), segment


def encoded(frame, kind, **more):
    return written([frame], kind, **more)[0]


def _plain(column, number):
    if column.is_temporal:
        return 10**18 + number
    if column.dtype == pl.String:
        return ["buy", "sell", "é/\u2028"][number % 3]
    return number % 2 == 0 if column.dtype == pl.Boolean else number


def sample(kind, height=3):
    """A frame with plain values and, in every column that may be null, a null."""
    columns = []
    for column in kind.stored:
        made = [_plain(column, number) for number in range(height)]
        if not column.required and column.name != PROVENANCE:
            made[-1] = None
        physical = pl.Int64 if column.is_temporal else column.dtype
        columns.append(pl.Series(column.name, made, dtype=physical, strict=False).cast(column.dtype))
    return pl.DataFrame(columns)


@pytest.mark.parametrize("kind", KINDS.values(), ids=KINDS)
@given(data=st.data())
@settings(max_examples=10, deadline=None)
def test_an_inline_segment_comes_back_exactly(kind, data):
    frame = data.draw(frames(kind))
    segment = inline_segment(frame, 1, encode_inline(frame))
    assert exact(decode_inline(segment, kind)) == exact(frame)


@pytest.mark.parametrize("kind", KINDS.values(), ids=KINDS)
@given(data=st.data())
@settings(max_examples=10, deadline=None)
def test_a_file_comes_back_exactly(kind, data):
    frame = data.draw(frames(kind))
    assert exact(scan_file(encoded(frame, kind), kind).collect()) == exact(frame)


@pytest.mark.parametrize("kind", KINDS.values(), ids=KINDS)
def test_a_file_of_many_row_groups_comes_back_exactly(kind):
    frame = pl.concat([sample(kind)] * 50_000).sort("ts")
    data = encoded(frame, kind)
    assert pq.read_metadata(io.BytesIO(data)).num_row_groups > 1
    assert scan_file(data, kind).collect().equals(frame)


@given(data=st.data())
@settings(max_examples=25, deadline=None)
def test_a_scan_of_a_span_gives_the_rows_inside_it(data):
    kind = KINDS["trades"]
    frame = data.draw(frames(kind))
    start, end = sorted(data.draw(st.lists(st.integers(-LAST, LAST), min_size=2, max_size=2, unique=True)))
    ts = frame["ts"].to_physical()
    found = scan_file(encoded(frame, kind), kind, Span(start, end)).collect()
    assert exact(found) == exact(frame.filter((ts >= start) & (ts < end)))


def test_a_segment_describes_its_frame():
    kind = KINDS["ohlcv"]
    frame = sample(kind)
    data = encode_inline(frame)
    segment = inline_segment(frame, 9, data)
    assert (segment.seq, segment.rows, segment.size, segment.data) == (9, 3, len(data), data)
    assert (segment.min_ts, segment.max_ts) == (10**18, 10**18 + 2)
    data, filed = written([frame], kind, period="2001")
    assert (filed.id, filed.path, filed.period, filed.data) == ("id1", "a/b.parquet", "2001", None)
    assert (filed.rows, filed.min_ts, filed.max_ts, filed.size) == (3, 10**18, 10**18 + 2, len(data))
    assert filed.digest == file_digest(data)


def test_no_two_segments_share_an_id():
    frame = sample(KINDS["ohlcv"])
    assert len({inline_segment(frame, 1, b"").id for _ in range(100)}) == 100


_TEXT = st.text(st.characters(exclude_categories=["Cs"]), max_size=10)
_WHEN = st.integers(-LAST, LAST - 1)
_ORIGINS = st.builds(Provenance, _TEXT, _TEXT, _TEXT, _TEXT, _TEXT, _TEXT)
_COVERED = st.builds(
    lambda start, length, found, why: Covered(Span(start, min(start + length, LAST)), found, why),
    _WHEN,
    st.integers(1, LAST),
    st.sampled_from(Found),
    _TEXT,
)
_DATASETS = st.sampled_from(
    ["x:ohlcv:1m:BTC/USDT", "x:trades:BTC/USDT:USDT", "x:ohlcv:1M:币安人生/USDT", "x:book:a%2Fb c/$"]
).map(Dataset.parse)
_FOOTERS = st.builds(
    Footer,
    dataset=_DATASETS,
    id=_TEXT,
    seq=st.integers(0, LAST),
    rows=st.integers(0, LAST),
    min_ts=_WHEN,
    max_ts=_WHEN,
    keying=st.sampled_from(["natural", "id", "print"]),
    period=_TEXT,
    tool=_TEXT,
    blocks=st.binary(max_size=72),
    provenance=st.dictionaries(st.integers(0, 2**31), _ORIGINS, max_size=3),
    coverage=st.lists(_COVERED, max_size=3).map(tuple),
)


@given(footer=_FOOTERS)
@settings(max_examples=100, deadline=None)
def test_a_footer_survives_its_json(footer):
    assert Footer.from_json(footer.to_json()) == footer


def test_a_file_carries_its_footer():
    kind = KINDS["ohlcv"]
    frame = sample(kind)
    origin = Provenance("ccxt", "fetch_ohlcv")
    data = encoded(frame, kind, period="2001", provenance={1: origin})
    footer = read_footer(data, "name")
    assert (footer.rows, footer.min_ts, footer.max_ts) == (3, 10**18, 10**18 + 2)
    assert (footer.dataset, footer.seq, footer.period) == (dataset_of(kind), 3, "2001")
    assert footer.provenance == {1: origin}


def test_a_newer_format_is_refused_and_says_so():
    kind = KINDS["ohlcv"]
    footer = Footer(dataset_of(kind), "i", 1, 1, 0, 0, "natural")
    raw = {**json.loads(footer.to_json()), "format": FORMAT + 1}
    table = pa.table({"ts": [1]}).replace_schema_metadata({"ticklake": json.dumps(raw)})
    sink = io.BytesIO()
    pq.write_table(table, sink)
    with pytest.raises(CorruptSegment, match="upgrade"):
        read_footer(sink.getvalue(), "new.parquet")


@pytest.mark.parametrize("footer", [None, "{", "[]", "{}", '"x"', '{"format": 1}', '{"format": "1"}'])
def test_a_parquet_file_without_our_footer_is_a_corrupt_segment(footer):
    table = pa.table({"ts": [1]}).replace_schema_metadata({"ticklake": footer} if footer else None)
    sink = io.BytesIO()
    pq.write_table(table, sink)
    with pytest.raises(CorruptSegment, match=r"alien\.parquet"):
        read_footer(sink.getvalue(), "alien.parquet")


@pytest.mark.parametrize("kind", KINDS.values(), ids=KINDS)
def test_field_ids_are_unique_and_stand_in_the_file(kind):
    schema = pq.read_schema(io.BytesIO(encoded(sample(kind), kind)))
    found = {field.name: int(field.metadata[b"PARQUET:field_id"]) for field in schema}
    assert len(set(found.values())) == len(found)
    assert {column.name: column.field_id for column in kind.stored}.items() <= found.items()


@pytest.mark.parametrize("kind", KINDS.values(), ids=KINDS)
def test_every_time_is_a_plain_int64_in_the_file(kind):
    schema = pq.read_metadata(io.BytesIO(encoded(sample(kind), kind))).schema
    columns = {schema.column(i).name: schema.column(i) for i in range(len(schema))}
    times = [columns[column.name] for column in kind.stored if column.is_temporal]
    assert {column.physical_type for column in times} == {"INT64"}
    assert {column.logical_type.type for column in times} == {"NONE"}


@pytest.mark.parametrize("kind", [KINDS["ohlcv"], KINDS["trades"]], ids=["ohlcv", "trades"])
def test_the_file_itself_says_what_it_is_about(kind):
    table = pq.read_table(io.BytesIO(encoded(sample(kind), kind)))
    expected = {"exchange": "x", "symbol": "BTC/USDT:USDT"} | ({"timeframe": "1m"} if kind.bars else {})
    assert {name: set(table[name].to_pylist()) for name in expected} == {n: {v} for n, v in expected.items()}
    assert ("timeframe" in table.column_names) == kind.bars


@pytest.mark.parametrize("kind", KINDS.values(), ids=KINDS)
def test_pyarrow_duckdb_and_polars_read_the_same_values_under_a_hive_path(kind, tmp_path):
    frame = sample(kind)
    path = tmp_path / dataset_of(kind).path / "2001-id1.parquet"
    path.parent.mkdir(parents=True)
    path.write_bytes(encoded(frame, kind))
    names = [column.name for column in kind.columns]
    wanted = frame.select(pl.col(n).to_physical() if kind.schema[n] == TIME else pl.col(n) for n in names)
    wanted = wanted.with_columns(pl.selectors.duration().to_physical())
    tree = f"{tmp_path}/{kind.name}/**/*.parquet"
    columns = ", ".join(f'"{name}"' for name in [*names, "exchange", "symbol"])
    query = f"select {columns} from read_parquet('{tree}', hive_partitioning=true) order by ts"
    rows = [(*row, "x", "BTC/USDT:USDT") for row in wanted.rows()]
    with duckdb.connect() as connection:
        assert connection.sql(query).fetchall() == rows
    by_polars = pl.scan_parquet(tree, hive_partitioning=True).select(*names, "exchange", "symbol").sort("ts")
    assert by_polars.collect().rows() == rows
    by_arrow = pq.read_table(path, columns=names, partitioning=None).to_pylist()
    assert [tuple(row.values()) for row in by_arrow] == wanted.rows()


def test_row_groups_outside_a_span_can_be_skipped():
    kind = KINDS["ohlcv"]
    frame = pl.concat([sample(kind)] * 50_000).with_columns(ts=pl.int_range(150_000).cast(TIME))
    metadata = pq.read_metadata(io.BytesIO(encoded(frame, kind)))
    stats = [metadata.row_group(i).column(0).statistics for i in range(metadata.num_row_groups)]
    assert [(one.min, one.max) for one in stats][:2] == [(0, 16_383), (16_384, 32_767)]
    assert stats[-1].max == 149_999


def test_statistics_are_of_the_columns_by_which_rows_are_looked_for():
    kind = KINDS["trades"]
    metadata = pq.read_metadata(io.BytesIO(encoded(sample(kind), kind)))
    columns = [metadata.row_group(0).column(i) for i in range(metadata.num_columns)]
    having = {column.path_in_schema for column in columns if column.is_stats_set}
    assert having == {"ts", "received_at", "id"}


@pytest.mark.parametrize("damage", ["flip", "cut", "nothing", "number", "text"])
def test_a_damaged_inline_segment_is_a_corrupt_segment_that_is_named(damage):
    kind = KINDS["ohlcv"]
    frame = sample(kind)
    good = encode_inline(frame)
    flipped = good[:50] + bytes([good[50] ^ 1]) + good[51:]
    bad = {"flip": flipped, "cut": good[:-9], "nothing": None, "number": 7, "text": "ARROW"}[damage]
    whole = replace(inline_segment(frame, 1, good), id="abc123")
    hurt = Segment(whole.id, 1, 3, whole.min_ts, whole.max_ts, whole.size, whole.digest, None, bad)
    with pytest.raises(CorruptSegment, match="abc123"):
        decode_inline(hurt, kind)


@pytest.mark.parametrize("data", [b"", b"PAR1", b"not parquet at all", b"PAR1" + b"\0" * 100 + b"PAR1"])
def test_bytes_that_are_no_parquet_file_are_a_corrupt_segment_that_is_named(data):
    with pytest.raises(CorruptSegment, match=r"bad\.parquet"):
        read_footer(data, "bad.parquet")


def test_a_truncated_file_is_a_corrupt_segment_wherever_it_ends():
    data = encoded(sample(KINDS["trades"]), KINDS["trades"])
    for end in range(0, len(data), 37):
        with pytest.raises(CorruptSegment):
            read_footer(data[:end], "cut.parquet")


def many(kind, rows=40_000):
    return pl.concat([sample(kind)] * (rows // 3)).sort("ts").with_columns(ts=pl.int_range(rows // 3 * 3).cast(TIME))


def test_frames_of_any_size_make_the_same_file():
    kind = KINDS["ohlcv"]
    frame = many(kind)
    pieces = [frame.slice(start, 7_001) for start in range(0, frame.height, 7_001)]
    assert written(pieces, kind) == written([frame], kind)


@pytest.mark.parametrize("name", ["ohlcv", "trades"])
def test_blocks_tile_the_file_and_are_its_row_groups(name):
    kind = KINDS[name]
    data, segment = written([many(kind, 300_000)], kind)
    groups, blocks = pq.read_metadata(io.BytesIO(data)), segment.blocks
    bounds = [0, *(block.offset + block.length for block in blocks)]
    assert [block.offset for block in blocks] == bounds[:-1]
    assert bounds[-1] == len(data) == segment.size
    assert len(blocks) == groups.num_row_groups + 1 > 2
    for number, block in enumerate(blocks[:-1]):
        group = groups.row_group(number)
        starts = [c.dictionary_page_offset or c.data_page_offset for c in map(group.column, range(group.num_columns))]
        ends = [start + group.column(i).total_compressed_size for i, start in enumerate(starts)]
        assert block.offset <= min(starts)
        assert max(ends) == block.offset + block.length
        assert block.rows == group.num_rows
    assert blocks[-1].rows == 0


def test_a_flipped_bit_anywhere_fails_its_block_alone():
    kind = KINDS["ohlcv"]
    data, segment = written([many(kind)], kind)
    for place in range(3, len(data), 9_973):
        bad = data[:place] + bytes([data[place] ^ 4]) + data[place + 1 :]
        for block in segment.blocks:
            if block.offset <= place < block.offset + block.length:
                with pytest.raises(CorruptSegment, match=r"a/b\.parquet"):
                    check_blocks(bad, segment, [block])
            else:
                check_blocks(bad, segment, [block])


def test_checksums_can_be_had_from_the_file_alone():
    data, segment = written([many(KINDS["trades"])], KINDS["trades"])
    assert read_blocks(data, read_footer(data, "x")) == segment.packed


def test_a_span_of_whole_blocks_is_read_without_a_filter():
    kind = KINDS["ohlcv"]
    frame = many(kind)
    data, segment = written([frame], kind)
    second = segment.blocks[1]
    lazy = scan_file(data, kind, Span(second.min_ts, second.max_ts + 1), segment.blocks)
    assert "SELECTION" not in lazy.explain()
    assert lazy.collect().equals(frame.slice(16_384, 16_384))


@given(data=st.data())
@settings(max_examples=25, deadline=None)
def test_blocks_do_not_change_what_a_span_holds(data):
    kind = KINDS["ohlcv"]
    bytes_, segment = _MANY
    edges = st.sampled_from([0, 16_383, 16_384, 32_768, 39_998, 39_999]) | st.integers(-5, 41_000)
    start, end = sorted(data.draw(st.lists(edges, min_size=2, max_size=2, unique=True)))
    found = scan_file(bytes_, kind, Span(start, end), segment.blocks).collect()
    assert found["ts"].to_physical().to_list() == list(range(max(start, 0), min(end, 39_999)))


_MANY = written([many(KINDS["ohlcv"])], KINDS["ohlcv"])


def test_a_writer_whose_sink_failed_is_gone_without_a_complaint(monkeypatch):
    class Full:
        def write(self, data):
            self.kept = data
            raise OSError("full")

    complaints = []
    monkeypatch.setattr(sys, "unraisablehook", complaints.append)
    kind = KINDS["trades"]
    footer = Footer(dataset_of(kind), "id1", 3, 0, 0, 0, "natural")
    sink = Full()
    with pytest.raises(OSError, match="full"):
        write_file(sink, [many(kind)], footer, "a/b.parquet", lambda _frame: None)
    gc.collect()
    assert complaints == []
