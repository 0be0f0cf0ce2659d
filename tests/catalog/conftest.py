import pytest

from ticklake.catalog.database import Database
from ticklake.testing.clocks import ManualClock


@pytest.fixture
def clock():
    return ManualClock(1_700_000_000 * 10**9)


@pytest.fixture(params=["file", "memory"])
def database(request, tmp_path):
    in_file = request.param == "file"
    database = Database.in_file(tmp_path / "catalog.db") if in_file else Database.in_memory()
    yield database
    database.close()
