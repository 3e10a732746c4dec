"""A prompt as a cache sees it: pieces in order, some of them marked."""

import hashlib
from collections.abc import Sequence

import attrs

from sunwell.core.model import CacheLife

_DIGEST_BYTES = 16


@attrs.frozen
class Piece:
    """One block of a prompt: a tool, a section of the system prompt, a part of a message."""

    digest: bytes
    tokens: int
    mark: CacheLife | None = None
    """A breakpoint at the end of this piece, and how long its entry lives."""
    ends_message: bool = False


@attrs.frozen
class Prompt:
    """All input of one request, in the order in which a prefix is matched."""

    pieces: tuple[Piece, ...]
    settings: bytes = b""
    """What breaks every prefix where it differs: effort and thinking."""
    implicit: bool = True
    """Whether the end of the last message counts as a breakpoint under the rule ``messages``."""

    @property
    def tokens(self) -> int:
        """All tokens of the prompt."""
        return sum(piece.tokens for piece in self.pieces)

    def prefixes(self, start: bytes) -> list[bytes]:
        """Return the digest of the prefix that ends with each piece; *start* is mixed in first."""
        state = hashlib.blake2b(start + self.settings, digest_size=_DIGEST_BYTES)
        out = []
        for piece in self.pieces:
            state.update(piece.digest)
            out.append(state.digest())
        return out


def piece(tokens: int, *texts: str, mark: CacheLife | None = None, ends_message: bool = False) -> Piece:
    """Return a piece that is equal to another exactly where the *texts* are."""
    state = hashlib.blake2b(digest_size=_DIGEST_BYTES)
    for text in texts:
        data = text.encode("utf-8", "surrogatepass")
        state.update(len(data).to_bytes(8, "big"))
        state.update(data)
    return Piece(state.digest(), tokens, mark, ends_message)


def marked_at_end(pieces: Sequence[Piece], life: CacheLife | None) -> tuple[Piece, ...]:
    """Return *pieces*, the last of them with a breakpoint where *life* is given and none stands there."""
    if not pieces or life is None or pieces[-1].mark is not None:
        return tuple(pieces)
    return (*pieces[:-1], attrs.evolve(pieces[-1], mark=life))
