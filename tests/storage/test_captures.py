from __future__ import annotations

import errno
import os
import struct
from itertools import islice

import pyarrow as pa
import pytest

from ticklake.app import memory_lake
from ticklake.errors import InvalidData
from ticklake.storage.captures import CaptureFile, captured_messages, captured_streams

STREAM = {"dataset": "binance:trades:BTC/USDT", "kind": "trades", "native": "BTCUSDT", "timeframe": ""}
AT = 1_704_067_200_123_456_789


def written(path, count=10, frames=2):
    with CaptureFile(path, "binance") as capture:
        capture.name([STREAM])
        for frame in range(frames):
            for number in range(count):
                capture.add("0", AT + frame * count + number, f'{{"n": {frame * count + number}}}'.encode())
            capture.flush()
    return path


def test_messages_come_back_as_they_were(tmp_path):
    path = written(tmp_path / "capture.zst")
    found = list(captured_messages(path))
    assert [message.received_at for message in found] == [AT + number for number in range(20)]
    assert [message.data for message in found] == [f'{{"n": {number}}}'.encode() for number in range(20)]
    assert captured_streams(path) == ("binance", [STREAM])


def test_bytes_that_are_no_text(tmp_path):
    with CaptureFile(tmp_path / "capture.zst", "htx") as capture:
        capture.name([])
        capture.add("0", AT, b"\x1f\x8b\xff\x00")
    assert [message.data for message in captured_messages(tmp_path / "capture.zst")] == [b"\x1f\x8b\xff\x00"]


def test_a_file_that_is_cut_short_says_so_after_what_can_be_read(tmp_path):
    path = written(tmp_path / "capture.zst")
    whole = len(written(tmp_path / "half.zst", frames=1).read_bytes())
    content = path.read_bytes()
    for end in range(whole + 1, len(content), 7):
        path.write_bytes(content[:end])
        messages = captured_messages(path)
        assert len(list(islice(messages, 10))) == 10
        with pytest.raises(InvalidData, match="cut short"):
            next(messages)


def test_a_capture_goes_on_in_the_same_file(tmp_path):
    path = written(tmp_path / "capture.zst", frames=1)
    written(path, frames=1)
    assert len(list(captured_messages(path))) == 20


def test_a_frame_that_cannot_be_written_waits(tmp_path):
    capture = CaptureFile(tmp_path / "none" / "capture.zst", "binance")
    capture.add("0", AT, b"{}")
    with pytest.raises(OSError, match="No such file"):
        capture.flush()
    (tmp_path / "none").mkdir()
    capture.flush()
    assert len(list(captured_messages(capture.path))) == 1


def test_import_reads_a_capture(tmp_path):
    text = '{"e":"trade","E":1,"s":"BTCUSDT","t":%d,"p":"1.5","q":"2","T":1704067200%03d,"m":true,"M":true}'
    path = tmp_path / "capture.jsonl.zst"
    with CaptureFile(path, "binance") as capture:
        capture.name([STREAM])
        for number in range(5):
            capture.add("0", AT, (text % (number, number)).encode())
    with memory_lake() as lake:
        assert lake.import_files(path)[0].state == "imported"
        assert lake.load("binance:trades:BTC/USDT")["id"].to_list() == [str(number) for number in range(5)]


def test_what_happened_besides_messages_stands_between_them(tmp_path):
    with CaptureFile(tmp_path / "capture.zst", "binance") as capture:
        capture.add("0", AT, b"{}")
        capture.note("0", AT + 1, {"control": "disconnected", "text": "reset"})
        capture.add("0", AT + 2, b"[]")
    found = list(captured_messages(tmp_path / "capture.zst"))
    assert [message.note for message in found] == [None, {"control": "disconnected", "text": "reset"}, None]
    assert [message.received_at for message in found] == [AT, AT + 1, AT + 2]


