"""Every layout of dump sites end to end: files of the simulated sites, downloaded over HTTP, checked and read."""

from __future__ import annotations

import asyncio
from functools import partial

import polars as pl
import pytest

from ticklake.core.archive_plan import Period, Piece, plan_archives
from ticklake.core.dataset import Dataset
from ticklake.core.instrument import Instrument
from ticklake.core.merge import key_of_batch
from ticklake.core.span import Span, normalise
from ticklake.core.time import parse_time
from ticklake.sources.archives.downloads import Downloads
from ticklake.sources.archives.http import Site, SiteRetry
from ticklake.sources.archives.layouts import LAYOUTS, Layout
from ticklake.sources.archives.source import ArchiveSource
from ticklake.testing.exchange.clock import SimulatedClock
from ticklake.testing.exchange.faults import Faults
from ticklake.testing.exchange.generated import generated_market
from ticklake.testing.exchange.market import Market
from ticklake.testing.exchange.server import SimulatedExchange

FROM, UNTIL, NOW = "2024-12-31", "2025-01-03", "2025-02-02"
MARKETS = {"spot": "BTC/USDT", "linear": "BTC/USDT:USDT", "inverse": "BTC/USD:BTC"}
NATIVE = {
    "binance": {"spot": "BTCUSDT", "linear": "BTCUSDT", "inverse": "BTCUSD_PERP"},
    "bybit": {"linear": "BTCUSDT", "inverse": "BTCUSD"},
    "okx": {"spot": "BTC-USDT", "linear": "BTC-USDT-SWAP", "inverse": "BTC-USD-SWAP"},
}
ROWS = [row for row in LAYOUTS if row.exchange in NATIVE]


def named(layout: Layout) -> str:
    return f"{layout.exchange}-{layout.market}-{layout.path.split('/')[-2 if '{symbol}' in layout.path else -1]}-{layout.kind}-{layout.id_space}"


@pytest.fixture(scope="module")
def everywhere() -> Market:
    """The generated perpetual of Binance, listed on every exchange in every form, around a new year."""
    source = generated_market(parse_time(FROM), parse_time("2025-01-05"))
    perpetual = Dataset.parse("binance:trades:BTC/USDT:USDT").symbol
    market = Market()

    def rows(kind: str, frame: str | None) -> pl.DataFrame:
        asked = Dataset.of("binance", str(perpetual), kind, frame)
        return source.rows("binance", perpetual, kind, asked.timeframe)

    for layout in ROWS:
        frame = "1m" if layout.timeframes else None
        dataset = Dataset.of(layout.exchange, MARKETS[layout.market], layout.kind, frame)
        made = partial(_quotes, rows("trades", None)) if layout.kind == "quotes" else partial(rows, layout.kind, frame)
        if dataset not in market.series:
            market.add(dataset, made)
    return market


def _quotes(trades: pl.DataFrame) -> pl.DataFrame:
    price, amount = pl.col("price"), pl.col("amount")
    sides = {"bid_price": price - 1, "bid_amount": amount, "ask_price": price + 1, "ask_amount": amount * 2}
    return trades.select("ts", seq=pl.col("id").cast(pl.Int64), **sides)


@pytest.fixture(scope="module")
def sites(everywhere):
    exchange = SimulatedExchange(everywhere, SimulatedClock(parse_time(NOW)))
    with exchange.running():
        yield exchange


def fetched(sites, root, layout: Layout, span: Span, periods: tuple[Period, ...]) -> tuple[pl.DataFrame, list[Span]]:
    """Return the rows that the files of a layout hold of a span, and what they cover."""
    symbol = MARKETS[layout.market]
    frame = "1m" if layout.timeframes else None
    dataset = Dataset.of(layout.exchange, symbol, layout.kind, frame)
    details = {"inverse": layout.market == "inverse"}
    kind = "spot" if layout.market == "spot" else "swap"
    listed = [Instrument(layout.exchange, symbol, NATIVE[layout.exchange][layout.market], kind, details=details)]

    async def lister() -> list[Instrument]:
        return listed

    async def go() -> tuple[pl.DataFrame, list[Span]]:
        site = Site(SiteRetry(attempts=6, first_wait=0.01, longest_wait=0.05, timeout=10))
        address, now = f"{sites.url}/archive/{layout.exchange}", parse_time(NOW)
        source = ArchiveSource(layout.exchange, address, Downloads(root, site), site, lister, lambda: now)
        frames, covered = [dataset.spec.empty().select(dataset.spec.names)], []
        try:
            shelf = await source.shelf(dataset, layout.id_space)
            assert shelf is not None
            assert shelf.layout == layout
            terms = shelf.terms(now)
            for piece in plan_archives(span, type(terms)(periods, now, terms.offset)):
                assert isinstance(piece, Piece)
                assert piece.file is not None
                async with source.opened(shelf, piece.file) as path:
                    async for page in source.pages(shelf, piece, path, span):
                        frames.append(page.frame)
                        covered += [one.span for one in page.covered]
        finally:
            await source.close()
        return pl.concat(frames, how="diagonal"), normalise(covered)

    return asyncio.run(go())


