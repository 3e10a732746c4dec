"""Server-sent events, read from bytes as they arrive."""

from collections.abc import Iterable

import attrs

_BOM = b"\xef\xbb\xbf"
MAX_EVENT_BYTES = 16 * 2**20
"""Longest event, and longest line, that is read."""


class EventTooLong(ValueError):
    """A line or an event is longer than :data:`MAX_EVENT_BYTES`."""


@attrs.define(eq=False)
class EventParser:
    """Turns bytes, cut anywhere, into the ``data`` of events.

    Ends of lines may be LF, CR or CRLF. Comments and other fields than ``data`` are dropped:
    every wire format here repeats an event's name in its data.
    """

    max_bytes: int = MAX_EVENT_BYTES
    _line: list[bytes] = attrs.field(factory=list, init=False)
    _line_bytes: int = attrs.field(default=0, init=False)
    _data: list[bytes] = attrs.field(factory=list, init=False)
    _data_bytes: int = attrs.field(default=0, init=False)
    _after_cr: bool = attrs.field(default=False, init=False)
    _at_start: bool = attrs.field(default=True, init=False)

    def feed(self, chunk: bytes) -> list[bytes]:
        """Return the data of every event that *chunk* completes."""
        if self._after_cr and chunk:
            chunk = chunk.removeprefix(b"\n")
            self._after_cr = False
        if b"\r" in chunk:
            self._after_cr = chunk.endswith(b"\r")
            chunk = chunk.replace(b"\r\n", b"\n").replace(b"\r", b"\n")
        if b"\n" not in chunk:
            self._keep(chunk)
            return []
        lines = chunk.split(b"\n")
        if self._line:
            self._line.append(lines[0])
            lines[0] = b"".join(self._line)
            self._line.clear()
            self._line_bytes = 0
        rest = lines.pop()
        events = self._events(lines)
        if rest:
            self._keep(rest)
        return events

    def close(self) -> list[bytes]:
        """Return the data of an event whose closing blank line never came, if there is one."""
        events = self.feed(b"\n\n")
        self._after_cr = False
        return events

    def _keep(self, piece: bytes) -> None:
        self._line_bytes += len(piece)
        if self._line_bytes > self.max_bytes:
            raise EventTooLong(f"a line of more than {self.max_bytes} bytes")
        self._line.append(piece)

    def _events(self, lines: Iterable[bytes]) -> list[bytes]:
        events: list[bytes] = []
        for line in lines:
            if self._at_start:
                self._at_start = False
                line = line.removeprefix(_BOM)
            if line.startswith(b"data:"):
                self._add(line[6:] if line.startswith(b"data: ") else line[5:])
            elif not line:
                if self._data:
                    events.append(self._data[0] if len(self._data) == 1 else b"\n".join(self._data))
                    self._data.clear()
                    self._data_bytes = 0
            elif line == b"data":
                self._add(b"")
        return events

    def _add(self, value: bytes) -> None:
        self._data_bytes += len(value) + 1
        if self._data_bytes > self.max_bytes:
            raise EventTooLong(f"an event of more than {self.max_bytes} bytes")
        self._data.append(value)
