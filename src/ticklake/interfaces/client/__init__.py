"""The remote client: the verbs of a lake that is served elsewhere. httpx and websockets are the extra ``client``."""

from __future__ import annotations

from typing import TYPE_CHECKING

from ticklake.errors import MissingExtra

if TYPE_CHECKING:
    from ticklake.interfaces.client.remote_lake import RemoteLake

__all__ = ["connect"]


def connect(url: str, token: str | None = None, *, timeout: float = 60.0) -> RemoteLake:
    """Connect to a lake that ``ticklake serve`` serves: it has the same verbs with the same answers.

    Parameters
    ----------
    url
        The address of the server, like ``http://127.0.0.1:8470``.
    token
        What ``ticklake token create`` printed, if the server needs one. It decides what you may do there.
    timeout
        Seconds without a sign of life after which the server counts as unavailable. Reads are tried again.

    Returns
    -------
    RemoteLake
        Close it, or use it as a context manager. Any number of threads may use it.

    Raises
    ------
    BadInput
        If the address or the token cannot be one.
    ServerUnavailable
        If no server answers there.
    MissingExtra
        If httpx is not installed: the extra ``client``.
    """
    try:
        from ticklake.interfaces.client.remote_lake import RemoteLake
    except ModuleNotFoundError as error:
        raise MissingExtra(f"{error.name} is not installed: pip install 'ticklake[client]'") from error
    return RemoteLake(url, token, timeout=timeout)
