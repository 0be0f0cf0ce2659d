"""Yahoo's chart endpoint on loopback: it adjusts what it sends for splits, through 32-bit floats, as Yahoo does.

Yahoo itself can't be had here: the shape of its answers is what yfinance reads, field by field.
"""

from __future__ import annotations

import datetime as dt
import json
import threading
from collections import Counter
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from urllib.parse import parse_qs, urlsplit
from zoneinfo import ZoneInfo

import numpy as np


@dataclass
class Stock:
    """Raw bars by date or instant, splits and dividends by ex-date."""

    bars: dict = field(default_factory=dict)
    splits: dict = field(default_factory=dict)
    dividends: dict = field(default_factory=dict)
    minutes: dict = field(default_factory=dict)
    currency: str = "USD"
    zone: str = "America/New_York"

    def stamp(self, day):
        return int(dt.datetime.combine(day, dt.time(9, 30), ZoneInfo(self.zone)).timestamp())

    def later(self, day):
        return float(np.prod([ratio for at, ratio in self.splits.items() if at > day]))


class FakeYahoo:
    """``failures`` are answers given first, one a chart request: (status, body)."""

    def __init__(self, now):
        self.now, self.stocks, self.asked, self.failures = now, {}, Counter(), []
        fake = self

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self):
                parts = urlsplit(self.path)
                status, body = fake.answer(parts.path, {name: v[0] for name, v in parse_qs(parts.query).items()})
                data = body.encode()
                self.send_response(status)
                self.send_header("Content-Type", "application/json")
                self.send_header("Content-Length", str(len(data)))
                self.end_headers()
                self.wfile.write(data)

            do_POST = do_GET  # noqa: N815

            def log_message(self, *_):
                pass

        self.server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self.server.server_port}"
        self.thread = threading.Thread(target=self.server.serve_forever, kwargs={"poll_interval": 0.01})
        self.thread.start()

    def close(self):
        self.server.shutdown()
        self.server.server_close()
        self.thread.join()

    def answer(self, path, query):
        if path == "/v1/test/getcrumb":
            return 200, "crumb"
        if not path.startswith("/v8/finance/chart/"):
            return 404, ""
        ticker = path.rsplit("/", 1)[1]
        self.asked[ticker, query["interval"]] += 1
        if self.failures:
            return self.failures.pop(0)
        if ticker not in self.stocks:
            error = {"code": "Not Found", "description": "No data found, symbol may be delisted"}
            return 404, json.dumps({"chart": {"result": None, "error": error}})
        return 200, json.dumps({"chart": {"result": [self.chart(ticker, query)], "error": None}})

    def chart(self, ticker, query):
        stock = self.stocks[ticker]
        if "range" in query:
            query = {**query, "period1": self.now - 5 * 86400, "period2": self.now}
        start, end = int(query["period1"]), int(query["period2"])
        daily = query["interval"] == "1d"
        table = {stock.stamp(day): (day, bar) for day, bar in stock.bars.items()}
        if not daily:
            table = {
                at: (dt.datetime.fromtimestamp(at, ZoneInfo(stock.zone)).date(), bar)
                for at, bar in stock.minutes.items()
            }
        inside = {at: row for at, row in sorted(table.items()) if start <= at < end}
        quote = {name: [] for name in ("open", "high", "low", "close", "volume")}
        for day, bar in inside.values():
            ratio = stock.later(day)
            for name, value in zip(quote, bar, strict=True):
                adjusted = (
                    None if value is None else value * ratio if name == "volume" else float(np.float32(value / ratio))
                )
                quote[name].append(adjusted)
        meta = {
            "currency": stock.currency,
            "symbol": ticker,
            "instrumentType": "EQUITY",
            "exchangeTimezoneName": stock.zone,
            "firstTradeDate": min(map(stock.stamp, stock.bars)),
            "priceHint": 2,
            "validRanges": ["1d", "5d", "1mo", "max"],
        }
        if not daily:
            days = sorted({day for day, _ in inside.values()})
            meta["tradingPeriods"] = [
                [{"timezone": "EST", "gmtoffset": -18000, "start": stock.stamp(day), "end": stock.stamp(day) + 23400}]
                for day in days
            ]
        result = {
            "meta": meta,
            "indicators": {"quote": [quote if inside else {}], "adjclose": [{"adjclose": quote["close"]}]},
        }
        if inside:
            result["timestamp"] = list(inside)
        result["events"] = self.events(stock, start, end)
        return result

    @staticmethod
    def events(stock, start, end):
        splits = {
            str(stock.stamp(day)): {"date": stock.stamp(day), "numerator": ratio, "denominator": 1}
            for day, ratio in stock.splits.items()
            if start <= stock.stamp(day) < end
        }
        dividends = {
            str(stock.stamp(day)): {"date": stock.stamp(day), "amount": float(np.float32(amount / stock.later(day)))}
            for day, amount in stock.dividends.items()
            if start <= stock.stamp(day) < end
        }
        return {"splits": splits, "dividends": dividends}
