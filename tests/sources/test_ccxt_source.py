"""The ccxt source against the simulated exchange: history is exactly the market's rows."""

from __future__ import annotations

import polars as pl
import pytest

from ticklake.core.coverage import Found
from ticklake.core.dataset import Dataset
from ticklake.core.kinds import TIME
from ticklake.core.span import Span, normalise
from ticklake.core.time import DAY, HOUR, MINUTE, SECOND, parse_time
from ticklake.errors import Banned, SourceError, UnknownExchange, UnknownSymbol, UnknownTimeframe, Unsupported
from ticklake.sources.base import Page
from ticklake.sources.ccxt.source import CcxtSource
from ticklake.testing.exchange.faults import Failure, Faults
from ticklake.testing.exchange.generated import generated_market
from ticklake.testing.exchange.market import Market
from ticklake.testing.exchange.server import SimulatedExchange

NOW = "2024-01-05T12:00:30Z"


@pytest.fixture
def server(serve, market) -> SimulatedExchange:
    return serve(market, NOW)


def history(dataset: Dataset, span: Span):
    async def use(source: CcxtSource) -> list[Page]:
        return [page async for page in source.history(dataset, span)]

    return use


def truth(market: Market, dataset: Dataset, span: Span) -> pl.DataFrame:
    rows = market.rows(dataset.exchange, dataset.symbol, dataset.kind, dataset.timeframe)
    ts = rows["ts"].to_physical()
    return rows.filter((ts >= span.start) & (ts < span.end))


def rows_of(pages: list[Page], span: Span) -> pl.DataFrame:
    rows = pl.concat([page.frame for page in pages], how="vertical_relaxed")
    ts = rows["ts"].to_physical()
    return rows.filter((ts >= span.start) & (ts < span.end)).unique(maintain_order=True).sort("ts", maintain_order=True)


def covered(pages: list[Page], *found: Found) -> list[Span]:
    return normalise(piece.span for page in pages for piece in page.covered if not found or piece.found in found)


def assert_history(pages: list[Page], market: Market, dataset: Dataset, span: Span, columns: list[str]) -> None:
    want = truth(market, dataset, span)
    assert want.height > 0
    assert rows_of(pages, span).select(columns).equals(want.select(columns))
    assert covered(pages, Found.DATA) == [span]
    assert covered(pages) == [span]


BARS = ["ts", "open", "high", "low", "close", "volume", "quote_volume", "trades"]
TRADES = ["ts", "id", "price", "amount", "side"]
HISTORIES = [
    ("binance:ohlcv:1m:BTC/USDT", "2024-01-01T00:00:00", "2024-01-03T07:13:00", BARS),
    ("binance:ohlcv:5m:ETH/USDT", "2024-01-01T00:05:00", "2024-01-05T00:00:00", BARS),
    ("binance:ohlcv:1h:BTC/USDT:USDT", "2024-01-01", "2024-01-05T12:00:00", BARS),
    ("binance:ohlcv:1d:BTC/USDT", "2024-01-01", "2024-01-05", BARS),
    ("binance:mark_ohlcv:1m:BTC/USDT:USDT", "2024-01-02", "2024-01-03T12:34:00", BARS[:5]),
    ("binance:index_ohlcv:1h:BTC/USDT:USDT", "2024-01-01", "2024-01-05", BARS[:5]),
    ("binance:trades:BTC/USDT", "2024-01-02T00:00:00.5", "2024-01-02T23:00:00", TRADES),
    ("binance:trades:ETH/USDT:USDT", "2024-01-03", "2024-01-03T18:00:00", TRADES),
    ("binance:funding:BTC/USDT:USDT", "2024-01-01", "2024-01-05", ["ts", "rate", "mark_price"]),
    ("binance:open_interest:BTC/USDT:USDT", "2024-01-01", "2024-01-05", ["ts", "open_interest", "open_interest_value"]),
    (
        "kraken:ohlcv:1m:BTC/USD",
        "2024-01-05T06:00:00",
        "2024-01-05T12:00:00",
        ["ts", "open", "high", "low", "close", "volume", "trades"],
    ),
    (
        "kraken:ohlcv:1h:ETH/EUR",
        "2024-01-01",
        "2024-01-05T12:00:00",
        ["ts", "open", "high", "low", "close", "volume", "trades"],
    ),
    ("kraken:trades:BTC/USD", "2024-01-02", "2024-01-03T12:00:00", TRADES),
]


