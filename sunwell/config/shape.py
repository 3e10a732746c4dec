"""The schema as a tree: what stands at a path, which keys are known there, and which is nearest."""

import difflib
import typing
from collections.abc import Iterator, Mapping
from typing import Any

import attrs

from sunwell.config.schema import Configuration, Role
from sunwell.config.setting import SettingPath


def fields_of(table: type) -> dict[str, Any]:
    """Return the kind of each key of a table of the schema."""
    return {field.name: field.type for field in attrs.fields(table)}


def named_table(kind: Any) -> Any:
    """Return the kind of the members where *kind* is a table with names of the user's own, else ``None``."""
    if typing.get_origin(kind) is Mapping:
        return typing.get_args(kind)[1]
    return None


def is_table(kind: Any) -> bool:
    """Whether *kind* is a table with fixed keys."""
    return isinstance(kind, type) and attrs.has(kind)


def is_role(kind: Any) -> bool:
    """Whether *kind* is a model with settings, which may be written as the model's name alone."""
    return isinstance(kind, type) and issubclass(kind, Role)


def kind_at(path: SettingPath) -> Any:
    """Return the kind at *path*. Raises :exc:`KeyError` with the depth of the first unknown key."""
    kind: Any = Configuration
    for depth, name in enumerate(path):
        member = named_table(kind)
        if member is not None:
            kind = member
        elif is_table(kind) and name in fields_of(kind):
            kind = fields_of(kind)[name]
        else:
            raise KeyError(depth)
    return kind


def known_at(path: SettingPath) -> tuple[str, ...]:
    """Return the keys of the table at *path*; none where names are the user's own."""
    kind = kind_at(path)
    return tuple(fields_of(kind)) if is_table(kind) else ()


def leaves(table: type = Configuration, path: SettingPath = ()) -> Iterator[tuple[SettingPath, Any]]:
    """Yield path and kind of every setting that has a fixed name."""
    for name, kind in fields_of(table).items():
        if is_table(kind):
            yield from leaves(kind, (*path, name))
        elif named_table(kind) is None:
            yield (*path, name), kind


def nearest(name: str, known: typing.Iterable[str]) -> str | None:
    """Return the known name that *name* was probably meant to be."""
    spelled = {candidate.lower(): candidate for candidate in known}
    found = difflib.get_close_matches(name[:64].lower(), list(spelled), 1, 0.5)
    return spelled[found[0]] if found else None
