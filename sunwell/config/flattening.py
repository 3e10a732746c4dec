"""The tree of one file, or of keyword arguments, as settings of the schema."""

from collections.abc import Callable, Iterator, Mapping
from typing import Any

import attrs

from sunwell.config.openai_block import BLOCKS, OpenAIBlock
from sunwell.config.settings import Origin, Path, Setting, dotted
from sunwell.config.shape import is_role, is_table, kind_at, known_at, named_table
from sunwell.config.spellings import SPELLINGS, UNSET_WHEN_EMPTY, canonical
from sunwell.config.wording import not_a_table, unknown_key

OriginOf = Callable[[Path], Origin]


@attrs.frozen
class Flattening:
    """Walks a tree of plain values; ``origin_of`` tells where the key at a path was written."""

    origin_of: OriginOf

    def settings(self, values: Mapping[str, Any]) -> Iterator[Setting]:
        """Yield each setting under its name in the schema. Raises ConfigurationError."""
        yield from self._table(values, ())

    def _table(self, values: Mapping[str, Any], path: Path) -> Iterator[Setting]:
        # A block says more than the provider's name beside it, wherever the two stand.
        for name in sorted(values, key=lambda name: (*path, name) in BLOCKS):
            if (*path, name) not in BLOCKS or values.get("provider") in (None, "", "openai"):
                yield from self._key(values[name], (*path, name))

    def _key(self, value: Any, path: Path) -> Iterator[Setting]:
        if path in BLOCKS:
            if not isinstance(value, Mapping):
                raise not_a_table(self.origin_of(path), value)
            yield from OpenAIBlock(BLOCKS[path], value, path, self.origin_of).settings()
            return
        if value is None or (value in ("", 0) and value is not False and path[:-1] in UNSET_WHEN_EMPTY):
            return
        if self._is_foreign_table(path):
            if not isinstance(value, Mapping):
                raise not_a_table(self.origin_of(path), value)
            yield from self._table(value, path)
            return
        yield from self._setting(value, path)

    def _is_foreign_table(self, path: Path) -> bool:
        """Whether *path* is only the beginning of other spellings."""
        return path not in SPELLINGS and any(
            len(name) > len(path) and name[: len(path)] == path and not _is_in_schema(path)
            for name in (*SPELLINGS, *BLOCKS)
        )

    def _setting(self, value: Any, path: Path) -> Iterator[Setting]:
        origin, target = self.origin_of(path), canonical(path)
        try:
            kind = kind_at(target)
        except KeyError as error:
            raise self._unknown(origin, path, target, error.args[0]) from None
        if is_role(kind) and not isinstance(value, Mapping):
            yield Setting((*target, "model"), value, origin)
        elif is_table(kind) or (named_table(kind) is not None and is_table(named_table(kind))):
            if not isinstance(value, Mapping):
                raise not_a_table(origin, value)
            yield from self._table(value, path)
        else:
            yield Setting(target, value, origin)

    def _unknown(self, origin: Origin, path: Path, target: Path, depth: int) -> Exception:
        written = path[:-1]
        spelled = (name for name in (*SPELLINGS, *BLOCKS) if len(name) > len(written))
        names = {name[len(written)] for name in spelled if name[: len(written)] == written}
        names |= set(known_at(target[:depth]))
        return unknown_key(origin, path[-1], names)


def _is_in_schema(path: Path) -> bool:
    try:
        kind_at(path)
    except KeyError:
        return False
    return True


def from_keywords(values: Mapping[str, Any], rank: int) -> OriginOf:
    """Return where keyword arguments come from."""
    return lambda path: Origin("option", dotted(path), rank=rank)
