"""A remote lake answers what the lake at hand answers."""

from __future__ import annotations

from typing import Any

import polars as pl
import pytest
from polars.testing import assert_frame_equal

from tests.interfaces.client.scenario import QUESTIONS
from ticklake.core.book import Book
from ticklake.core.feature_values import FeatureDescription
from ticklake.core.frame import Frame
from ticklake.core.frames import Frames
from ticklake.core.sql import SqlResult
from ticklake.errors import TicklakeError


def plain(answer: Any) -> Any:
    """Return an answer as values that are equal if the answers are."""
    match answer:
        case Book():
            facts = (answer.reason, answer.at, answer.ts, answer.seq, answer.version, answer.proof, answer.flags)
            return facts, answer.stretches, table(answer)
        case pl.DataFrame():
            return table(answer)
        case pl.LazyFrame():
            return table(answer.collect())
        case Frame():
            tables = {name: table(rows) for name, rows in {**answer.bars, **dict(answer._tables())}.items()}
            return (
                answer.digest(),
                tables,
                answer.missing,
                answer.latest_price(),
                dict(answer.imbalances),
                answer.sources,
            )
        case SqlResult():
            return table(answer.frame), answer.version, answer.complete
        case Frames():
            return answer.instants.tolist(), answer.version, list(map(plain, answer))
        case FeatureDescription():
            return answer.features, answer.datasets, answer.rows, answer.first, answer.last, table(answer.days)
        case list() | tuple():
            return list(map(plain, answer))
    if hasattr(answer, "__next__"):
        return list(map(plain, answer))
    return answer


def table(rows: pl.DataFrame) -> Any:
    return list(rows.schema.items()), rows.rows()


def answered(question: Any, lake: Any) -> Any:
    try:
        return plain(question.ask(lake))
    except TicklakeError as error:
        return type(error), str(error)


@pytest.mark.parametrize("question", QUESTIONS, ids=lambda question: question.verb)
def test_the_client_answers_what_the_lake_answers(shared, question):
    lake, remote = shared
    assert answered(question, remote) == answered(question, lake)


_ = assert_frame_equal
