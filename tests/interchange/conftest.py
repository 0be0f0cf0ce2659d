from __future__ import annotations

import json
import os
import subprocess
from dataclasses import dataclass
from pathlib import Path

import polars as pl
import pytest

ROOT = Path(__file__).parents[2]
PEERS = os.environ.get("TICKLAKE_TEST_PEERS")


@dataclass(frozen=True)
class Peer:
    """The real dccd, in its own process and environment."""

    python: Path
    folder: Path
    scratch: Path

    def write(self, root, exchange, pair, kind, span, rows):
        """Let dccd 3 store rows that have its columns."""
        rows.write_parquet(self.scratch)
        self._run("dccd_3.py", "write", root, exchange, pair, kind, span, self.scratch)

    def write_v2(self, root, exchange, pair, kind, span, rows):
        """Let dccd 2 store rows that have its columns."""
        rows.write_parquet(self.scratch)
        self._run("dccd_2.py", root, exchange, pair, kind, span, self.scratch, path=self.folder / "v2")

    def read(self, root, exchange, pair, kind, span=""):
        """Return what dccd 3 reads."""
        self._run("dccd_3.py", "read", root, exchange, pair, kind, span, self.scratch)
        return pl.read_parquet(self.scratch)

    def inventory(self, root):
        return json.loads(self._run("dccd_3.py", "inventory", root))

    def _run(self, script, *arguments, path=None):
        command = [self.python, ROOT / "tests" / "peers" / script, *map(str, arguments)]
        env = {"PATH": os.environ["PATH"], **({"PYTHONPATH": str(path)} if path else {})}
        done = subprocess.run(command, capture_output=True, text=True, env=env)
        assert done.returncode == 0, done.stderr
        return done.stdout


@pytest.fixture
def dccd(tmp_path) -> Peer:
    """The real dccd; skipped where it is not installed, except where ``make test`` says that it is."""
    folder = (ROOT / (PEERS or ".venv-peers")).absolute()
    python = folder / "bin" / "python"
    if not (folder / "ready").exists():
        if PEERS:
            pytest.fail(f"dccd should be in {folder}: make {folder.name}/ready")
        pytest.skip(f"dccd is not installed in {folder}: make {folder.name}/ready")
    return Peer(python, folder, tmp_path / "rows.parquet")
