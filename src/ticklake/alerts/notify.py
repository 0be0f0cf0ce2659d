"""Notifications by apprise to every address. Addresses hold secrets and are never shown."""

from __future__ import annotations

import logging
import warnings
from collections.abc import Sequence
from dataclasses import dataclass

from ticklake.errors import AlertNotSent, MissingExtra

__all__ = ["Notifier"]

TIMEOUT = 20.0
"""Seconds after which sending is given up."""


@dataclass(frozen=True, slots=True)
class Notifier:
    """Sends to addresses in the form of apprise (``mailto://``, ``slack://``, ``json://`` ...), which hold secrets."""

    urls: Sequence[str]

    def send(self, title: str, text: str, *, is_good: bool = False) -> None:
        """Send one notification to every address.

        Raises
        ------
        AlertNotSent
            If an address did not accept it. The message names each by its number and scheme; the others have it.
        MissingExtra
            If apprise is not installed.
        """
        failed: list[str] = []
        for number, url in enumerate(self.urls, 1):
            if not _send(url, title, text, is_good=is_good):
                failed.append(f"url {number} ({_scheme(url)})")
        if failed:
            raise AlertNotSent(
                f"{', '.join(failed)} of alerts.urls did not take an alert: check the address",
                nobody=len(failed) == len(self.urls),
            )


def _scheme(url: str) -> str:
    """Return the scheme of an address, which may be shown. Without one the whole address may be a secret."""
    scheme, separator, _ = url.partition("://")
    if separator and scheme.isalnum():
        return scheme
    return "without a scheme like json://"


def _send(url: str, title: str, text: str, *, is_good: bool) -> bool:
    """Send to one address, and return whether it was accepted."""
    # apprise logs and warns with the address, which holds secrets.
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        try:
            import apprise
        except ImportError as error:
            raise MissingExtra("alerts need apprise: pip install 'ticklake[alerts]'") from error
        logging.getLogger("apprise").setLevel(logging.CRITICAL + 1)
        kind = apprise.NotifyType.WARNING
        if is_good:
            kind = apprise.NotifyType.SUCCESS
        sender = apprise.Apprise()
        return bool(sender.add(url)) and bool(sender.notify(text, title, kind, timeout=TIMEOUT))
