"""Metrics in Prometheus' text format (version 0.0.4): names that dashboards rely on, so they do not change."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence

from ticklake.core.dataset import Dataset
from ticklake.core.streams import StreamStatus
from ticklake.core.time import SECOND

__all__ = ["METRICS", "Sample", "family", "stream_metrics"]

_Value = Callable[[StreamStatus], float | None]
Sample = tuple[Mapping[str, str], float | None]
"""The labels of a value, and the value; one that is not known is left out."""


def _seconds(ns: int | None) -> float | None:
    if ns is None:
        return None
    return ns / SECOND


METRICS: dict[str, tuple[str, str, dict[str, _Value]]] = {
    "ticklake_stream_up": ("gauge", "Whether the exchange sends the stream now.", {"": lambda s: s.state == "live"}),
    "ticklake_stream_rows_total": (
        "counter",
        "Rows that were committed, by what became of them.",
        {
            "stored": lambda s: s.stored,
            "duplicate": lambda s: s.duplicate,
            "quarantined": lambda s: s.quarantined,
        },
    ),
    "ticklake_stream_rows_waiting": ("gauge", "Rows that wait for their commit.", {"": lambda s: s.waiting}),
    "ticklake_stream_rows_per_second": ("gauge", "Rows a second over the last minute.", {"": lambda s: s.rate}),
    "ticklake_stream_lag_seconds": (
        "gauge",
        "From the exchange's time of the newest row to its commit.",
        {"": lambda s: s.lag},
    ),
    "ticklake_stream_last_event_timestamp_seconds": (
        "gauge",
        "The exchange's time of the newest row.",
        {"": lambda s: _seconds(s.last_event)},
    ),
    "ticklake_stream_gaps_total": ("counter", "Holes that were found.", {"": lambda s: s.gaps}),
    "ticklake_stream_reconnects_total": ("counter", "Connections after the first.", {"": lambda s: s.reconnects}),
    "ticklake_stream_unparsed_total": (
        "counter",
        "Messages of the stream's connection that no reader understood.",
        {"": lambda s: s.unparsed},
    ),
}
"""Type, help, and how each value is found, by the label ``result`` where there are several."""


def stream_metrics(status: Sequence[StreamStatus]) -> Iterator[str]:
    """Yield the lines of the metrics of streams, each with the labels ``exchange``, ``kind``, ``symbol`` and ``timeframe``."""
    labelled = [(_labels(stream.dataset), stream) for stream in status]
    for name, (sort, text, values) in METRICS.items():
        yield from family(name, sort, text, _samples(labelled, values))


def family(name: str, sort: str, text: str, samples: Iterable[Sample]) -> Iterator[str]:
    """Yield the lines of one metric: its help, its type (``gauge`` or ``counter``), and its values."""
    # Also without any value: whoever looks for the name learns that it exists.
    yield f"# HELP {name} {text}"
    yield f"# TYPE {name} {sort}"
    for labels, value in samples:
        if value is not None:
            words = ",".join(f'{label}="{_escaped(word)}"' for label, word in labels.items())
            if words:
                words = f"{{{words}}}"
            yield f"{name}{words} {_number(value)}"


def _samples(
    labelled: Iterable[tuple[Mapping[str, str], StreamStatus]], values: Mapping[str, _Value]
) -> Iterator[Sample]:
    for labels, stream in labelled:
        for result, find in values.items():
            if result:
                yield {**labels, "result": result}, find(stream)
            else:
                yield labels, find(stream)


def _labels(name: str) -> dict[str, str]:
    dataset = Dataset.parse(name)
    return {
        "exchange": dataset.exchange,
        "kind": dataset.kind,
        "symbol": str(dataset.symbol),
        "timeframe": dataset.timeframe_text or "",
    }


def _escaped(text: str) -> str:
    return text.replace("\\", "\\\\").replace('"', '\\"').replace("\n", "\\n")


def _number(value: float) -> str:
    # Prometheus reads both; a count is easier to read for people without ".0".
    if float(value).is_integer():
        return str(int(value))
    return repr(float(value))
