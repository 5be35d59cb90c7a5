"""What a worker gives up before its first packet: whoever breaks it gets a process that can answer, and no more.

    limits         no core dump, which would show the cookie secrets, and no child
    user           where it was started as root: nobody, in no group
    capabilities   none, also not those that systemd lends to the service for port 53; none to gain, by exec either
    landlock       no file, no TCP connection, no signal to others, as far as this kernel knows how (landlock(7))
    seccomp        the system calls that answering takes; EPERM for every other (seccomp(2), by libseccomp)

Each part holds or is told not to hold; a kernel without one is no reason for silence. What a worker imports, opens and
locks, it does before.
"""

import ctypes
import errno
import os
import resource
import struct
import termios
from collections.abc import Callable, Iterator
from contextlib import suppress

NOBODY = 65534  # the kernel's overflow id: the one number that no file of anybody's has
NO_NEW_PRIVS, CAPBSET_READ, CAPBSET_DROP = 38, 23, 24  # <linux/prctl.h>
CAPABILITY_VERSION_3 = 0x20080522  # capget(2)
LANDLOCK_CREATE, LANDLOCK_RESTRICT = 444, 446  # the same on every architecture
FILE_RIGHTS = (13, 14, 15, 15)  # how many Landlock's versions know; 16 from version 5 on
ALLOW, REFUSE = 0x7FFF0000, 0x00050000 | errno.EPERM  # <seccomp.h>
EQUAL, MASKED = 4, 7
PROT_EXEC = 4
MACHINES = ("x86_64", "aarch64")  # whose calls FREE_CALLS has; others have more, or other arguments

FREE_CALLS = (
    *("recvfrom", "recvmsg", "recvmmsg", "sendto", "sendmsg", "sendmmsg", "accept", "accept4", "shutdown", "close"),
    *("connect", "getsockname", "getpeername", "getsockopt", "setsockopt"),
    *("epoll_wait", "epoll_pwait", "epoll_pwait2", "epoll_ctl", "poll", "ppoll"),
    *("read", "pread64", "fstat", "newfstatat"),
    *("brk", "munmap", "mremap", "madvise", "futex", "getrandom", "getpid", "gettid", "restart_syscall"),
    *("clock_gettime", "clock_nanosleep", "gettimeofday"),
    *("rt_sigaction", "rt_sigprocmask", "rt_sigreturn", "sigaltstack", "exit", "exit_group"),
)
"""Those that only ask, or act on what the worker holds already: it can open nothing, and `connect` makes no socket."""


class _Comparison(ctypes.Structure):
    """struct scmp_arg_cmp: the argument's number, the comparison, and what it compares with."""

    _fields_ = (("number", ctypes.c_uint), ("how", ctypes.c_int), ("a", ctypes.c_uint64), ("b", ctypes.c_uint64))


class _Libraries:
    """To be loaded before the files are out of reach."""

    def __init__(self) -> None:
        self.c = ctypes.CDLL(None, use_errno=True)
        self.seccomp = None
        with suppress(OSError):
            self.seccomp = ctypes.CDLL("libseccomp.so.2")


def enter() -> tuple[bool, ...]:
    """Which of the `PARTS` hold from now on, for good."""
    libraries = _Libraries()
    return tuple(_holds(shut, libraries) for shut in _SHUT.values())


def _holds(shut: Callable[[_Libraries], None], libraries: _Libraries) -> bool:
    with suppress(OSError, ValueError):  # the latter is setrlimit's
        shut(libraries)
        return True
    return False


def _limits(_: _Libraries) -> None:
    for limit in (resource.RLIMIT_CORE, resource.RLIMIT_NPROC):
        resource.setrlimit(limit, (0, 0))


def _user(libraries: _Libraries) -> None:
    if os.geteuid() == 0:
        _empty_bounding_set(libraries.c)  # only root may, so before
        os.setgroups([])
        os.setresgid(NOBODY, NOBODY, NOBODY)
        os.setresuid(NOBODY, NOBODY, NOBODY)


def _empty_bounding_set(libc: ctypes.CDLL) -> None:
    capability = 0
    while libc.prctl(CAPBSET_READ, capability) >= 0:
        libc.prctl(CAPBSET_DROP, capability)
        capability += 1


def _capabilities(libraries: _Libraries) -> None:
    """Without permitted and inheritable ones there are no ambient ones either (capabilities(7))."""
    _checked(libraries.c.capset(struct.pack("=Ii", CAPABILITY_VERSION_3, 0), bytes(24)))
    _checked(libraries.c.prctl(NO_NEW_PRIVS, *map(ctypes.c_ulong, (1, 0, 0, 0))))


def _landlock(libraries: _Libraries) -> None:
    """A rule set that allows nothing of what this kernel's version can forbid."""
    syscall = libraries.c.syscall
    version = _checked(syscall(LANDLOCK_CREATE, None, ctypes.c_size_t(0), 1))
    files = (1 << (FILE_RIGHTS[version - 1] if version <= len(FILE_RIGHTS) else 16)) - 1
    handled = struct.pack("=QQQ", files, 3, 3)[: 8 if version < 4 else 16 if version < 6 else 24]
    rules = _checked(syscall(LANDLOCK_CREATE, handled, ctypes.c_size_t(len(handled)), 0))
    try:
        _checked(syscall(LANDLOCK_RESTRICT, rules, 0))
    finally:
        os.close(rules)


def _seccomp(libraries: _Libraries) -> None:
    library = libraries.seccomp
    if library is None or os.uname().machine not in MACHINES:
        raise OSError(errno.ENOSYS, "no libseccomp, or none whose calls are known")
    library.seccomp_init.restype = ctypes.c_void_p
    context = ctypes.c_void_p(library.seccomp_init(REFUSE))
    for name, comparisons in _allowed():
        number = library.seccomp_syscall_resolve_name(name.encode())
        given = (_Comparison * len(comparisons))(*comparisons)
        library.seccomp_rule_add_array(context, ALLOW, number, len(comparisons), given)
    failed = library.seccomp_load(context)
    library.seccomp_release(context)
    if failed:
        raise OSError(-failed, "seccomp_load")


def _allowed() -> Iterator[tuple[str, tuple[_Comparison, ...]]]:
    yield from ((name, ()) for name in FREE_CALLS)
    for name in ("mmap", "mprotect"):
        yield name, (_Comparison(2, MASKED, PROT_EXEC, 0),)
    yield "ioctl", (_Comparison(1, EQUAL, termios.FIONBIO),)
    yield "write", (_Comparison(0, EQUAL, 2),)  # a traceback
    yield "sched_setscheduler", (_Comparison(0, EQUAL, 0), _Comparison(1, EQUAL, os.SCHED_OTHER))  # to step back
    yield "tgkill", (_Comparison(0, EQUAL, os.getpid()),)  # abort(3)


def _checked(result: int) -> int:
    if result < 0:
        raise OSError(ctypes.get_errno(), os.strerror(ctypes.get_errno()))
    return result


_SHUT: dict[str, Callable[[_Libraries], None]] = {
    "limits": _limits,
    "user": _user,
    "capabilities": _capabilities,
    "landlock": _landlock,
    "seccomp": _seccomp,
}
PARTS = tuple(_SHUT)
