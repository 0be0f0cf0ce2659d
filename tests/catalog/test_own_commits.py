from ticklake.catalog import own_commits
from ticklake.catalog.own_commits import OwnCommits
from ticklake.core.dataset import Dataset

BTC, ETH = (Dataset.parse(f"x:trades:{name}/USDT") for name in ("BTC", "ETH"))


def test_what_its_commits_did_not_change_is_left_alone():
    own = OwnCommits()
    own.note(5, [BTC])
    own.note(6, [BTC, BTC])
    assert own.left_alone([ETH], 4, 6)
    assert not own.left_alone([ETH, BTC], 4, 6)
    assert own.left_alone([BTC], 6, 6)


def test_commits_of_others_may_have_changed_everything():
    own = OwnCommits()
    own.note(5, [BTC])
    own.note(7, [BTC])
    assert not own.left_alone([ETH], 4, 7)
    assert not own.left_alone([ETH], 7, 5)


def test_only_the_newest_commits_are_remembered(monkeypatch):
    monkeypatch.setattr(own_commits, "_REMEMBERED", 2)
    own = OwnCommits()
    for version in (1, 2, 3):
        own.note(version, [BTC])
    assert own.left_alone([ETH], 1, 3)
    assert not own.left_alone([ETH], 0, 3)
    assert len(own._changed) == 2