def differs(rows: pl.DataFrame, want: pl.DataFrame, layout: Layout) -> list[str]:
    """Return the columns that the layout takes and that are not what the market has."""
    taken = [name for name in layout.takes if name in want.columns] + (["side"] if "taker" in layout.takes else [])
    kept = [name for name in taken if name != "interval" and want[name].null_count() == 0]
    assert len(kept) >= 2, "there is something to compare"
    return [name for name in kept if not rows[name].equals(want[name])]


class TestEveryLayout:
    @pytest.mark.parametrize("layout", ROWS, ids=named)
    def test_its_files_hold_what_the_market_has(self, layout, sites, everywhere, tmp_path):
        """Oddities: seconds, ms and us in the same spot dataset, China's days, newest first, contracts and coins."""
        whole = Span.parse(FROM, UNTIL) if Period.DAY in layout.periods else Span.parse("2025-01-01", "2025-02-01")
        span = Span(whole.start + layout.offset + (86_400 * 10**9 if layout.offset else 0), whole.end + layout.offset)
        period = Period.DAY if Period.DAY in layout.periods else Period.MONTH
        rows, covered = fetched(sites, tmp_path, layout, span, (period,))
        dataset = Dataset.of(layout.exchange, MARKETS[layout.market], layout.kind, "1m" if layout.timeframes else None)
        market = everywhere.rows(dataset.exchange, dataset.symbol, dataset.kind, dataset.timeframe)
        (reach,) = covered
        ts = market["ts"].to_physical()
        want = market.filter((ts >= reach.start) & (ts < reach.end))
        assert rows.height == want.height > 0
        assert differs(rows, want, layout) == []
        assert reach.end == span.end
        assert reach.start <= span.start + layout.grid
        assert key_of_batch(rows, dataset.spec) in {"id", "natural"}
        assert not any(tmp_path.rglob("*.part")), "nothing stays behind"

    @pytest.mark.parametrize("layout", [row for row in ROWS if len(row.periods) == 2], ids=named)
    def test_its_monthly_files_hold_the_same(self, layout, sites, tmp_path):
        span = Span.parse("2025-01-01", "2025-02-01")
        monthly, _ = fetched(sites, tmp_path, layout, span, (Period.MONTH,))
        days = Span.parse("2025-01-01", "2025-01-05")
        daily, _ = fetched(sites, tmp_path, layout, days, (Period.DAY,))
        assert monthly.height > 0
        assert monthly.equals(daily)

    @pytest.mark.parametrize("exchange", NATIVE)
    def test_a_file_that_breaks_off_is_gone_on_with(self, exchange, everywhere, tmp_path):
        layout = next(row for row in ROWS if row.exchange == exchange and row.kind == "trades")
        site = SimulatedExchange(everywhere, SimulatedClock(parse_time(NOW)), Faults(archive_truncate_every=2))
        span = Span.parse("2024-12-31T16:00:00Z" if layout.offset else "2024-12-31", "2025-01-02T16:00:00Z")
        span = span if layout.offset else Span.parse("2024-12-31", "2025-01-03")
        with site.running():
            rows, _ = fetched(site, tmp_path, layout, span, (Period.DAY,))
        resumed = [one for one in site.downloads if one.status == 206]
        assert resumed
        assert all(one.start > 0 for one in resumed)
        assert rows["id"].is_unique().all()
        assert rows.height > 1_000

    def test_only_binance_tells_checksums(self, sites, http):
        paths = {
            "binance": "data/spot/daily/klines/BTCUSDT/1m/BTCUSDT-1m-2025-01-01.zip",
            "bybit": "trading/BTCUSDT/BTCUSDT2025-01-01.csv.gz",
            "okx": "cdn/okex/traderecords/trades/daily/20250101/BTC-USDT-trades-2025-01-01.zip",
        }
        told = {}
        for exchange, path in paths.items():
            told[exchange] = http(f"{sites.url}/archive/{exchange}/{path}.CHECKSUM").status
        assert told == {"binance": 200, "bybit": 404, "okx": 404}
