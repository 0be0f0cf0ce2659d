"""The facade: one class, a module for each thing a user wants of a lake."""

from ticklake.lake.facade import Lake
from ticklake.lake.snapshot import Snapshot

__all__ = ["Lake", "Snapshot"]
