"""Words: what arguments of the verbs of a lake may be."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal

from ticklake.core.dataset import Dataset

__all__ = ["Columns", "DatasetLike", "Fill", "How", "Label", "Unit"]

Columns = str | Sequence[str]
"""One column, or several."""
DatasetLike = str | Dataset
"""A dataset, or its name."""
How = Literal["outer", "inner", "grid"]
"""Which times a panel has."""
Label = Literal["open", "close"]
"""By which time bars are named in a panel."""
Fill = Literal["forward"]
"""How missing values of a panel are filled."""
Unit = Literal["price", "bps"]
"""The unit of a markout."""
