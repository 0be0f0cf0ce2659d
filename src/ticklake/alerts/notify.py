"""The door to apprise: one notification to every address, none of which is ever shown."""

from __future__ import annotations

import logging
import warnings
from collections.abc import Sequence
from dataclasses import dataclass

from ticklake.errors import AlertNotSent, MissingExtra

__all__ = ["Notifier"]

TIMEOUT = 20.0
"""Seconds until sending is given up."""


@dataclass(frozen=True, slots=True)
class Notifier:
    """Sends to addresses in the form of apprise (``mailto://``, ``slack://``, ``json://`` ...), which hold secrets."""

    urls: Sequence[str]

    def send(self, title: str, text: str, *, is_good: bool = False) -> None:
        """Send one notification to all.

        Raises
        ------
        AlertNotSent
            Naming the addresses that did not take it by their place and scheme; the others have it.
        MissingExtra
            Without apprise.
        """
        refused = [
            f"url {number} ({_scheme(url)})"
            for number, url in enumerate(self.urls, 1)
            if not _sent(url, title, text, is_good=is_good)
        ]
        if refused:
            raise AlertNotSent(
                f"{', '.join(refused)} of alerts.urls did not take an alert: check the address",
                nobody=len(refused) == len(self.urls),
            )


def _scheme(url: str) -> str:
    """Return what may be shown of an address: without a scheme, nothing, since all of it may be a secret."""
    scheme, mark, _ = url.partition("://")
    return scheme if mark and scheme.isalnum() else "without a scheme like json://"


def _sent(url: str, title: str, text: str, *, is_good: bool) -> bool:
    """Send to one address; what apprise says of it meanwhile, and warns of, is nobody's business."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        try:
            import apprise
        except ImportError as error:
            raise MissingExtra("alerts need apprise: pip install 'ticklake[alerts]'") from error
        logging.getLogger("apprise").setLevel(logging.CRITICAL + 1)
        kind = apprise.NotifyType.SUCCESS if is_good else apprise.NotifyType.WARNING
        one = apprise.Apprise()
        return bool(one.add(url)) and bool(one.notify(text, title, kind, timeout=TIMEOUT))