class TestHistory:
    @pytest.mark.parametrize(("text", "start", "end", "columns"), HISTORIES, ids=[text for text, *_ in HISTORIES])
    def test_it_is_exactly_the_markets_rows(self, text, start, end, columns, server, market, visit):
        dataset, span = Dataset.parse(text), Span.parse(start, end)

        pages = visit(server, dataset.exchange, history(dataset, span))

        assert_history(pages, market, dataset, span, columns)

    @pytest.mark.parametrize(("text", "start", "end", "columns"), HISTORIES, ids=[text for text, *_ in HISTORIES])
    def test_it_is_that_even_on_the_worst_of_days(self, text, start, end, columns, server, market, visit):
        """Field note: nothing is lost by rate limits, errors, cut and empty answers, repeated and shuffled rows."""
        server.faults = Faults.everything().changed({"late_final": 0.0, "timeout_seconds": 0.5, "retry_after": 0.01})
        dataset, span = Dataset.parse(text), Span.parse(start, end)

        pages = visit(server, dataset.exchange, history(dataset, span), timeout=0.25, attempts=8)

        want = truth(market, dataset, span).select(columns)
        got = rows_of(pages, span).select(columns)
        assert got.unique().sort(columns).equals(want.sort(columns))
        assert covered(pages) == covered(pages, Found.DATA) == [span]

    @pytest.mark.parametrize("exchange", ["binance", "kraken"])
    @pytest.mark.parametrize("kind", ["ohlcv:1m", "trades"])
    def test_an_error_body_never_becomes_an_empty_page(self, exchange, kind, server, visit):
        """Field note: HTTP 200 with an error body must raise."""
        server.faults = Faults(error_body_every=1)
        symbol = {"binance": "BTC/USDT", "kraken": "BTC/USD"}[exchange]
        got: list[Page] = []

        async def use(source: CcxtSource) -> None:
            async for page in source.history(
                Dataset.parse(f"{exchange}:{kind}:{symbol}"), Span.parse("2024-01-05", NOW)
            ):
                got.append(page)  # noqa: PERF401

        with pytest.raises(SourceError):
            visit(server, exchange, use, attempts=2)
        assert got == []

    def test_a_ban_stops_at_the_first_request(self, server, visit):
        """Field note: 418: stop, a ban is near."""
        server.faults = Faults(ban_every=1)

        with pytest.raises(Banned):
            visit(server, "binance", history(Dataset.parse("binance:ohlcv:1m:BTC/USDT"), Span.parse("2024-01-05", NOW)))

        assert [request.fault for request in server.requests if request.fault] == ["ban"]

    def test_a_long_history_of_bars_costs_one_request_a_page(self, server, visit):
        visit(
            server,
            "binance",
            history(Dataset.parse("binance:ohlcv:1m:BTC/USDT"), Span.parse("2024-01-01", "2024-01-05")),
        )

        klines = [request for request in server.requests if request.path.endswith("klines")]
        assert len(klines) == -(-4 * 1440 // 999)

    def test_dead_half_way_the_pages_before_are_whole(self, server, market, visit):
        """Field note: paging that dies half way must leave a known hole, not a silent one."""
        dataset, span = Dataset.parse("binance:trades:BTC/USDT"), Span.parse("2024-01-02", "2024-01-04")
        got: list[Page] = []

        async def use(source: CcxtSource) -> None:
            async for page in source.history(dataset, span):
                got.append(page)
                if len(got) == 4:
                    server.faults = Faults(error_every=1)

        with pytest.raises(SourceError):
            visit(server, "binance", use, attempts=2)
        (reached,) = covered(got, Found.DATA)
        assert span.start == reached.start < reached.end < span.end
        assert rows_of(got, reached).select(TRADES).equals(truth(market, dataset, reached).select(TRADES))


class TestKraken:
    def test_bars_older_than_720_are_unavailable_and_the_rest_exact(self, server, market, visit):
        """Field note: history may be recent-only (Kraken bars)."""
        dataset, span = Dataset.parse("kraken:ohlcv:1m:BTC/USD"), Span.parse("2024-01-04", "2024-01-05T12:00:00")

        pages = visit(server, "kraken", history(dataset, span))

        (gone,), (rest,) = covered(pages, Found.UNAVAILABLE), covered(pages, Found.DATA)
        assert gone.start == span.start
        assert (gone.end, rest.end) == (rest.start, span.end)
        newest = truth(market, dataset, Span(0, parse_time(NOW) + 1)).tail(720)
        served = newest.filter(newest["ts"].to_physical() < span.end)
        assert gone.end == served["ts"].to_physical()[0]
        assert rows_of(pages, span).select("ts", "close", "volume").equals(served.select("ts", "close", "volume"))

    @pytest.mark.parametrize("step", [1_000_003_217, 777_777_777, 250_000_061])
    def test_trades_at_nanoseconds_are_all_there_though_their_texts_are_rounded(self, step, serve, visit):
        """Kraken pages by exact nanoseconds but writes times as decimal seconds of a double, up to 120 ns off.

        Recorded (nautilus_kraken http_trades): the last trade says 1762820035.9822779, its cursor 1762820035982277754.
        """
        start, count = parse_time("2024-01-05") + 123_456_789, 3500
        rows = pl.DataFrame({"ts": [start + number * step for number in range(count)]}).select(
            ts=pl.col("ts").cast(TIME),
            id=pl.int_range(1, count + 1).cast(pl.String),
            price=100.5,
            amount=1.0,
            side=pl.lit("buy"),
        )
        market = Market()
        market.add(Dataset.parse("kraken:trades:BTC/USD"), lambda: rows)
        span = Span(start - SECOND, start + count * step)

        pages = visit(serve(market, NOW), "kraken", history(Dataset.parse("kraken:trades:BTC/USD"), span))

        ids = {int(text) for page in pages for text in page.frame["id"]}
        assert sorted(set(range(1, count + 1)) - ids) == []
        assert covered(pages) == [span]


class TestOpenInterest:
    def test_what_is_older_than_thirty_days_is_unavailable_and_the_rest_exact(self, serve, visit):
        """Field note: record why older data is unavailable."""
        market = generated_market(parse_time("2024-01-01"), parse_time("2024-02-15"))
        dataset, span = Dataset.parse("binance:open_interest:BTC/USDT:USDT"), Span.parse("2024-01-03", "2024-02-14")

        pages = visit(serve(market, "2024-02-14T00:00:30Z"), "binance", history(dataset, span))

        (gone,), (rest,) = covered(pages, Found.UNAVAILABLE), covered(pages, Found.DATA)
        assert gone.start == span.start
        assert (gone.end, rest.end) == (rest.start, span.end)
        assert parse_time("2024-01-15") <= rest.start <= parse_time("2024-01-15") + HOUR
        assert "30 days" in pages[0].covered[0].reason
        assert rows_of(pages, rest)["open_interest"].equals(truth(market, dataset, rest)["open_interest"])

    def test_a_span_wholly_older_is_not_asked_for(self, serve, visit):
        market = generated_market(parse_time("2024-01-01"), parse_time("2024-02-15"))
        server = serve(market, "2024-02-14T00:00:30Z")
        span = Span.parse("2024-01-01", "2024-01-05")

        pages = visit(server, "binance", history(Dataset.parse("binance:open_interest:BTC/USDT:USDT"), span))

        assert covered(pages, Found.UNAVAILABLE) == [span]
        assert not any("openInterest" in request.path for request in server.requests)


def capability(text: str):
    async def use(source: CcxtSource):
        return await source.capability(Dataset.parse(text), await source.now())

    return use


class TestCapability:
    @pytest.mark.parametrize(
        ("text", "error", "words"),
        [
            ("kraken:funding:BTC/USD", Unsupported, "kraken does not serve funding: it serves ohlcv, trades, book"),
            ("binance:quotes:BTC/USDT", Unsupported, "binance does not serve quotes: it serves ohlcv, mark_ohlcv"),
            ("binance:funding:BTC/USDT", Unsupported, "BTC/USDT is a spot market.*like BTC/USDT:USDT"),
            ("binance:open_interest:ETH/USDT", Unsupported, "like ETH/USDT:USDT"),
            ("binance:mark_ohlcv:1m:BTC/USDT", Unsupported, "spot market"),
            ("binance:ohlcv:7m:BTC/USDT", UnknownTimeframe, "has no 7m bars: it serves .*1m, 3m, 5m"),
            ("kraken:ohlcv:1M:BTC/USD", UnknownTimeframe, "1m, 5m, 15m, 30m, 1h, 4h, 1d, 1w"),
            ("binance:ohlcv:1m:BTC/USTD", UnknownSymbol, "did you mean .*BTC/USDT"),
            ("binance:ohlcv:1m:btc/usdt", UnknownSymbol, "does not list 'btc/usdt'"),
            ("kraken:trades:ZZZZZZ/QQQQQ", UnknownSymbol, "ticklake symbols kraken"),
        ],
    )
    def test_what_is_not_served_is_refused_with_what_is_possible(self, text, error, words, server, visit):
        with pytest.raises(error, match=words):
            visit(server, text.partition(":")[0], capability(text))

    def test_an_unknown_symbol_in_a_history_is_our_error_too(self, server, visit):
        with pytest.raises(UnknownSymbol):
            visit(
                server,
                "binance",
                history(Dataset.parse("binance:trades:NO/SUCH"), Span.parse("2024-01-01", "2024-01-02")),
            )

    def test_a_book_has_no_history(self, server, visit):
        with pytest.raises(Unsupported, match="book has no history on binance"):
            visit(
                server,
                "binance",
                history(Dataset.parse("binance:book:BTC/USDT"), Span.parse("2024-01-01", "2024-01-02")),
            )

    def test_an_unknown_exchange_is_refused_with_the_nearest(self):
        with pytest.raises(UnknownExchange, match="kraken"):
            CcxtSource("krakken")

    def test_bars_of_kraken_say_since_when_they_are_served(self, server, visit):
        """Field note: recent-only: say so before starting."""
        found = visit(server, "kraken", capability("kraken:ohlcv:1h:BTC/USD"))

        assert found.page_rows == 720
        assert found.served_from == parse_time("2024-01-05T12:00:00") - 719 * HOUR
        assert "720" in found.note

    def test_open_interest_says_since_when_it_is_served(self, server, visit):
        found = visit(server, "binance", capability("binance:open_interest:BTC/USDT:USDT"))

        assert 0 <= found.served_from - (parse_time(NOW) - 30 * DAY) <= HOUR

    @pytest.mark.parametrize(
        ("text", "rows", "length"),
        [
            ("binance:ohlcv:1m:BTC/USDT", 1000, 1000 * MINUTE),
            ("binance:trades:BTC/USDT", 1000, HOUR),
            ("binance:funding:BTC/USDT:USDT", 1000, 1000 * 8 * HOUR),
        ],
    )
    def test_pages_are_as_long_as_a_call_brings(self, text, rows, length, server, visit):
        found = visit(server, "binance", capability(text))

        assert (found.page_rows, found.page_span, found.served_from) == (rows, length, None)
        assert found.seconds_per_page > 0


def listed_at(text: str):
    async def use(source: CcxtSource):
        return await source.listed_at(Dataset.parse(text))

    return use


def days(first: int, last: str) -> pl.DataFrame:
    rows = pl.select(ts=pl.int_range(first, parse_time(last) + DAY, DAY, dtype=pl.Int64).cast(TIME))
    return rows.with_columns(open=1.0, high=1.0, low=1.0, close=1.0, volume=1.0)


def daily_market(first: str, last: str, older: str | None = "ETH/USDT") -> Market:
    """Return a market with days of one symbol, and of an *older* one that shows how far back the exchange serves."""
    market = Market()
    bars = days(parse_time(first), last)
    market.add(Dataset.parse("binance:ohlcv:1d:NEW/USDT"), lambda: bars)
    if older is not None:
        earlier = days(parse_time(first) - 60 * DAY, last)
        market.add(Dataset.parse(f"binance:ohlcv:1d:{older}"), lambda: earlier)
    return market


class Lying(SimulatedExchange):
    """Answers every question for rows with nothing twice before it tells the truth."""

    def _failure(self) -> Failure | None:
        self._pages += 1
        return Failure("empty") if self._pages % 3 else None


class TestListing:
    """Field note: probe by one coarse candle, then bisect."""

    @pytest.mark.parametrize(
        "first", ["2024-01-04", "2023-12-31", "2017-08-17", "2014-06-27", "2011-10-01", "2009-04-03"]
    )
    def test_the_first_day_is_found(self, first, serve, visit):
        server = serve(daily_market(first, "2024-01-05"), NOW)

        assert visit(server, "binance", listed_at("binance:ohlcv:1m:NEW/USDT")) == parse_time(first)
        assert len([request for request in server.requests if request.path.endswith("klines")]) <= 12

    @pytest.mark.parametrize("text", ["binance:ohlcv:1m:NEW/USDT", "binance:trades:NEW/USDT"])
    def test_it_holds_for_every_kind(self, text, serve, visit):
        server = serve(daily_market("2023-12-20", "2024-01-05"), NOW)

        assert visit(server, "binance", listed_at(text)) == parse_time("2023-12-20")

    def test_a_first_day_is_no_listing_where_no_market_is_served_from_before(self, serve, visit):
        """Field note: the oldest row served is not the listing. A short history looks like a new market."""
        server = serve(daily_market("2023-12-20", "2024-01-05", older=None), NOW)

        assert visit(server, "binance", listed_at("binance:ohlcv:1m:NEW/USDT")) is None

    def test_a_first_day_with_the_first_trade_of_all_is_a_listing(self, server, visit):
        assert visit(server, "binance", listed_at("binance:ohlcv:1m:BTC/USDT")) == parse_time("2024-01-01")

    def test_a_first_week_without_days_is_no_listing(self, serve, visit):
        """Weeks may be served from further back than days."""
        market = daily_market("2023-12-20", "2024-01-05")
        weeks = days(parse_time("2023-06-05"), "2024-01-01").filter(pl.col("ts").dt.weekday() == 1)
        market.add(Dataset.parse("binance:ohlcv:1w:NEW/USDT"), lambda: weeks)

        assert visit(serve(market, NOW), "binance", listed_at("binance:ohlcv:1m:NEW/USDT")) is None

    def test_a_market_without_a_single_bar_has_no_first_day(self, serve, visit):
        market = Market()
        market.add(Dataset.parse("binance:ohlcv:1d:NEW/USDT"), lambda: pl.DataFrame(schema={"ts": TIME}))

        assert visit(serve(market, NOW), "binance", listed_at("binance:ohlcv:1d:NEW/USDT")) is None

    def test_it_cannot_be_found_where_only_the_newest_bars_are_served(self, server, visit):
        assert visit(server, "kraken", listed_at("kraken:ohlcv:1h:BTC/USD")) is None

    def test_a_delisted_markets_first_day_is_found(self, serve, visit):
        """Field note: delisted symbols; years without a bar after the last one."""
        server = serve(daily_market("2013-02-01", "2013-11-30"), NOW)

        assert visit(server, "binance", listed_at("binance:ohlcv:1d:NEW/USDT")) == parse_time("2013-02-01")

    def test_a_market_that_was_away_for_years_begins_with_its_first_day(self, serve, visit):
        """Field note: relisting. A later first day would mark real history as unlisted, so that nothing is missing."""
        market = daily_market("2013-02-01", "2013-11-30")
        ((dataset, (load,)),) = daily_market("2023-03-01", "2024-01-05", older=None).series.items()
        market.add(dataset, load)

        assert visit(serve(market, NOW), "binance", listed_at("binance:ohlcv:1d:NEW/USDT")) == parse_time("2013-02-01")

    def test_two_empty_lies_do_not_move_it(self, serve, visit):
        """An empty answer is asked again; to believe it would mark real history as unlisted."""
        honest = serve(daily_market("2017-08-17", "2024-01-05"), NOW)
        lying = Lying(honest.market, honest.clock)

        with lying.running():
            found = visit(lying, "binance", listed_at("binance:ohlcv:1d:NEW/USDT"))

        assert found == parse_time("2017-08-17")


class TestBook:
    def book(self, text: str, depth: int | None = None):
        async def use(source: CcxtSource) -> Page:
            return await source.book(Dataset.parse(text), depth)

        return use

    @pytest.mark.parametrize(
        ("text", "depth"), [("binance:book:BTC/USDT", 5), ("binance:book:BTC/USDT", 100), ("kraken:book:BTC/USD", 10)]
    )
    def test_it_is_one_snapshot_of_the_asked_depth_by_our_clock(self, text, depth, server, visit):
        """Field note: a REST snapshot often has no exchange time: keep the local time and say which clock it was."""
        page = visit(server, text.partition(":")[0], self.book(text, depth))

        assert page.frame.group_by("side").len().sort("side").rows() == [("ask", depth), ("bid", depth)]
        assert page.frame["seq"].n_unique() == page.frame["ts"].n_unique() == 1
        assert page.frame["is_snapshot"].all()
        assert page.clock == "local"
        assert page.frame["ts"].to_physical()[0] == 1_700_000_000 * SECOND
        assert "this machine's" in page.notes[0]
        assert page.covered == ()

    def test_a_contracts_book_has_the_exchanges_time(self, server, visit):
        page = visit(server, "binance", self.book("binance:book:BTC/USDT:USDT", 5))

        assert page.clock == "exchange"
        assert page.frame["ts"].to_physical()[0] == parse_time(NOW)
        assert page.notes == ()

    def test_bids_are_below_asks_around_the_last_price(self, server, market, visit):
        page = visit(server, "binance", self.book("binance:book:BTC/USDT", 20))

        bids = page.frame.filter(pl.col("side") == "bid")["price"]
        asks = page.frame.filter(pl.col("side") == "ask")["price"]
        bars = market.rows(
            "binance",
            Dataset.parse("binance:book:BTC/USDT").symbol,
            "ohlcv",
            Dataset.parse("binance:ohlcv:1m:A/B").timeframe,
        )
        last = bars.filter(pl.col("ts") <= pl.lit(NOW).str.to_datetime(time_zone="UTC"))["close"][-1]
        assert bids.max() < last < asks.min()

    def test_an_unknown_symbol_is_refused(self, server, visit):
        with pytest.raises(UnknownSymbol):
            visit(server, "binance", self.book("binance:book:NO/SUCH"))


class TestTheRest:
    @pytest.mark.parametrize("exchange", ["binance", "kraken"])
    def test_now_is_the_exchanges_time(self, exchange, server, visit):
        assert visit(server, exchange, CcxtSource.now) == parse_time(NOW)

    def test_instruments_are_sorted_by_symbol(self, server, visit):
        found = visit(server, "binance", CcxtSource.instruments)

        assert [one.symbol for one in found] == ["BTC/USDT", "BTC/USDT:USDT", "ETH/USDT", "ETH/USDT:USDT"]
        assert [one.market_type for one in found] == ["spot", "swap", "spot", "swap"]

    def test_provenance_names_call_tool_and_id_space(self, server, visit):
        async def use(source: CcxtSource):
            return [
                source.provenance(Dataset.parse(text))
                for text in ("binance:trades:BTC/USDT", "binance:mark_ohlcv:1m:BTC/USDT:USDT")
            ]

        trades, mark = visit(server, "binance", use)
        assert (trades.source, trades.endpoint, trades.id_space) == ("ccxt", "fetch_trades", "agg")
        assert (mark.endpoint, mark.id_space) == ("fetch_ohlcv price=mark", "")
        assert trades.tool.startswith("ccxt 4.")

    def test_two_sources_on_one_exchange_do_not_share_what_they_learned(self, serve, market, visit):
        first = visit(serve(market, NOW), "binance", CcxtSource.instruments)
        second = visit(
            serve(daily_market("2024-01-01", "2024-01-05", older=None), NOW), "binance", CcxtSource.instruments
        )

        assert len(first) == 4
        assert [one.symbol for one in second] == ["NEW/USDT"]

    def test_markets_are_loaded_once(self, server, visit):
        async def use(source: CcxtSource) -> None:
            for text in ("binance:ohlcv:1m:BTC/USDT", "binance:trades:BTC/USDT", "binance:funding:BTC/USDT:USDT"):
                await source.capability(Dataset.parse(text), parse_time(NOW))

        visit(server, "binance", use)

        asked = [request.path for request in server.requests if request.path.endswith("exchangeInfo")]
        assert len(asked) == len(set(asked))
