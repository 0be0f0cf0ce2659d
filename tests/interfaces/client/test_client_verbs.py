"""A remote lake has the verbs of a lake, with the same parameters; what it lacks is listed, with the reason."""

from __future__ import annotations

import inspect
from operator import attrgetter

import pytest

import ticklake
from tests.interfaces.client.scenario import QUESTIONS
from ticklake.core.verbs import ReadVerbs
from ticklake.errors import Unsupported
from ticklake.interfaces.client.asking import VERBS
from ticklake.interfaces.client.features import RemoteFeatures
from ticklake.interfaces.client.jobs import RemoteJobs, RemoteRuns, RemoteSchedules, RemoteStreams
from ticklake.interfaces.client.remote_lake import RemoteDerived, RemoteInstruments, RemoteLake
from ticklake.interfaces.client.remote_snapshot import RemoteSnapshot
from ticklake.interfaces.client.remote_view import LOCAL_ONLY
from ticklake.lake import Lake, Snapshot

READS = {name for name in vars(ReadVerbs) if not name.startswith("_")}
NAMESPACES = {
    "derived": (ticklake.Derived, RemoteDerived, {"declare", "names", "refresh"}),
    "features": (ticklake.Features, RemoteFeatures, {"diff", "lineage", "materialise", "verify"}),
    "instruments": (ticklake.LakeInstruments, RemoteInstruments, {"refresh", "rename"}),
    "jobs": (ticklake.Jobs, RemoteJobs, {"create_all", "is_active", "new", "queue", "operations", "worker"}),
    "runs": (ticklake.Runs, RemoteRuns, {"close", "closing", "counts", "ended", "kept_up", "note_end", "of_job", "trim_logs"}),
    "schedules": (ticklake.Schedules, RemoteSchedules, {"make", "scheduler", "table"}),
    "streams": (ticklake.Streams, RemoteStreams, {"close", "forget", "newest", "replay", "rows", "run", "stats", "subscribe"}),
}  # fmt: skip
"""What of a namespace works on the files, the processes or the functions of the lake's machine."""
OTHERWISE = {
    "features.write": {"provenance"},
    "repair": {"backup", "retry"},
    "subscribe": {"committed", "most_rows"},
    "jobs.start": {"worker"},
    "jobs.cleanup_completed": {"max_age_hours"},
    "schedules.add": {"what", "managed"},
    "streams.start": {"wait"},
}
"""Parameters that a verb has at hand alone."""
MORE = {"jobs.start": {"watch"}, "subscribe": {"live"}, "runs.list": {"before"}}
"""Parameters that a verb has from afar alone."""


def public(kind):
    return {name for name in dir(kind) if not name.startswith("_")}


def parameters(function):
    return list(inspect.signature(function).parameters.values())


@pytest.mark.parametrize("kind", [Lake, Snapshot, RemoteLake, RemoteSnapshot])
@pytest.mark.parametrize("verb", sorted(READS))
def test_whoever_reads_keeps_the_protocol(kind, verb):
    ours, theirs = inspect.signature(getattr(kind, verb)), inspect.signature(getattr(ReadVerbs, verb))
    named = [(each.name, each.kind, each.default) for each in ours.parameters.values()]
    assert named == [(each.name, each.kind, each.default) for each in theirs.parameters.values()]
    assert ours.return_annotation == theirs.return_annotation


def test_every_verb_of_a_lake_has_a_twin_or_a_reason():
    instance = {"runs", "root", "engine"}
    missing = (public(Lake) | instance) - public(RemoteLake)
    assert missing == set(LOCAL_ONLY)
    assert public(Snapshot) - public(RemoteSnapshot) - {"version"} <= set(LOCAL_ONLY)
    for lake, remote, alone in NAMESPACES.values():
        assert public(lake) - public(remote) == alone & public(lake)


def test_every_verb_that_reads_is_asked_in_the_parity_test():
    asked = {question.verb for question in QUESTIONS}
    assert asked >= READS
    # What changes over time, or is asked for in tests of its own.
    apart = {"adjusted", "derived.get", "derived.list", "instruments.list", "latest", "stats"}
    assert set(VERBS) - asked == apart


def test_the_parameters_of_other_verbs_are_the_same_but_for_those_listed():
    pairs = [
        (name, getattr(Lake, name), getattr(RemoteLake, name)) for name in public(Lake) & public(RemoteLake) - READS
    ]
    for space, (lake, remote, _) in NAMESPACES.items():
        pairs += [
            (f"{space}.{name}", getattr(lake, name), getattr(remote, name)) for name in public(lake) & public(remote)
        ]
    for name, ours, theirs in pairs:
        if callable(ours):
            here, there = ({each.name: each.default for each in parameters(each)} for each in (ours, theirs))
            assert here.keys() - there.keys() == OTHERWISE.get(name, set()), name
            assert there.keys() - here.keys() <= MORE.get(name, set()), name


def test_what_makes_no_sense_from_afar_says_so(shared):
    _, remote = shared
    with pytest.raises(Unsupported, match="a remote lake has no engine: the lake is elsewhere"):
        _ = remote.engine
    with pytest.raises(Unsupported, match="no admin"):
        remote.at(1).admin.compact()
    with pytest.raises(AttributeError, match="no_such"):
        _ = remote.no_such
    assert not hasattr(remote, "engine")


@pytest.mark.parametrize(
    "name",
    [
        *("features.materialise", "features.verify", "features.diff", "features.lineage", "derived.refresh"),
        *("jobs.worker", "schedules.scheduler", "streams.run", "streams.replay"),
    ],
)
def test_what_a_namespace_lacks_says_so(shared, name):
    at_hand, remote = shared
    assert callable(attrgetter(name)(at_hand))
    with pytest.raises(Unsupported, match=r"^a remote lake has no \w+: "):
        attrgetter(name)(remote)
    with pytest.raises(AttributeError):
        attrgetter(name)(remote)
