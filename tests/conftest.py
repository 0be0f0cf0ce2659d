from __future__ import annotations

import gc
import logging
import os
import shutil
import uuid
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest
from hypothesis import given, strategies

from ticklake.app import open_lake
from ticklake.config import Settings
from ticklake.core.time import parse_time
from ticklake.lake import Lake
from ticklake.testing.exchange.clock import SimulatedClock
from ticklake.testing.exchange.generated import generated_market
from ticklake.testing.exchange.market import Market
from ticklake.testing.exchange.recorded import recorded_market
from ticklake.testing.exchange.server import SimulatedExchange

RAM = Path("/dev/shm")
RAM_NEEDED = 4 * 2**30
"""Far more than two tests at once keep there; Docker's default of 64 MB is too little."""


def pytest_configure(config: pytest.Config) -> None:
    """Let tests keep their lakes in memory, where it has the room: a third of their time was waiting for a disk's fsync.

    No test can tell the difference, as none cuts the power but those that simulate it. The soak stays on the disk, and
    ``TICKLAKE_TEST_DISK=1`` or ``--basetemp`` keep everything there.
    """
    is_soak = config.option.markexpr == "soak"
    if is_soak or os.environ.get("TICKLAKE_TEST_DISK") or not os.access(RAM, os.W_OK):
        return
    if shutil.disk_usage(RAM).free >= RAM_NEEDED:
        os.environ.setdefault("PYTEST_DEBUG_TEMPROOT", str(RAM))


@pytest.hookimpl(trylast=True)
def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Let each process begin with its share of the slow tests: the others would wait for one that began last."""
    processes = getattr(config, "workerinput", {}).get("workercount", 1)
    slow, fast = [], []
    for item in items:
        if item.get_closest_marker("slow"):
            slow.append(item)
        else:
            fast.append(item)
    share = -(-len(fast) // processes)
    items.clear()
    # Each gets as many tests, one after the other, and takes of others what they have not begun.
    for number in range(processes):
        items += slow[number::processes] + fast[number * share : (number + 1) * share]


def pytest_collection_finish() -> None:
    """Spare the garbage collector what lives until the end: it went over all tests and modules again and again."""
    _let_hypothesis_begin()
    gc.collect()
    gc.freeze()


@given(strategies.none())
def _let_hypothesis_begin(_: None) -> None:
    """Let Hypothesis register its random numbers: it asks the collector who holds them, and the frozen are not told."""


RECORDED = Path(os.environ.get("TICKLAKE_TEST_DATA", Path(__file__).parents[2] / "shared" / "data"))


@pytest.fixture(autouse=True)
def _no_log_of_others() -> Iterator[None]:
    """Let no test write to the log that another one configured, as the shell does for its whole process."""
    yield
    for name in ("ticklake", "uvicorn.error", "py.warnings"):
        logger = logging.getLogger(name)
        logger.handlers.clear()
        logger.propagate = True
        logger.setLevel(logging.NOTSET)


@pytest.fixture(autouse=True)
def _own_state(tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Give every test turns at exchanges of its own: ports are used again, and pauses last."""
    state = tmp_path_factory.getbasetemp() / f"state-{uuid.uuid4().hex}"
    monkeypatch.setenv("TICKLAKE_STATE", str(state))
    yield
    shutil.rmtree(state, ignore_errors=True)


@pytest.fixture(scope="session")
def recorded() -> Path:
    """The folder of real recorded data; skipped without it, except in CI, where it must be there."""
    if not RECORDED.is_dir():
        if os.environ.get("CI"):
            pytest.fail(f"{RECORDED} is missing in CI")
        pytest.skip(f"no recorded data in {RECORDED}")
    return RECORDED


@pytest.fixture(scope="session")
def recorded_market_(recorded: Path) -> Market:
    return recorded_market(recorded)


@pytest.fixture(scope="session")
def market() -> Market:
    """A few days of the generated market."""
    return generated_market(parse_time("2024-01-01"), parse_time("2024-01-06"))


Serve = Callable[..., SimulatedExchange]


@pytest.fixture
def serve() -> Iterator[Serve]:
    """Start simulated exchanges; they stop with the test."""
    with ExitStack() as stack:

        def start(market: Market, now: str) -> SimulatedExchange:
            exchange = SimulatedExchange(market, SimulatedClock(parse_time(now)))
            return stack.enter_context(exchange.running())

        yield start


def settings_for(url: str, *, archives: bool = False, timeout: float | None = None) -> Settings:
    """Settings that reach a simulated exchange and are impatient; without its archive unless asked for."""
    if timeout is None:
        timeout = 8 if archives else 1  # a month of trades is made when it is asked for
    quick = {name: {"rate_limit_ms": 1, "timeout": timeout} for name in ("binance", "binanceus", "kraken")}
    return Settings(
        exchange_url=url, archives=archives, exchanges=quick, retry={"first_wait": 0.01, "longest_wait": 0.1}
    )


OpenLake = Callable[..., Lake]


@pytest.fixture
def lake_at(tmp_path: Path) -> Iterator[OpenLake]:
    """Open lakes on a simulated exchange; they close with the test."""
    with ExitStack() as stack:

        def start(
            exchange: SimulatedExchange | None = None,
            name: str = "lake",
            *,
            archives: bool = False,
            timeout: float | None = None,
        ) -> Lake:
            url = exchange.url if exchange else "http://127.0.0.1:9"
            settings = settings_for(url, archives=archives, timeout=timeout)
            return stack.enter_context(open_lake(tmp_path / name, settings=settings))

        yield start
