"""Errors of the operating system while files are written, as errors of storage."""

from __future__ import annotations

import errno
from collections.abc import Iterator
from contextlib import contextmanager

from ticklake.errors import DiskFull, ReadOnlyLake, StorageError

__all__ = ["as_storage_error"]


@contextmanager
def as_storage_error(path: object) -> Iterator[None]:
    """Raise an ``OSError`` of the block as the storage error that it is.

    Raises
    ------
    DiskFull, ReadOnlyLake, StorageError
    """
    try:
        yield
    except OSError as error:
        if error.errno in {errno.ENOSPC, errno.EDQUOT, errno.EFBIG}:
            raise DiskFull(
                f"no space for {path} ({error.strerror}): free some, nothing acknowledged was lost"
            ) from error
        if error.errno in {errno.EROFS, errno.EACCES, errno.EPERM}:
            raise ReadOnlyLake(
                f"{path} cannot be written ({error.strerror}): check the folder's permissions"
            ) from error
        raise StorageError(f"{path}: {error.strerror or error}") from error
