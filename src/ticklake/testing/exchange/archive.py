"""Dump sites over a simulated market: whole files, made when asked for, and published once their time is over.

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
from ticklake.testing.exchange.dumps import HEADERS, KINDS, Asked, csv_of
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
    """Answers for the files of one exchange; built files are kept."""

    market: Market
    exchange: str
    _built: dict[tuple[str, bool, int], bytes] = field(default_factory=dict)

    def answer(self, path: str, now: int, faults: Faults) -> bytes | None:
        """Return the bytes of a file at the exchange's time *now*, or ``None`` if it is not published."""
        name = path.removesuffix(_SUM)
        asked = self._asked(name)
        if asked is None or asked.end > now or (name != path and self.exchange in _PATHS):
            return None
        day = asked.start // DAY
        if not asked.is_monthly and faults.archive_missing_every and day % faults.archive_missing_every == 0:
            return None
        data = self._file(name, asked, faults)
        if data is None or name == path:
            return data
        wrong = faults.archive_corrupt_every and day % faults.archive_corrupt_every == 0
        digest = hashlib.sha256(data + b"!" if wrong else data).hexdigest()
        return f"{digest}  {name.rpartition('/')[2]}\n".encode()

    def _asked(self, path: str) -> Asked | None:
        """Read a path; ``None`` if this site has none like it."""
        match = _PATHS.get(self.exchange, _BINANCE).fullmatch(path)
        if match is None:
            return None
        found = match.groupdict()
        monthly, start = len(found["date"]) == 7, parse_time(found["date"])
        if monthly is not (found.get("period", "daily") == "monthly"):
            return None
        offset, end = _OFFSETS.get(self.exchange, 0), _MONTH.next(start) if monthly else start + DAY
        frame = found.get("frame") or ("1m" if found.get("name") == "candlesticks" else "")
        family, name = found.get("family") or self.exchange, found.get("name") or "trading"
        return Asked(family, name, found["symbol"], frame.replace("1mo", "1M"), start + offset, end + offset, monthly)

    def _file(self, path: str, asked: Asked, faults: Faults) -> bytes | None:
        key = (path, faults.archive_header, faults.burst)
        if key not in self._built:
            text = self._text(asked, faults)
            if text is None:
                return None
            file = path.rpartition("/")[2]
            whole = gzip.compress(text, mtime=0) if path.endswith(".gz") else _zipped(f"{file[:-4]}.csv", text)
            self._built[key] = whole
        return self._built[key]

    def _text(self, asked: Asked, faults: Faults) -> bytes | None:
        listed = self.market.symbols(self.exchange)
        symbol = next((one for one in listed if _native(one, asked) == asked.symbol), None)
        rows = None if symbol is None else self._rows(asked, symbol, faults)
        if rows is None:
            return None
        shift = 5 * MINUTE if asked.name == "metrics" else 0
        ts = rows["ts"].to_physical()
        inside = rows.filter((ts >= asked.start + shift) & (ts < asked.end + shift))
        if not inside.height:
            return None
        body = csv_of(inside.with_columns(pl.col("ts").to_physical()), asked)
        bare = asked.family == "spot" and not faults.archive_header
        return body if bare else HEADERS[asked.layout].encode() + b"\n" + body

    def _rows(self, asked: Asked, symbol: Symbol, faults: Faults) -> pl.DataFrame | None:
        """Return all rows of what the file is about; ``None`` if there is no such file."""
        kind = KINDS.get(asked.layout)
        if kind is None or (asked.name, asked.is_monthly) in {("fundingRate", False), ("metrics", True)}:
            return None
        try:
            frame = Timeframe.parse(asked.frame) if asked.frame else None
        except UnknownTimeframe:
            return None
        rows = self.market.rows(self.exchange, symbol, kind, frame)
        return bursting(rows, faults) if kind == "trades" else rows


def _native(symbol: Symbol, asked: Asked) -> str | None:
    """Return what the part of a site calls a market, if it has it; COIN-M's indices are those of pairs."""
    pair = f"{symbol.base}{symbol.quote}"
    is_spot, is_swap = symbol.market_type == "spot", symbol.market_type == "swap"
    perpetual = "" if asked.name == "indexPriceKlines" else "_PERP"
    names = {
        "spot": pair if is_spot else None,
        "futures/um": pair if is_swap and symbol.settle == symbol.quote else None,
        "futures/cm": f"{pair}{perpetual}" if is_swap and symbol.settle == symbol.base else None,
        "bybit": pair if is_swap else None,
        "okx": f"{symbol.base}-{symbol.quote}{'' if is_spot else '-SWAP'}" if is_spot or is_swap else None,
    }
    return names[asked.family]


def _zipped(name: str, text: bytes) -> bytes:
    """Return a zip of one file, the same bytes every time."""
    buffer = io.BytesIO()
    member = zipfile.ZipInfo(name, (2020, 1, 1, 0, 0, 0))
    member.compress_type = zipfile.ZIP_DEFLATED
    with zipfile.ZipFile(buffer, "w") as archive:
        archive.writestr(member, text)
    return buffer.getvalue()
