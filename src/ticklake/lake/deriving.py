"""The namespace ``lake.derived``: datasets that are made of others by rules."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING, Any

from ticklake.catalog.rules import RuleTable, StoredRule
from ticklake.core.rules import DerivedRule, Refreshed, Rule, refuse_loop
from ticklake.errors import BadInput
from ticklake.lake.arguments import DatasetLike, as_list

if TYPE_CHECKING:
    from ticklake.core.bars import Bars
    from ticklake.core.timeframe import Timeframe
    from ticklake.engine.engine import Engine

__all__ = ["Derived"]


class Derived:
    """Rules, and what they make: ``derived.list()``, ``derived.refresh()``, ``derived.drop(name)``."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine
        self._rules = RuleTable(engine.catalog.database, engine.now)

    def declare(
        self,
        name: str,
        from_: DatasetLike | Iterable[DatasetLike],
        rule: str | Timeframe | Bars,
        *,
        kind: str | None = None,
        **edges: Any,
    ) -> DerivedRule:
        """Declare a rule: :meth:`Lake.derive <ticklake.Lake.derive>`."""
        from ticklake.core.bars import Bars
        from ticklake.query.resample import Resampling

        declared = Rule.of(name, as_list("from_", from_), Bars.parse(rule, **edges), kind)
        # What cannot be made is refused now, and not by each refresh.
        Resampling.of(declared.sample_input(), declared.bars, self._engine.sessions)
        stored = self._rules.find(name)
        if stored is None:
            others = [Rule.from_json(other.name, other.definition) for other in self._rules.list()]
            refuse_loop(declared, others)
            stored = self._rules.add(name, declared.to_json(), declared.hash)
        elif stored.hash != declared.hash:
            raise BadInput(f"there is another rule {name!r}: choose another name, or lake.derived.drop({name!r}) first")
        return self._described(stored)

    def list(self) -> Sequence[DerivedRule]:
        """Return all rules, sorted by name."""
        return list(map(self._described, self._rules.list()))

    def get(self, name: str) -> DerivedRule:
        """Return one rule.

        Raises
        ------
        BadInput
            If there is none of that name.
        """
        return self._described(self._rules.get(name))

    def refresh(self, name: str | None = None) -> Sequence[Refreshed]:
        """Bring what a rule makes, or all rules in the order in which they read each other, up to the newest version.

        Only bars that changed rows touch are computed again. The same again changes nothing.

        Raises
        ------
        BadInput
            If there is no such rule.
        """
        from ticklake.query.derive import refresh

        names = self.names()
        if name is not None:
            names = [self._rules.get(name).name]
        return [refresh(self._engine, self._rules, each) for each in names]

    def drop(self, name: str) -> int:
        """Remove a rule and all that it has made; return how many rows went.

        Raises
        ------
        BadInput
            If there is no such rule, or another one reads what it makes.
        """
        from ticklake.query.derive import remove

        for stored in self._rules.list():
            if Rule.from_json(stored.name, stored.definition).reads == name:
                raise BadInput(f"the rule {stored.name!r} reads what {name!r} makes: drop that one first")
        return remove(self._engine, self._rules, name)

    def names(self) -> Sequence[str]:
        """Return the names of all rules, each after the one that it reads: the order in which they are refreshed."""
        reads = {stored.name: Rule.from_json(stored.name, stored.definition).reads for stored in self._rules.list()}
        ordered: list[str] = []

        def visit(name: str) -> None:
            # There are no loops: they are refused when a rule is declared.
            if name in reads and name not in ordered:
                before = reads[name]
                if before is not None:
                    visit(before)
                ordered.append(name)

        for name in reads:
            visit(name)
        return ordered

    def _described(self, stored: StoredRule) -> DerivedRule:
        from ticklake.query.derive import outputs_of

        rule = Rule.from_json(stored.name, stored.definition)
        return DerivedRule(
            rule.name,
            rule.inputs,
            str(rule.bars),
            rule.kind,
            stored.hash,
            stored.read_version,
            stored.created_at,
            tuple(map(str, outputs_of(self._engine, rule))),
        )
