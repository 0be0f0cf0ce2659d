import pytest

from ticklake.catalog.database import Database


class Clock:
    """A clock that a test moves by hand."""

    def __init__(self):
        self.now = 1_700_000_000 * 10**9

    def __call__(self):
        return self.now


@pytest.fixture
def clock():
    return Clock()


@pytest.fixture(params=["file", "memory"])
def database(request, tmp_path):
    in_file = request.param == "file"
    database = Database.in_file(tmp_path / "catalog.db") if in_file else Database.in_memory()
    yield database
    database.close()
