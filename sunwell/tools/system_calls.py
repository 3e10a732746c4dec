"""System calls that a command in the sandbox does not have: those of the kernel's key rings.

No namespace covers a session's key ring, and tickets and passwords may be in it. The filter is one for all
machines: it asks which table of numbers the calling program uses.
"""

import os
import struct
from collections.abc import Iterator
from contextlib import contextmanager
from errno import ENOSYS

_FIRST = {
    0xC000003E: 248,  # x86_64, and x32 below
    0x40000003: 286,  # i386
    0xC00000B7: 217,  # aarch64
    0x40000028: 309,  # arm
    0xC00000F3: 217,  # riscv64
    0xC0000015: 269,  # ppc64le
    0x80000016: 278,  # s390x
}
"""By the kernel's name of a machine, the number of ``add_key``; ``request_key`` and ``keyctl`` follow it."""
_X32 = 0x40000000
_NUMBER, _MACHINE = 0, 4
_LOAD, _AND, _RETURN = 0x20, 0x54, 0x06
_IF_EQUAL, _IF_AT_LEAST, _IF_ABOVE = 0x15, 0x35, 0x25
_ALLOW, _FAIL = 0x7FFF0000, 0x00050000


def _program() -> bytes:
    """Return the filter, in the kernel's language of packet filters."""
    steps = [(_LOAD, 0, 0, _MACHINE)]
    for machine, first in _FIRST.items():
        steps += [
            (_IF_EQUAL, 0, 6, machine),
            (_LOAD, 0, 0, _NUMBER),
            (_AND, 0, 0, ~_X32 & 0xFFFFFFFF),
            (_IF_AT_LEAST, 0, 2, first),
            (_IF_ABOVE, 1, 0, first + 2),
            (_RETURN, 0, 0, _FAIL | ENOSYS),
            (_RETURN, 0, 0, _ALLOW),
        ]
    steps.append((_RETURN, 0, 0, _ALLOW))
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
