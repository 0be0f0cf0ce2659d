"""The facade: a lake, its snapshots, and the namespaces of its methods."""

from ticklake.lake.lake import Lake
from ticklake.lake.snapshot import Snapshot

__all__ = ["Lake", "Snapshot"]
