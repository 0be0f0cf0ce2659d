"""Dump sites over a simulated market: whole files, made on request, and published once their time is over.

Binance (paths, columns and ``.CHECKSUM`` files as in https://github.com/binance/binance-public-data: spot files have
no header and count microseconds from 2025 on, futures files have a header), Bybit (gzipped CSV of derivatives' trades,
newest first, decimal seconds) and OKX (zips whose days are China's).
"""

from __future__ import annotations

import gzip
import hashlib
import io
import re
import zipfile
from dataclasses import dataclass, field

import polars as pl

from ticklake.core.symbol import Symbol
from ticklake.core.time import DAY, HOUR, MINUTE, parse_time
from ticklake.core.timeframe import Timeframe
from ticklake.errors import UnknownTimeframe
from ticklake.testing.exchange.dumps import HEADERS, KINDS, DumpFile, csv_of
from ticklake.testing.exchange.faults import Faults
from ticklake.testing.exchange.market import Market
from ticklake.testing.exchange.replies import bursting

__all__ = ["SimulatedArchive"]

_DAY = r"(?P<date>\d{4}-\d\d-\d\d)"
_BINANCE = re.compile(
    r"data/(?P<family>spot|futures/um|futures/cm)/(?P<period>daily|monthly)/(?P<name>[A-Za-z]+)/"
    r"(?P<symbol>[A-Z0-9]+(?:_PERP)?)/(?:(?P<frame>\w+)/)?(?P=symbol)-(?P<mark>\w+)-(?P<date>\d{4}-\d\d(?:-\d\d)?)\.zip"
)
_PATHS: dict[str, re.Pattern[str]] = {
    "bybit": re.compile(rf"trading/(?P<symbol>[A-Z0-9]+)/(?P=symbol){_DAY}\.csv\.gz"),
    "okx": re.compile(
        r"cdn/okex/traderecords/(?P<name>trades|candlesticks)/daily/\d{8}/"
        rf"(?P<symbol>[A-Z0-9-]+)-(?P=name)-{_DAY}\.zip"
    ),
}
_OFFSETS = {"okx": -8 * HOUR}
_SUM = ".CHECKSUM"
_MONTH = Timeframe(1, "M")


@dataclass
class SimulatedArchive:
    """Serves the files of one exchange. Files are built once."""

    market: Market
    exchange: str
    _built: dict[tuple[str, bool, int], bytes] = field(default_factory=dict)

    def answer(self, path: str, now: int, faults: Faults) -> bytes | None:
        """Return the bytes of a file at the exchange's time *now*, or ``None`` if it is not published."""
        file_path = path.removesuffix(_SUM)
        is_checksum = file_path != path
        file = self._parse(file_path)
        if file is None or file.end > now or (is_checksum and self.exchange in _PATHS):
            return None
        day = file.start // DAY
        if not file.is_monthly and faults.archive_missing_every and day % faults.archive_missing_every == 0:
            return None
        data = self._build(file_path, file, faults)
        if data is None or not is_checksum:
            return data
        if faults.archive_corrupt_every and day % faults.archive_corrupt_every == 0:
            data += b"!"
        digest = hashlib.sha256(data).hexdigest()
        return f"{digest}  {file_path.rpartition('/')[2]}\n".encode()

    def _parse(self, path: str) -> DumpFile | None:
        """Return the file of a path, or ``None`` if the site has no such paths."""
        match = _PATHS.get(self.exchange, _BINANCE).fullmatch(path)
        if match is None:
            return None
        groups = match.groupdict()
        start = parse_time(groups["date"])
        end = start + DAY
        is_monthly = len(groups["date"]) == 7
        if is_monthly is not (groups.get("period", "daily") == "monthly"):
            return None
        if is_monthly:
            end = _MONTH.next(start)
        family = groups.get("family") or self.exchange
        name = groups.get("name") or "trading"
        timeframe = groups.get("frame") or ""
        if name == "candlesticks":
            timeframe = "1m"
        offset = _OFFSETS.get(self.exchange, 0)
        return DumpFile(
            family, name, groups["symbol"], timeframe.replace("1mo", "1M"), start + offset, end + offset, is_monthly
        )

    def _build(self, path: str, file: DumpFile, faults: Faults) -> bytes | None:
        key = (path, faults.archive_header, faults.burst)
        if key not in self._built:
            text = self._text(file, faults)
            if text is None:
                return None
            if path.endswith(".gz"):
                self._built[key] = gzip.compress(text, mtime=0)
            else:
                name = path.rpartition("/")[2].removesuffix(".zip")
                self._built[key] = _zip(f"{name}.csv", text)
        return self._built[key]

    def _text(self, file: DumpFile, faults: Faults) -> bytes | None:
        rows = self._rows(file, faults)
        if rows is None:
            return None
        shift = 0
        if file.name == "metrics":
            # Rows are stamped with the end of their five minutes.
            shift = 5 * MINUTE
        ts = rows["ts"].to_physical()
        inside = rows.filter((ts >= file.start + shift) & (ts < file.end + shift))
        if not inside.height:
            return None
        lines = csv_of(inside.with_columns(pl.col("ts").to_physical()), file)
        if file.family == "spot" and not faults.archive_header:
            return lines
        return HEADERS[file.layout].encode() + b"\n" + lines

    def _rows(self, file: DumpFile, faults: Faults) -> pl.DataFrame | None:
        """Return all rows of the file's dataset, or ``None`` if there is no such file."""
        kind = KINDS.get(file.layout)
        if kind is None or (file.name, file.is_monthly) in {("fundingRate", False), ("metrics", True)}:
            return None
        symbol = self._symbol(file)
        if symbol is None:
            return None
        timeframe = None
        try:
            if file.frame:
                timeframe = Timeframe.parse(file.frame)
        except UnknownTimeframe:
            return None
        rows = self.market.rows(self.exchange, symbol, kind, timeframe)
        if kind == "trades":
            return bursting(rows, faults)
        return rows

    def _symbol(self, file: DumpFile) -> Symbol | None:
        for symbol in self.market.symbols(self.exchange):
            if _native(symbol, file) == file.symbol:
                return symbol
        return None


def _native(symbol: Symbol, file: DumpFile) -> str | None:
    """Return the name of a market in a part of a site, or ``None`` if that part does not have it."""
    pair = f"{symbol.base}{symbol.quote}"
    if symbol.market_type == "spot":
        return {"spot": pair, "okx": f"{symbol.base}-{symbol.quote}"}.get(file.family)
    if symbol.market_type != "swap":
        return None
    names = {"bybit": pair, "okx": f"{symbol.base}-{symbol.quote}-SWAP"}
    if symbol.settle == symbol.quote:
        names["futures/um"] = pair
    if symbol.settle == symbol.base:
        names["futures/cm"] = f"{pair}_PERP"
        if file.name == "indexPriceKlines":
            # COIN-M's contracts of a pair share an index, which has the pair's name.
            names["futures/cm"] = pair
    return names.get(file.family)


def _zip(name: str, text: bytes) -> bytes:
    """Return a zip of one file, the same bytes every time."""
    buffer = io.BytesIO()
    member = zipfile.ZipInfo(name, (2020, 1, 1, 0, 0, 0))
    member.compress_type = zipfile.ZIP_DEFLATED
    with zipfile.ZipFile(buffer, "w") as archive:
        archive.writestr(member, text)
    return buffer.getvalue()