def test_lines_that_come_while_a_frame_is_written_are_in_the_next(tmp_path, monkeypatch):
    capture = CaptureFile(tmp_path / "capture.zst", "binance")
    write = capture._write

    def writing(lines):
        write(lines)
        if len(capture._lines) == 0:
            capture.add("0", AT + 1, b"[]")

    monkeypatch.setattr(capture, "_write", writing)
    capture.add("0", AT, b"{}")
    capture.flush()
    monkeypatch.setattr(capture, "_write", write)
    capture.flush()
    assert [message.data for message in captured_messages(capture.path)] == [b"{}", b"[]"]


def test_a_frame_that_does_not_fit_on_the_disk_leaves_nothing_behind(tmp_path, monkeypatch):
    capture = CaptureFile(tmp_path / "capture.zst", "binance")
    capture.add("0", AT, b"{}")
    capture.flush()

    def failing(_descriptor):
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(os, "fsync", failing)
    capture.add("0", AT + 1, b"[]")
    with pytest.raises(OSError, match="No space"):
        capture.flush()
    assert len(list(captured_messages(capture.path))) == 1
    monkeypatch.undo()
    capture.flush()
    assert [message.data for message in captured_messages(capture.path)] == [b"{}", b"[]"]


def test_a_flipped_byte_is_damage(tmp_path):
    path = tmp_path / "capture.zst"
    written(path, count=200, frames=1)
    content = bytearray(path.read_bytes())
    for place in range(24, len(content), 7):
        damaged = bytearray(content)
        damaged[place] ^= 0xFF
        path.write_bytes(damaged)
        with pytest.raises(InvalidData):
            list(captured_messages(path))


def repacked(path, change):
    """Write the lines of a capture anew after a change, as a frame that can be unpacked."""
    content = change(pa.input_stream(str(path), compression="zstd").read())
    frame = pa.Codec("zstd").compress(content, asbytes=True)
    path.write_bytes(struct.pack("<IIQQ", 0x184D2A5C, 16, len(frame), len(content)) + frame)


def test_a_changed_letter_inside_a_message_is_damage(tmp_path):
    path = written(tmp_path / "capture.jsonl.zst", frames=1)
    repacked(path, lambda content: content.replace(rb"\"n\": 5", rb"\"n\": 6"))
    with pytest.raises(InvalidData, match="damaged: the lines of a frame have the CRC-32"):
        list(captured_messages(path))
    with memory_lake() as lake:
        (report,) = lake.import_files(path)
    assert (report.state, "are damaged: their CRC-32 is" in str(report.problems)) == ("refused", True)


def test_a_checksum_whose_name_is_damaged_is_damage(tmp_path):
    path = written(tmp_path / "capture.zst", frames=1)
    repacked(path, lambda content: content.replace(b'"checksum"', b'"5hecksum"'))
    with pytest.raises(InvalidData, match="damaged"):
        list(captured_messages(path))


def test_a_capture_without_checksums_is_read(tmp_path):
    """The first ones had none."""
    path = written(tmp_path / "capture.zst", frames=1)
    repacked(path, without_checksum)
    assert len(list(captured_messages(path))) == 10


def without_checksum(content):
    *lines, _checksum, _end = content.splitlines(keepends=True)
    return b"".join([*lines, b'{"t":"frame","count":%d}\n' % len(lines)])


def test_lengths_that_cannot_be_take_no_memory(tmp_path):
    path = tmp_path / "capture.zst"
    for packed, size in ((2**62, 2**62), (2, 2**50)):
        path.write_bytes(struct.pack("<IIQQ", 0x184D2A5C, 16, packed, size) + b"xx")
        with pytest.raises(InvalidData, match=r"cut short|damaged"):
            captured_streams(path)


def test_an_empty_file_is_no_capture(tmp_path):
    path = tmp_path / "capture.zst"
    path.touch()
    with pytest.raises(InvalidData, match="names no exchange"):
        captured_streams(path)
