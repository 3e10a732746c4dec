"""The schema as a tree: what stands at a path, which keys are known there, and which is nearest."""

import difflib
import typing
from collections.abc import Iterator, Mapping
from functools import cache
from typing import Any

import attrs

from sunwell.config.schema import ROLES, Configuration
from sunwell.config.setting import SettingPath
from sunwell.context.options import MODEL_ROLES, OptionSpec, option_specs
from sunwell.context.spellings import SPELLINGS, SWITCHES, flat_names

_ASSEMBLED = frozenset({"run", "chosen"})


@attrs.frozen(eq=False)
class Table:
    """A table with fixed keys."""

    keys: Mapping[str, Any]
    """What stands at each key: a table, or the kind of a value."""
    is_role: bool = False
    """Whether it describes a model, which may be written as the model's name alone."""


@cache
def schema() -> Table:
    """Return the whole schema: the configuration's own tables with the options of a run in their places."""
    keys: dict[str, Any] = {}
    for field in attrs.fields(Configuration):
        if field.name not in _ASSEMBLED:
            keys[field.name] = _node(field.type)
    for role in ROLES:
        keys[role] = Table(keys[role].keys, is_role=True)
    for spec in option_specs().values():
        if spec.name in MODEL_ROLES:
            continue
        *above, name = spec.path
        if not above:
            keys[name] = spec.kind
            continue
        held = keys.get(above[0], Table({}))
        keys[above[0]] = Table({**held.keys, name: spec.kind}, held.is_role)
    return Table(keys)


def _node(kind: Any) -> Any:
    if isinstance(kind, type) and attrs.has(kind):
        return Table({field.name: _node(field.type) for field in attrs.fields(kind)})
    return kind


@cache
def options_by_path() -> Mapping[SettingPath, OptionSpec]:
    """Return each option of a run by its place; models, whose place is a table, left out."""
    return {spec.path: spec for spec in option_specs().values() if spec.name not in MODEL_ROLES}


def named_table(kind: Any) -> Any:
    """Return what each member is if *kind* is a table with names of the user's own, else ``None``."""
    return _node(typing.get_args(kind)[1]) if typing.get_origin(kind) is Mapping else None


def kind_at(path: SettingPath) -> Any:
    """Return the table or kind at *path*. Raises :exc:`KeyError` with the depth of the first unknown key."""
    if path in SWITCHES:
        return bool
    kind: Any = schema()
    for depth, name in enumerate(path):
        member = named_table(kind)
        if member is not None:
            kind = member
        elif isinstance(kind, Table) and name in kind.keys:
            kind = kind.keys[name]
        else:
            raise KeyError(depth)
    return kind


def known_at(path: SettingPath) -> tuple[str, ...]:
    """Return the keys of the table at *path*; none if its names are the user's own."""
    kind = kind_at(path)
    return tuple(kind.keys) if isinstance(kind, Table) else ()


def leaves(table: Any = None, path: SettingPath = ()) -> Iterator[tuple[SettingPath, Any]]:
    """Yield path and kind of every setting with a fixed name; *table* is an attrs class or a table."""
    for name, kind in (schema() if table is None else _node(table)).keys.items():
        if isinstance(kind, Table):
            yield from leaves(kind, (*path, name))
        elif not isinstance(named_table(kind), Table):
            yield (*path, name), kind


@cache
def settings_by_name() -> Mapping[str, tuple[SettingPath, Any]]:
    """Return place and kind of each setting by every flat name: ``budget_usd``, ``max_usd``, ``model``.

    A flat name is an option's own, an alias, or the place with ``_`` between its parts.
    """
    kinds = dict(leaves())
    kinds |= {(role,): kinds[role, "model"] for role in ROLES} | dict.fromkeys(SWITCHES, bool)
    found = {name: path for name, path in flat_names().items() if path in kinds}
    for path in (*kinds, *SPELLINGS):
        target = SPELLINGS.get(path, path)
        if target in kinds:
            found.setdefault("_".join(path), target)
    places: dict[SettingPath, SettingPath] = {(role,): (role, "model") for role in ROLES}
    return {name: (places.get(path, path), kinds[path]) for name, path in found.items()}


def nearest(name: str, known: typing.Iterable[str]) -> str | None:
    """Return the known name that *name* was probably meant to be; a slight likeness is no answer."""
    spelled = {candidate.lower(): candidate for candidate in known}
    found = difflib.get_close_matches(name[:64].lower(), list(spelled), 1, 0.65)
    return spelled[found[0]] if found else None
