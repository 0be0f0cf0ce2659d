import engine_lakes
import pytest
from engine_lakes import lake_in

from ticklake.app import memory_lake
from ticklake.config import Settings
from ticklake.testing.clocks import OffsetClock


@pytest.fixture
def clock():
    return OffsetClock()


@pytest.fixture
def root(tmp_path):
    return tmp_path / "lake"


@pytest.fixture
def engine_in():
    """Makes engines on a folder whose halves a test may replace; closes them."""
    made = []

    def make(folder, *parts, **named):
        made.append(engine_lakes.engine_in(folder, *parts, **named))
        return made[-1]

    yield make
    for engine in made:
        engine.catalog.database.close()


@pytest.fixture
def lake(root, clock):
    """A lake in a folder."""
    with lake_in(root, clock) as lake:
        yield lake


@pytest.fixture(params=["folder", "memory"])
def any_lake(request, root, clock):
    """A lake in a folder, and its twin in memory."""
    made = lake_in(root, clock) if request.param == "folder" else memory_lake(Settings(), clock)
    with made as lake:
        yield lake
