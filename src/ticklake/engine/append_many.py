"""Appends to many datasets at once, of batches that cannot meet stored rows.

They are checked, sorted and encoded in one frame (docs/adr/0039). A batch that may meet stored rows, is refused in part or repeats a key is left to
the ordinary way, which looks at each batch alone.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from ticklake.catalog.changes import Change, DatasetRow
from ticklake.core.append_log import Arrival
from ticklake.core.checks import refused_in
from ticklake.core.dataset import Dataset
from ticklake.core.joined_batches import BatchFacts, join_batches
from ticklake.core.merge import Keying
from ticklake.core.results import Receipt
from ticklake.core.segment import Segment
from ticklake.core.span import ALL_TIME, Span
from ticklake.engine.incoming import (
    Incoming,
    Outcome,
    is_known,
    meets,
    next_seq,
    observation_time,
    reach_of,
    read_span,
)
from ticklake.engine.recent import Part
from ticklake.engine.store import HighestId, Store
from ticklake.storage import segments

__all__ = ["append_unmet"]

_FEWEST = 4
"""Fewer batches are no faster together."""


def append_unmet(
    store: Store,
    group: Sequence[Incoming],
    keyings: Sequence[Keying],
    heads: Mapping[Dataset, DatasetRow],
    version: int,
    now: int,
) -> dict[int, Outcome]:
    """Return what becomes of those batches of a group, by their places, whose rows cannot meet stored ones.

    *heads* are the datasets as of *version*.
    """
    alike: dict[Any, list[int]] = {}
    for place, (batch, keying) in enumerate(zip(group, keyings, strict=True)):
        if 0 < batch.frame.height <= segments.INLINE_ROWS:
            dataset = batch.dataset
            alike.setdefault((dataset.kind_text, dataset.timeframe, dataset.anchor, keying), []).append(place)
    outcomes: dict[int, Outcome] = {}
    for places in alike.values():
        if len(places) >= _FEWEST:
            outcomes |= _append_alike(
                store, {place: group[place] for place in places}, keyings[places[0]], heads, version, now
            )
    return outcomes


def _append_alike(
    store: Store,
    batches: Mapping[int, Incoming],
    keying: Keying,
    heads: Mapping[Dataset, DatasetRow],
    version: int,
    now: int,
) -> dict[int, Outcome]:
    """Return what becomes of batches of one kind that are keyed alike."""
    sound = _without_refused(batches, keying, now)
    if not sound:
        return {}
    kind = next(iter(sound.values())).dataset.spec
    joined = join_batches([batch.frame for batch in sound.values()], kind, keying)
    unmet: list[tuple[int, Incoming, BatchFacts, Span, HighestId | None]] = []
    for (place, batch), facts in zip(sound.items(), joined.facts, strict=True):
        head, known = heads.get(batch.dataset), store.highest_ids.get(batch.dataset)
        reach = reach_of(facts.first, facts.last, keying)
        if not facts.has_repeats and not meets(batch, reach, facts.lowest, head, known):
            unmet.append((place, batch, facts, reach, _highest_id(facts, reach, head, known)))
    encoded = segments.encode_inline_parts(joined.frame, [(facts.start, facts.rows) for _, _, facts, _, _ in unmet])
    observed_now = store.now()
    outcomes: dict[int, Outcome] = {}
    parts: list[Part] = []
    for (place, batch, facts, reach, highest_id), data in zip(unmet, encoded, strict=True):
        # A longer one becomes a file, in the ordinary way.
        if len(data) > segments.INLINE_BYTES:
            continue
        seq, observed_at = next_seq(heads.get(batch.dataset)), observation_time(batch, observed_now)
        segment = segments.inline_segment_of(data, seq, facts.rows, facts.first, facts.last, observed_at)
        outcomes[place] = _outcome(batch, facts, keying, segment, read_span(reach, highest_id), highest_id, version)
        parts.append(Part(batch.dataset, segment.id, facts.start, facts.rows))
    store.recent.add(joined.frame, parts)
    return outcomes


def _without_refused(batches: Mapping[int, Incoming], keying: Keying, now: int) -> dict[int, Incoming]:
    """Return the batches of which every row can be true."""
    dataset = next(iter(batches.values())).dataset
    frames = [batch.frame for batch in batches.values()]
    refused = refused_in(frames, dataset, now, needs_id=keying == "id")
    return {place: batch for number, (place, batch) in enumerate(batches.items()) if number not in refused}


def _highest_id(facts: BatchFacts, reach: Span, head: DatasetRow | None, known: HighestId | None) -> HighestId | None:
    """Return the highest id that the dataset has with an unmet batch; ``None`` if that is not known."""
    # Only rows that are keyed by id have one.
    if facts.highest is None:
        return None
    if head is None or head.max_ts is None:
        return HighestId(0, ALL_TIME.start, facts.highest)
    if known is not None and is_known(known, head, reach.start):
        return HighestId(0, known.since, max(known.highest, facts.highest))
    if head.max_ts < reach.start:
        return HighestId(0, reach.start, facts.highest)
    return None


def _outcome(
    batch: Incoming,
    facts: BatchFacts,
    keying: Keying,
    segment: Segment,
    unchanged: Span | None,
    highest_id: HighestId | None,
    version: int,
) -> Outcome:
    rows = facts.rows
    change = Change(
        batch.dataset,
        keying=keying,
        id_space=batch.origin.id_space,
        add=(segment,),
        coverage=batch.coverage,
        new_rows=rows,
        read_version=version,
        read_span=unchanged,
        arrival=Arrival(facts.first, facts.last, facts.first_id, facts.last_id, rows, rows, 0, 0),
    )
    return Outcome(change, Receipt(rows, rows), highest_id)
