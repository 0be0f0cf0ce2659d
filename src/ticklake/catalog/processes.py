"""Names of processes that show whether they still run: host, process id, and a token that no later process has."""

from __future__ import annotations

import os
import platform
import uuid
from functools import lru_cache

__all__ = ["is_gone", "is_ours", "this_process"]


def this_process() -> str:
    """Return the name of this process: ``host/pid/token``."""
    return _name(os.getpid())


def is_ours(process: str) -> bool:
    """Whether that is this process, and not an earlier one with the same process id."""
    return process == this_process()


def is_gone(process: str) -> bool:
    """Whether that process ran on this host and has certainly ended; for another host that is not known."""
    host, number, _token = (*process.split("/"), "", "", "")[:3]
    if host != platform.node() or not number.isdecimal():
        return False
    try:
        os.kill(int(number), 0)
    except ProcessLookupError:
        return True
    except PermissionError:
        # It runs under another user.
        return False
    # A later process may have the same number. That is certain only if it is our own.
    return int(number) == os.getpid() and not is_ours(process)


@lru_cache(maxsize=1)
def _name(pid: int) -> str:
    """Return the name of this process; a forked process has another id, and so gets another token."""
    return f"{platform.node()}/{pid}/{uuid.uuid4().hex[:8]}"
