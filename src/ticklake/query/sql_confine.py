"""What the process of an untrusted query gives up: files, the network, other processes, and the rights of its user.

DuckDB's own settings forbid files, too; what stands here holds even if they should fail.
"""

from __future__ import annotations

import contextlib
import ctypes
import os
import platform
import resource
import struct
import sys

__all__ = ["confine", "hide_libraries", "limit"]

_NOBODY = 65534
_FEW_FILES = 16
_PR_SET_DUMPABLE = 4
_PR_SET_NO_NEW_PRIVS = 38
_SECCOMP_SET_MODE_FILTER = 1
_SECCOMP_FILTER_FLAG_TSYNC = 1
_CLONE_THREAD = 0x10000
_ALLOW = 0x7FFF0000
_EPERM = 0x00050001
_ENOSYS = 0x00050026
_SYSTEMS = {"x86_64": (0xC000003E, 317, 56, 435), "aarch64": (0xC00000B7, 277, 220, 435)}
"""For each processor its number in filters, and the numbers of the calls seccomp, clone and clone3."""
_REFUSED = {
    "x86_64": {
        "open, creat, openat, openat2, open_by_handle_at": (2, 85, 257, 437, 304),
        "execve, execveat, fork, vfork": (59, 322, 57, 58),
        "socket, socketpair, connect, bind": (41, 53, 42, 49),
        "ptrace, process_vm_readv, process_vm_writev, pidfd_open": (101, 310, 311, 434),
        "unlink, unlinkat, rename, renameat, renameat2": (87, 263, 82, 264, 316),
        "mkdir, mkdirat, rmdir, link, linkat, symlink, symlinkat": (83, 258, 84, 86, 265, 88, 266),
        "truncate, chmod, fchmodat, chown, fchownat, mknod, mknodat": (76, 90, 268, 92, 260, 133, 259),
        "mount, unshare, setns, io_uring_setup, bpf": (165, 272, 308, 425, 321),
    },
    "aarch64": {
        "openat, openat2, open_by_handle_at": (56, 437, 265),
        "execve, execveat": (221, 281),
        "socket, socketpair, connect, bind": (198, 199, 203, 200),
        "ptrace, process_vm_readv, process_vm_writev, pidfd_open": (117, 270, 271, 434),
        "unlinkat, renameat, renameat2, mkdirat, linkat, symlinkat": (35, 38, 276, 34, 37, 36),
        "truncate, fchmodat, fchownat, mknodat": (45, 53, 54, 33),
        "mount, unshare, setns, io_uring_setup, bpf": (40, 97, 268, 425, 280),
    },
}
"""The system calls that are refused, by the processor."""


class _NotThere:
    """Says of some libraries that they are not there."""

    def find_spec(self, name: str, *_where: object) -> None:
        """Find no module of theirs."""
        if name in ("numpy", "pandas", "polars"):
            raise ModuleNotFoundError(name)


def hide_libraries() -> None:
    """Hide libraries that DuckDB and pyarrow import only to ask whether rows come from them: they take half of a start."""
    sys.meta_path.insert(0, _NotThere())


def limit(memory: int, cpu_seconds: int) -> None:
    """Bound the address space and the processor time of this process."""
    # Some systems have this bound and take no value for it.
    with contextlib.suppress(ValueError, OSError):
        resource.setrlimit(resource.RLIMIT_AS, (memory, memory))
    # The second bound kills: a library may catch the signal of the first.
    resource.setrlimit(resource.RLIMIT_CPU, (cpu_seconds, cpu_seconds + 1))


def confine() -> None:
    """Give up what a query does not need; whatever this system does not know is left out."""
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    # No file can grow, whoever opened it.
    resource.setrlimit(resource.RLIMIT_FSIZE, (0, 0))
    resource.setrlimit(resource.RLIMIT_NOFILE, (_FEW_FILES, _FEW_FILES))
    _become_nobody()
    libc = ctypes.CDLL(None, use_errno=True)
    if hasattr(libc, "prctl"):
        libc.prctl(_PR_SET_DUMPABLE, 0, 0, 0, 0)
        libc.prctl(_PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0)
        _refuse_calls(libc)


def _become_nobody() -> None:
    if os.geteuid() != 0:
        return
    # A container may know no such user.
    with contextlib.suppress(OSError):
        os.setgroups([])
        os.setgid(_NOBODY)
        os.setuid(_NOBODY)


def _refuse_calls(libc: ctypes.CDLL) -> None:
    """Let the kernel refuse system calls, in all threads of this process."""
    machine = platform.machine()
    if sys.platform != "linux" or machine not in _SYSTEMS:
        return
    seccomp = _SYSTEMS[machine][1]
    code = _program(machine)
    buffer = ctypes.create_string_buffer(code, len(code))
    header = struct.pack("HxxxxxxP", len(code) // 8, ctypes.addressof(buffer))
    libc.syscall(seccomp, _SECCOMP_SET_MODE_FILTER, _SECCOMP_FILTER_FLAG_TSYNC, ctypes.create_string_buffer(header))


def _program(machine: str) -> bytes:
    """Return the filter, in the instructions of the kernel's packet filters (see seccomp(2))."""
    architecture, _, clone, clone3 = _SYSTEMS[machine]
    load, jump_if_equal, jump_if_at_least, jump_if_set, answer = 0x20, 0x15, 0x35, 0x45, 0x06
    code = [
        (load, 0, 0, 4),  # the architecture
        (jump_if_equal, 1, 0, architecture),
        (answer, 0, 0, _EPERM),
        (load, 0, 0, 0),  # the number of the call
        (jump_if_at_least, 0, 1, 0x40000000),  # x32, which numbers the same calls anew
        (answer, 0, 0, _EPERM),
        # The C library falls back to clone, whose flags can be looked at.
        (jump_if_equal, 0, 1, clone3),
        (answer, 0, 0, _ENOSYS),
    ]
    for numbers in _REFUSED[machine].values():
        for number in numbers:
            code += [(jump_if_equal, 0, 1, number), (answer, 0, 0, _EPERM)]
    code += [
        (jump_if_equal, 0, 3, clone),
        (load, 0, 0, 16),  # its flags: threads are allowed, processes are not
        (jump_if_set, 1, 0, _CLONE_THREAD),
        (answer, 0, 0, _EPERM),
        (answer, 0, 0, _ALLOW),
    ]
    return b"".join(struct.pack("HBBI", *instruction) for instruction in code)
