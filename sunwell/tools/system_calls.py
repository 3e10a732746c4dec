"""System calls that a command in the sandbox does not have, or not with all arguments.

Closed are the kernel's key rings, which are in no namespace; modes with set-uid and set-gid, because a file
of the workspace stays and others can run it; and families of sockets other than local ones and those of the
internet: ``AF_VSOCK`` reaches the host of a virtual machine. ``openat2`` has its mode in memory, where a
filter cannot look, and ``io_uring`` makes calls that no filter sees: both look as if the kernel were too old.

The filter is one for all machines: it asks which table of numbers the calling program uses, so that 32-bit
programs do not get around it. Programs with another table cannot make calls.
"""

import os
import struct
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from errno import EAFNOSUPPORT, ENOSYS, EPERM

import attrs

_Step = tuple[int, int, int, int]
_Rule = tuple[tuple[int, ...], tuple[_Step, ...]]


@attrs.frozen
class _Table:
    """Numbers of system calls."""

    machines: tuple[int, ...]
    """The kernel's names of the machines that have these numbers."""
    first_of_keys: int
    """The number of ``add_key``; ``request_key`` and ``keyctl`` follow it."""
    first_mode: tuple[int, ...]
    """``fchmod``, and where they exist ``creat``, ``mknod``, ``chmod``, ``mkdir``: the mode is argument 1."""
    second_mode: tuple[int, ...]
    """``mkdirat``, ``mknodat``, ``fchmodat``: the mode is argument 2."""
    openat: int
    sockets: tuple[int, ...]
    """``socket``, ``socketpair``."""
    open: tuple[int, ...] = ()
    socketcall: tuple[int, ...] = ()
    """An old way to all calls about sockets, with arguments in memory."""


_OLDEST = (8, 14, 15, 39, 94)
_TABLES = (
    _Table((0xC000003E,), 248, (85, 133, 90, 83, 91), (258, 259, 268), 257, (41, 53), (2,)),  # x86_64
    _Table((0x40000003,), 286, _OLDEST, (296, 297, 306), 295, (359, 360), (5,), (102,)),  # i386
    _Table((0xC00000B7, 0xC00000F3), 217, (52,), (34, 33, 53), 56, (198, 199)),  # aarch64, riscv64
    _Table((0x40000028,), 309, _OLDEST, (323, 324, 333), 322, (281, 288), (5,), (102,)),  # arm
    _Table((0xC0000015,), 269, _OLDEST, (287, 288, 297), 286, (326, 333), (5,), (102,)),  # ppc64le
    _Table((0x80000016,), 278, _OLDEST, (289, 290, 299), 288, (359, 360), (5,), (102,)),  # s390x
)
_IO_URING, _OPENAT2, _FCHMODAT2 = (425, 426, 427), 437, 452
"""Newer calls have the same number everywhere."""
_X32 = 0x40000000
"""From here on, x86_64 has a second table, for a kind of programs that almost nobody has."""
_SET_ID = 0o6000
_MAKES_A_FILE = 0o100 | 0o20000000
"""``O_CREAT``, ``O_TMPFILE``: without them, the mode is not looked at and may be anything."""
_FAMILIES = (1, 2, 10, 16)
"""``AF_UNIX``, ``AF_INET``, ``AF_INET6``, and ``AF_NETLINK``, with which names and interfaces are found."""
_NUMBER, _MACHINE, _ARGUMENTS = 0, 4, 16
_LOAD, _RETURN = 0x20, 0x06
_IF_EQUAL, _IF_AT_LEAST, _IF_ANY_BIT = 0x15, 0x35, 0x45
_ALLOW, _FAIL = 0x7FFF0000, 0x00050000
_ALLOWED: _Step = (_RETURN, 0, 0, _ALLOW)
_UNKNOWN: _Step = (_RETURN, 0, 0, _FAIL | ENOSYS)


def _argument(number: int) -> _Step:
    """Return the step that loads the lower half of an argument: modes and families are no longer."""
    return (_LOAD, 0, 0, _ARGUMENTS + 8 * number + (4 if sys.byteorder == "big" else 0))


def _mode(number: int) -> tuple[_Step, ...]:
    refused = (_RETURN, 0, 0, _FAIL | EPERM)
    return (_argument(number), (_IF_ANY_BIT, 0, 1, _SET_ID), refused, _ALLOWED)


def _opening(flags: int) -> tuple[_Step, ...]:
    return (_argument(flags), (_IF_ANY_BIT, 1, 0, _MAKES_A_FILE), _ALLOWED, *_mode(flags + 1))


def _family() -> tuple[_Step, ...]:
    last = len(_FAMILIES) - 1
    asked = tuple((_IF_EQUAL, last - i + 1, 0, family) for i, family in enumerate(_FAMILIES))
    return (_argument(0), *asked, (_RETURN, 0, 0, _FAIL | EAFNOSUPPORT), _ALLOWED)


def _rules(table: _Table) -> Iterator[_Rule]:
    """Yield numbers of calls, each with what decides about them; it always ends with a decision."""
    keys = range(table.first_of_keys, table.first_of_keys + 3)
    yield (*keys, *_IO_URING, _OPENAT2, *table.socketcall), (_UNKNOWN,)
    yield table.first_mode, _mode(1)
    yield (*table.second_mode, _FCHMODAT2), _mode(2)
    yield (table.openat,), _opening(2)
    yield table.open, _opening(1)
    yield table.sockets, _family()


def _program() -> bytes:
    """Return the filter, in the kernel's language of packet filters."""
    steps: list[_Step] = [(_LOAD, 0, 0, _MACHINE)]
    for table in _TABLES:
        block: list[_Step] = [(_LOAD, 0, 0, _NUMBER), (_IF_AT_LEAST, 0, 1, _X32), _UNKNOWN]
        for numbers, decision in _rules(table):
            for left, number in zip(reversed(range(len(numbers))), numbers, strict=True):
                block.append((_IF_EQUAL, left, 0 if left else len(decision), number))
            block += decision if numbers else ()
        block.append(_ALLOWED)
        last = len(table.machines) - 1
        for i, machine in enumerate(table.machines):
            steps.append((_IF_EQUAL, last - i, 0 if i < last else len(block), machine))
        steps += block
    steps.append(_UNKNOWN)
    return b"".join(struct.pack("=HBBI", *step) for step in steps)


_PROGRAM = _program()


@contextmanager
def opened_filter() -> Iterator[int]:
    """Open the filter as a file for one start of ``bwrap``, which reads it to its end."""
    reading, writing = os.pipe()
    try:
        with os.fdopen(writing, "wb") as file:
            file.write(_PROGRAM)  # it fits into the smallest pipe
        yield reading
    finally:
        os.close(reading)
