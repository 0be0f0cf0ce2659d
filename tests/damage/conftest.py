import shutil
import tempfile
from pathlib import Path

import pytest
from damage_lakes import fill

from ticklake.testing.clocks import OffsetClock


@pytest.fixture
def clock():
    return OffsetClock()


@pytest.fixture
def root(tmp_path):
    return tmp_path / "lake"


@pytest.fixture
def filled(root, tmp_path):
    """A closed lake with a file and an inline segment, and a backup of it in ``copy``."""
    fill(root, tmp_path / "copy")
    return root


@pytest.fixture
def open_folder():
    """A folder that any user may enter, unlike pytest's own."""
    made = Path(tempfile.mkdtemp())
    made.chmod(0o755)
    yield made
    for path in [made, *(path for path in made.rglob("*") if path.is_dir())]:
        path.chmod(0o755)
    shutil.rmtree(made)
