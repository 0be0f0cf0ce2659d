"""Rules and feature sets in the catalog."""

import pytest

from ticklake.catalog.feature_sets import FeatureSetTable
from ticklake.catalog.rules import RuleTable
from ticklake.errors import BadInput, Conflict

DEFINITION = {"from": ["binance:trades:*"], "bars": "1h", "ä": [1, 2.5, None]}


@pytest.fixture
def rules(database, clock):
    return RuleTable(database, clock)


@pytest.fixture
def features(database, clock):
    return FeatureSetTable(database, clock)


def test_a_rule_is_read_back(rules, clock):
    rule = rules.add("hours", DEFINITION, "abc")
    assert rules.list() == [rule] == [rules.get("hours")]
    assert (rule.definition, rule.hash, rule.read_version, rule.created_at) == (DEFINITION, "abc", 0, clock())


def test_a_rule_is_added_once(rules):
    rules.add("hours", DEFINITION, "abc")
    with pytest.raises(BadInput, match="already"):
        rules.add("hours", {}, "other")
    assert rules.get("hours").hash == "abc"


def test_a_rule_advances_from_where_it_was_read_and_only_once(rules):
    before = rules.add("hours", DEFINITION, "abc")
    rules.advance(before, 7)
    assert rules.get("hours").read_version == 7
    with pytest.raises(Conflict):
        rules.advance(before, 9)
    assert rules.get("hours").read_version == 7


def test_a_rule_that_was_dropped_and_declared_again_is_another(rules, clock):
    before = rules.add("hours", DEFINITION, "abc")
    rules.remove("hours")
    clock.now += 1
    rules.add("hours", DEFINITION, "abc")
    with pytest.raises(Conflict):
        rules.advance(before, 7)


def test_a_rule_changes_its_state_and_goes(rules):
    rules.add("hours", DEFINITION, "abc")
    rules.set_state("hours", "paused")
    assert rules.get("hours").state == "paused"
    rules.remove("hours")
    assert (rules.list(), rules.find("hours")) == ([], None)
    for change in (rules.get, rules.remove, lambda name: rules.set_state(name, "active")):
        with pytest.raises(BadInput, match="there is no rule 'hours'"):
            change("hours")


def test_versions_of_a_feature_set_are_rows_of_their_own(features, clock):
    first = features.add("momentum", "v2", DEFINITION, "abc")
    clock.now += 1
    second = features.add("momentum", "v1", {}, "def")
    other = features.add("flow", "v1", {}, "ghi")
    assert features.list() == [other, first, second]
    assert features.list("momentum") == [first, second]
    assert features.get("momentum", "v2").definition == DEFINITION
    with pytest.raises(BadInput, match="already"):
        features.add("momentum", "v1", DEFINITION, "abc")


def test_a_feature_set_changes_its_state_and_goes_alone(features):
    features.add("momentum", "v1", {}, "abc")
    kept = features.add("momentum", "v2", {}, "abc")
    features.set_state("momentum", "v1", "deprecated")
    assert features.get("momentum", "v1").state == "deprecated"
    features.delete("momentum", "v1")
    assert features.list() == [kept]
    for change in (features.get, features.delete, lambda *key: features.set_state(*key, "active")):
        with pytest.raises(BadInput, match="there is no feature set momentum@v1"):
            change("momentum", "v1")
