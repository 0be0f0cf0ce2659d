"""A refresh that dies at any of its statements leaves what was there, and the next one ends with the same."""

import pytest
from test_derive import HOURS, TRADES, segments, trades

from ticklake.app import open_lake
from ticklake.catalog import catalog, rules
from ticklake.config import Settings
from ticklake.engine import replacement, store
from ticklake.query import derive


class Killed(BaseException):
    """What no code catches."""


def dying(function, after):
    """Run *function* so many times, and die then: before it is called, or after it has done its work."""
    calls = [0]

    def die(*arguments, **named):
        calls[0] += 1
        if calls[0] == 1 and not after:
            raise Killed
        result = function(*arguments, **named)
        if calls[0] == 1:
            raise Killed
        return result

    return die


STEPS = {
    "rows written": (replacement, "write_segments"),
    "changes applied": (catalog, "apply_changes"),
    "rule advanced": (derive, "advance_within"),
    "committed": (store.Store, "retire"),
    "change made": (derive, "replace_rows"),
    "statement of the rule": (rules, "update"),
}


@pytest.mark.parametrize("after", [False, True], ids=["before", "after"])
@pytest.mark.parametrize("step", STEPS)
def test_a_killed_refresh_repeats_its_work_and_changes_nothing_twice(tmp_path, monkeypatch, step, after):
    root = tmp_path / "lake"
    with open_lake(root, settings=Settings()) as lake:
        lake.save(TRADES, trades(0, 600))
        lake.derive("hours", TRADES, "1h")
        lake.derived.refresh()
        lake.save(TRADES, trades(0, 720, bump=1.0))
        lake.delete(TRADES, "2024-03-08T02:00", "2024-03-08T03:00")
        before = lake.load(HOURS), lake.derived.get("hours").read_version, lake.engine.catalog.version()
        where, name = STEPS[step]
        with monkeypatch.context() as patch:
            patch.setattr(where, name, dying(getattr(where, name), after))
            with pytest.raises(Killed):
                lake.derived.refresh()
        is_committed = lake.engine.catalog.version() > before[2]
        assert is_committed == (step == "committed")
        if not is_committed:
            assert lake.load(HOURS).equals(before[0])
            assert lake.derived.get("hours").read_version == before[1]
    with open_lake(root, settings=Settings()) as lake:
        lake.derived.refresh()
        assert lake.load(HOURS).equals(lake.resample(TRADES, "1h"))
        assert lake.engine.catalog.version() == before[2] + 1
        kept = segments(lake)
        lake.derived.refresh()
        assert segments(lake) == kept
        assert lake.verify(deep=True) == []
