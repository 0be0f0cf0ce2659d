import os
from pathlib import Path

import pytest
from harness import Workshop, Zygote


@pytest.fixture(scope="session")
def zygote():
    if not hasattr(os, "fork") or not Path("/proc/self/fd").is_dir():
        pytest.skip("killing writers by the hundred needs fork and /proc")
    zygote = Zygote()
    yield zygote
    zygote.close()


@pytest.fixture
def workshop(zygote, tmp_path):
    return Workshop(zygote, tmp_path)
