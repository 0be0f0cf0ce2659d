"""The registry of sources: those that packages offer under the entry point group ``ticklake.sources``."""

from __future__ import annotations

import difflib
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from importlib.metadata import EntryPoint, entry_points

from ticklake.errors import BadInput, BrokenPlugin, TicklakeError, UnknownExchange
from ticklake.sources.base import Source, SourceFactory, SourceOptions

__all__ = ["BUILT_IN", "GROUP", "Registry"]

GROUP = "ticklake.sources"
BUILT_IN = {
    "dukascopy": "ticklake.sources.dukascopy.factory:DukascopyFactory",
    "yahoo": "ticklake.sources.yahoo.factory:YahooFactory",
    "ccxt": "ticklake.sources.ccxt.factory:CcxtFactory",
}
"""The sources of Ticklake itself, in order of preference. They are found even if no package metadata is installed."""


@dataclass
class Registry:
    """Finds the source of an exchange.

    The setting ``sources.<exchange>`` names the source that serves an exchange. Without it, Ticklake's own sources come
    first, then those of other packages; if several of those serve the exchange, the setting is required.

    Parameters
    ----------
    chosen
        The setting: names of sources by exchange id.
    """

    chosen: Mapping[str, str] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self._points, self.broken = _points()
        self._loaded: dict[str, SourceFactory] = {}

    @property
    def names(self) -> list[str]:
        """The names of all sources, Ticklake's own first."""
        return list(self._points)

    def make(self, exchange: str, options: SourceOptions) -> Source:
        """Return the source of *exchange*.

        Raises
        ------
        UnknownExchange
            If no source serves it. The message names packages whose source could not be loaded.
        BadInput
            If several packages serve it, or the setting names a source that does not exist or does not serve it.
        BrokenPlugin
            If the source that the setting names cannot be loaded, or fails to make it.
        """
        name = self._name_of_source(exchange)
        try:
            return self.factory(name).make(exchange, options)
        except TicklakeError:
            raise
        except Exception as error:
            raise _broken(self._points[name], error) from error

    def factory(self, name: str) -> SourceFactory:
        """Return the factory of that name.

        Raises
        ------
        BrokenPlugin
            If it cannot be loaded.
        """
        for _, factory in self._factories([name]):
            return factory
        raise self.broken[name]

    def exchanges(self, search: str = "") -> dict[str, list[str]]:
        """Return the exchange ids that contain *search*, each with the kinds that its source serves."""
        kinds: dict[str, list[str]] = {}
        for _, factory in self._factories(self.names):
            for exchange in factory.exchanges():
                if search in exchange and exchange not in kinds:
                    kinds[exchange] = list(factory.kinds(exchange))
        return dict(sorted(kinds.items()))

    def check_known(self, exchange: str) -> None:
        """Refuse what is not the id of an exchange that a source serves.

        Raises
        ------
        UnknownExchange
            Naming those that are called alike.
        """
        if exchange not in self.exchanges(exchange):
            raise UnknownExchange(self._unknown_text(exchange))

    def restrictions(self, exchange: str) -> dict[str, str]:
        """Return conditions of the kinds that an exchange serves, such as a key that is needed, by kind."""
        for _, factory in self._factories(self.names):
            if exchange in factory.exchanges():
                return dict(factory.restrictions(exchange))
        return {}

    def _name_of_source(self, exchange: str) -> str:
        """Return the name of the source that serves *exchange*: the one that is set, or the only candidate."""
        if self.chosen.get(exchange):
            return self._checked(exchange, self.chosen[exchange])
        candidates = list(self._candidates(exchange))
        if not candidates:
            raise UnknownExchange(self._unknown_text(exchange))
        if len(candidates) > 1:
            raise BadInput(
                f"{exchange} is served by {' and '.join(candidates)}: say which with the setting sources.{exchange}"
            )
        return candidates[0]

    def _checked(self, exchange: str, name: str) -> str:
        """Return the name of a source from the settings if that source serves *exchange*."""
        if name not in self._points:
            raise BadInput(
                f"setting sources.{exchange}: there is no source {name!r}: use one of {', '.join(self.names)}"
            )
        if exchange not in self.factory(name).exchanges():
            raise BadInput(f"setting sources.{exchange}: the source {name!r} does not serve {exchange}")
        return name

    def _candidates(self, exchange: str) -> Iterator[str]:
        """Yield the first built-in source that serves *exchange*, or all other sources that do if none is built in."""
        for name, factory in self._factories(self.names):
            if exchange in factory.exchanges():
                yield name
                if name in BUILT_IN:
                    return

    def _factories(self, names: Iterable[str]) -> Iterator[tuple[str, SourceFactory]]:
        """Yield the factories that can be loaded. The others are remembered as broken."""
        for name in names:
            if name not in self._loaded and name not in self.broken:
                try:
                    self._loaded[name] = _load(self._points[name])
                except BrokenPlugin as error:
                    self.broken[name] = error
            if name in self._loaded:
                yield name, self._loaded[name]

    def _unknown_text(self, exchange: str) -> str:
        served: list[str] = []
        for _, factory in self._factories(self.names):
            served += factory.exchanges()
        similar = difflib.get_close_matches(exchange, served, n=3)
        hint = ""
        if similar:
            hint = f" (did you mean {' or '.join(similar)}?)"
        broken = "".join(f"; {error}" for error in self.broken.values())
        return f"{exchange!r} is not an exchange that a source serves{hint}: 'ticklake exchanges' lists them{broken}"


def _points() -> tuple[dict[str, EntryPoint], dict[str, BrokenPlugin]]:
    """Return all entry points by name, the built-in ones first; and an error for each whose name is taken."""
    points = {name: EntryPoint(name, value, GROUP) for name, value in BUILT_IN.items()}
    broken: dict[str, BrokenPlugin] = {}
    for point in sorted(entry_points(group=GROUP), key=lambda point: (point.name, point.value)):
        if point.name not in points:
            points[point.name] = point
        elif points[point.name].value != point.value:
            broken[f"{point.name} {point.value}"] = _broken(point, ValueError("its name is taken by another source"))
    return points, broken


def _load(point: EntryPoint) -> SourceFactory:
    try:
        factory = point.load()
        if isinstance(factory, type):
            factory = factory()
        if not isinstance(factory, SourceFactory):
            raise TypeError(f"{point.value} is not a ticklake.sources.base.SourceFactory")
        list(factory.exchanges())
    except (Exception, SystemExit) as error:
        # Importing a package runs its code: one broken package must not take the other sources with it.
        raise _broken(point, error) from error
    return factory


def _broken(point: EntryPoint, error: BaseException) -> BrokenPlugin:
    package = "ticklake"
    if point.dist is not None:
        package = point.dist.name
    reason = f"{type(error).__name__}: {error}"
    return BrokenPlugin(
        f"the source {point.name!r} of the package {package} is broken ({reason}): upgrade or uninstall {package}"
    )
