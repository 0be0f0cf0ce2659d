"""The registry of sources: whatever packages offer under the entry point group ``ticklake.sources``."""

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
"""What Ticklake's own pyproject.toml registers, in the order it is asked; also there where nothing was installed."""


@dataclass
class Registry:
    """Finds the source of an exchange.

    The setting ``sources.<exchange>`` decides which source serves it. Without one Ticklake's own sources come first,
    then those of other packages; if several of those serve it, the setting must say which.

    Parameters
    ----------
    chosen
        Names of sources by exchange id: the setting.
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
            If none serves it; packages whose source could not be loaded are named.
        BadInput
            If several packages serve it, or the setting names a source that does not exist or does not serve it.
        BrokenPlugin
            If the source that the setting names cannot be loaded, or fails to make it.
        """
        name = self.chosen.get(exchange)
        serving = [self._chosen(exchange, name)] if name else list(self._serving(exchange))
        if not serving:
            raise UnknownExchange(self._unknown(exchange))
        if len(serving) > 1:
            raise BadInput(
                f"{exchange} is served by {' and '.join(serving)}: say which with the setting sources.{exchange}"
            )
        try:
            return self.factory(serving[0]).make(exchange, options)
        except TicklakeError:
            raise
        except Exception as error:
            raise _broken(self._points[serving[0]], error) from error

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
        found: dict[str, list[str]] = {}
        for _, factory in self._factories(self.names):
            for exchange in factory.exchanges():
                if search in exchange and exchange not in found:
                    found[exchange] = list(factory.kinds(exchange))
        return dict(sorted(found.items()))

    def check_known(self, exchange: str) -> None:
        """Refuse what is not the id of an exchange that a source serves.

        Raises
        ------
        UnknownExchange
            Naming those that are called alike.
        """
        if exchange not in self.exchanges(exchange):
            raise UnknownExchange(self._unknown(exchange))

    def restrictions(self, exchange: str) -> dict[str, str]:
        """Return what stands in the way of kinds that an exchange serves, by kind."""
        for _, factory in self._factories(self.names):
            if exchange in factory.exchanges():
                return dict(factory.restrictions(exchange))
        return {}

    def _chosen(self, exchange: str, name: str) -> str:
        if name not in self._points:
            raise BadInput(
                f"setting sources.{exchange}: there is no source {name!r}: use one of {', '.join(self.names)}"
            )
        if exchange not in self.factory(name).exchanges():
            raise BadInput(f"setting sources.{exchange}: the source {name!r} does not serve {exchange}")
        return name

    def _serving(self, exchange: str) -> Iterator[str]:
        """Yield the first of our own sources that serves *exchange*, or else all others that do."""
        own = [name for name in self.names if name in BUILT_IN]
        for name, factory in self._factories(own):
            if exchange in factory.exchanges():
                yield name
                return
        others = [name for name in self.names if name not in BUILT_IN]
        yield from (name for name, factory in self._factories(others) if exchange in factory.exchanges())

    def _factories(self, names: Iterable[str]) -> Iterator[tuple[str, SourceFactory]]:
        """Yield those that can be loaded; the others are remembered as broken."""
        for name in names:
            if name not in self._loaded and name not in self.broken:
                try:
                    self._loaded[name] = _load(self._points[name])
                except BrokenPlugin as error:
                    self.broken[name] = error
            if name in self._loaded:
                yield name, self._loaded[name]

    def _unknown(self, exchange: str) -> str:
        known = [known for _, factory in self._factories(self.names) for known in factory.exchanges()]
        close = difflib.get_close_matches(exchange, known, n=3)
        near = f" (did you mean {' or '.join(close)}?)" if close else ""
        broken = "".join(f"; {error}" for error in self.broken.values())
        return f"{exchange!r} is not an exchange that a source serves{near}: 'ticklake exchanges' lists them{broken}"


def _points() -> tuple[dict[str, EntryPoint], dict[str, BrokenPlugin]]:
    """Return all entry points by name, ours first; and what is wrong with those whose name is taken."""
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
        factory = factory() if isinstance(factory, type) else factory
        if not isinstance(factory, SourceFactory):
            raise TypeError(f"{point.value} is not a ticklake.sources.base.SourceFactory")
        list(factory.exchanges())
    except (Exception, SystemExit) as error:
        raise _broken(point, error) from error
    return factory


def _broken(point: EntryPoint, error: BaseException) -> BrokenPlugin:
    package = point.dist.name if point.dist else "ticklake"
    reason = f"{type(error).__name__}: {error}"
    return BrokenPlugin(
        f"the source {point.name!r} of the package {package} is broken ({reason}): upgrade or uninstall {package}"
    )
