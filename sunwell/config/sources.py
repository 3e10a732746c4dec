"""All sources of settings, in their order: option, environment, project's file, user's file, default."""

import os
import shlex
from collections.abc import Callable, Iterable, Iterator, Mapping
from decimal import Decimal
from pathlib import Path
from typing import Any, Literal, get_args, get_origin

import attrs

from sunwell.config.documents import (
    Document,
    ReadContent,
    document_of,
    project_file,
    read_content,
    user_file,
)
from sunwell.config.schema import ROLES, Configuration
from sunwell.config.setting import Origin, Setting, SettingPath, dotted
from sunwell.config.setting import SettingPath as Key
from sunwell.config.setting_errors import not_a_table, set_twice, unknown_key, wrong_value
from sunwell.config.shape import (
    Table,
    kind_at,
    known_at,
    named_table,
    options_by_path,
    settings_by_name,
)
from sunwell.config.trust import TrustRecord, is_in, narrows, refusal
from sunwell.context.kinds import allowed, read_text, read_value
from sunwell.context.options import RunOptions
from sunwell.context.spellings import RLM_VARIABLES, SPELLINGS, SWITCHES, UNSET_WHEN_EMPTY, canonical
from sunwell.core.task import Budget
from sunwell.core.user_folders import settings_folder
from sunwell.errors import ConfigurationError
from sunwell.models.catalog import preset, preset_names
from sunwell.tools.file_owners import doubt, own_user, user_name, users_behind
from sunwell.tools.wording import quoted

_PER_MILLION = Decimal(1_000_000)
_RATES = {
    "input": "input_usd_per_million",
    "cached_input": "cached_input_usd_per_million",
    "output": "output_usd_per_million",
}
_LISTS = {"reasoning": "reasoning_models", "non_reasoning": "non_reasoning_models"}
_KNOWN = ("preset", "base_url", "models", "pricing", "api_key_env")

BLOCKS: Mapping[SettingPath, str] = {
    ("openai",): "model",
    ("subagent", "openai"): "delegation_model",
    ("rlm", "subagent", "openai"): "delegation_model",
    ("orchestrator", "openai"): "orchestrator",
    ("rlm", "orchestrator", "openai"): "orchestrator",
}
"""Where such a block may stand, and the role that it belongs to."""


class OpenAIBlock:
    """One block, with the means to say where each of its keys stands."""

    def __init__(self, role: str, block: Mapping[str, Any], path: SettingPath, origin_of: Any) -> None:
        self.role, self.block, self.path = role, block, path
        self._origin_of = origin_of
        self.name = self._provider_name()

    def settings(self) -> Iterator[Setting]:
        """Yield the settings that the block means; raises ConfigurationError for what it cannot mean."""
        for key in self.block:
            if key not in _KNOWN:
                raise unknown_key(self._origin(key), key, _KNOWN)
        yield Setting((self.role, "provider"), self.name, self._origin("preset"))
        named = {"preset": "preset", "base_url": "base_url", "api_key_env": "api_key_env"}
        own_entry = preset(self.name) is None
        for key, target in named.items():
            if key in self.block and (own_entry or key == "api_key_env"):
                yield Setting(("providers", self.name, target), self.block[key], self._origin(key))
        if own_entry:
            yield Setting(("providers", self.name, "kind"), "openai", self._origin("base_url"))
        yield from self._models()
        yield from self._prices()

    def _provider_name(self) -> str:
        """A preset at its own address goes by its name; anything else is a provider of its own."""
        wanted, url = self.block.get("preset"), self.block.get("base_url")
        known = None
        if wanted is not None:
            known = preset(wanted) if isinstance(wanted, str) else None
            if known is None:
                raise wrong_value(self._origin("preset"), wanted, "one of " + ", ".join(preset_names()))
        if known is not None and url in (None, known.base_url, f"{known.base_url}/"):
            return known.name
        if url is None:
            return "openai"
        return f"{self.role}-openai".replace("_", "-")

    def _models(self) -> Iterator[Setting]:
        models = self._table(self.block.get("models"), "models")
        for key, names in models.items():
            if key not in _LISTS:
                raise unknown_key(self._origin("models", key), key, _LISTS)
            yield Setting(("providers", self.name, _LISTS[key]), names, self._origin("models", key))

    def _prices(self) -> Iterator[Setting]:
        """Prices stand here in dollars for one token, elsewhere for a million."""
        for model, figures in self._table(self.block.get("pricing"), "pricing").items():
            entry = ("models", f"{self.name}/{model}")
            for key, figure in self._table(figures, "pricing", model).items():
                origin = self._origin("pricing", model, key)
                if key == "context_window":
                    yield Setting((*entry, key), figure, origin)
                elif key in _RATES:
                    try:
                        rate = read_value(figure, Decimal) * _PER_MILLION
                    except ValueError:
                        raise wrong_value(origin, figure, "US dollars for one token") from None
                    yield Setting((*entry, _RATES[key]), rate, origin)
                else:
                    raise unknown_key(origin, key, (*_RATES, "context_window"))

    def _table(self, value: Any, *keys: str) -> Mapping[str, Any]:
        if value is None:
            return {}
        if not isinstance(value, Mapping):
            raise not_a_table(self._origin(*keys), value)
        return value

    def _origin(self, *keys: str) -> Origin:
        return self._origin_of((*self.path, *keys))  # type: ignore[no-any-return]


OriginOf = Callable[[SettingPath], Origin]


@attrs.frozen
class Flattening:
    """Walks a tree of plain values; ``origin_of`` tells where the key at a path was written."""

    origin_of: OriginOf

    def settings(self, values: Mapping[str, Any]) -> Iterator[Setting]:
        """Yield each setting under its name in the schema. Raises ConfigurationError."""
        yield from self._table(values, ())

    def _table(self, values: Mapping[str, Any], path: SettingPath) -> Iterator[Setting]:
        # A block says more than the provider's name beside it, wherever the two stand.
        for name in sorted(values, key=lambda name: (*path, name) in BLOCKS):
            if (*path, name) not in BLOCKS or values.get("provider") in (None, "", "openai"):
                yield from self._key(values[name], (*path, name))

    def _key(self, value: Any, path: SettingPath) -> Iterator[Setting]:
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

    def _is_foreign_table(self, path: SettingPath) -> bool:
        """Whether *path* is only the beginning of other spellings."""
        return path not in SPELLINGS and any(
            len(name) > len(path) and name[: len(path)] == path and not _is_in_schema(path)
            for name in (*SPELLINGS, *BLOCKS)
        )

    def _setting(self, value: Any, path: SettingPath) -> Iterator[Setting]:
        origin, target = self.origin_of(path), canonical(path)
        try:
            kind = kind_at(target)
        except KeyError as error:
            raise self._unknown(origin, path, target, error.args[0]) from None
        if isinstance(kind, Table) and kind.is_role and not isinstance(value, Mapping):
            yield Setting((*target, "model"), value, origin)
        elif isinstance(kind, Table) or isinstance(named_table(kind), Table):
            if not isinstance(value, Mapping):
                raise not_a_table(origin, value)
            yield from self._table(value, path)
        else:
            yield Setting(target, value, origin)

    def _unknown(self, origin: Origin, path: SettingPath, target: SettingPath, depth: int) -> Exception:
        written = path[:-1]
        spelled = (name for name in (*SPELLINGS, *BLOCKS) if len(name) > len(written))
        names = {name[len(written)] for name in spelled if name[: len(written)] == written}
        names |= set(known_at(target[:depth]))
        return unknown_key(origin, path[-1], names)


def _is_in_schema(path: SettingPath) -> bool:
    try:
        kind_at(path)
    except KeyError:
        return False
    return True


def from_keywords(values: Mapping[str, Any], rank: int) -> OriginOf:
    """Return where keyword arguments come from."""
    return lambda path: Origin("option", dotted(path), rank=rank)


def checked(setting: Setting) -> Setting:
    """Return *setting* with its value as the schema has it. Raises ConfigurationError."""
    kind = kind_at(setting.path)
    try:
        value = read_value(setting.value, kind)
    except (ValueError, ArithmeticError):
        raise wrong_value(setting.origin, setting.value, allowed(kind)) from None
    if setting.path in SWITCHES:
        target, on = SWITCHES[setting.path]
        return attrs.evolve(setting, path=target, value=on if value else None, switch=setting.path)
    return attrs.evolve(setting, value=value)


def winners(settings: Iterable[Setting]) -> dict[SettingPath, Setting]:
    """Return for each path the setting of the highest rank; of one rank the last counts.

    A provider belongs to the model that it was written with: where a higher source names another
    model for the role, the provider of a lower one does not hold.
    """
    chosen: dict[SettingPath, Setting] = {}
    for setting in settings:
        held = chosen.get(setting.path)
        if held is None or setting.origin.rank >= held.origin.rank:
            chosen[setting.path] = setting
    entries = [("models", path[1]) for path in chosen if path[0] == "models"]
    for role in [*((name,) for name in ROLES), *dict.fromkeys(entries)]:
        provider, model = chosen.get((*role, "provider")), chosen.get((*role, "model"))
        if provider and model and model.origin.rank > provider.origin.rank:
            del chosen[provider.path]
    return chosen


def assembled(chosen: Mapping[SettingPath, Setting]) -> Configuration:
    """Return the configuration that *chosen* settings, all checked, make."""
    of_run = options_by_path()
    tree: dict[str, Any] = {}
    options: dict[str, Any] = {}
    budget: dict[str, Any] = {}
    for path, setting in chosen.items():
        if path[0] == "budget":
            budget[path[1]] = setting.value
        elif path in of_run:
            options[of_run[path].name] = setting.value
        else:
            table = tree
            for name in path[:-1]:
                table = table.setdefault(name, {})
            table[path[-1]] = setting.value
    run = RunOptions(budget=Budget(**budget), **options)
    named = {*options, *(f"budget_{name}" for name in budget)}
    named |= {"_".join(setting.switch) for setting in chosen.values() if setting.switch}
    made: Configuration = _made(Configuration, tree | {"run": run, "chosen": frozenset(named)})
    return made


def _made(kind: Any, tree: Any) -> Any:
    """Return the value of the attrs class *kind*, or of a table of such values, that *tree* describes."""
    if get_origin(kind) is Mapping and attrs.has(get_args(kind)[1]):
        return {name: _made(get_args(kind)[1], value) for name, value in tree.items()}
    if not (isinstance(kind, type) and attrs.has(kind)) or isinstance(tree, kind):
        return tree
    kinds = {field.name: field.type for field in attrs.fields(kind)}
    return kind(**{name: _made(kinds[name], value) for name, value in tree.items()})


PREFIX = "SUNWELL_"
NOT_SETTINGS = frozenset(
    {
        "SUNWELL_HOME",
        "SUNWELL_CONFIG",
        "SUNWELL_TRUST_CONFIG",
        "SUNWELL_OUTCOMES",
        "SUNWELL_LENSES",
        "SUNWELL_CONVERSATIONS",
        "SUNWELL_OTEL",
        "SUNWELL_MCP_TOKEN",
        "SUNWELL_SERVE_TOKEN",
    }
)
"""Variables of other uses: where settings are, what is kept and told of runs, the tokens of servers."""


def from_variables(environ: Mapping[str, str], rank: int) -> Iterator[Setting]:
    """Yield the settings in *environ*; an empty variable is not set. Raises ConfigurationError.

    Where both ``RLM_MODEL`` and ``SUNWELL_MODEL`` are there, the latter comes later, and so wins.
    """
    known = settings_by_name()
    for name, target in RLM_VARIABLES.items():
        if environ.get(name, "").strip():
            yield _setting(name, target, environ[name], rank)
    for name in sorted(environ):
        if not name.startswith(PREFIX) or name in NOT_SETTINGS or not environ[name].strip():
            continue
        target = name.removeprefix(PREFIX).lower()
        if target not in known:
            names = [PREFIX + option.upper() for option in known]
            raise unknown_key(Origin("environment", name, rank=rank), name.lower(), names)
        yield _setting(name, target, environ[name], rank)


def _setting(name: str, target: str, text: str, rank: int) -> Setting:
    (path, kind), origin = settings_by_name()[target], Origin("environment", name, rank=rank)
    try:
        return Setting(path, read_text(text, kind), origin)
    except (ValueError, ArithmeticError):
        raise wrong_value(origin, text, allowed(kind)) from None


def unread_warnings(chosen: Mapping[SettingPath, Setting]) -> tuple[str, ...]:
    """Return a sentence for each setting in *chosen* that has no effect."""
    told: list[str] = []
    nix = chosen.get(("use_nix",))
    if nix is not None and nix.value is True:
        told.append(f"{nix.origin}: use_nix is not carried over: commands run in a sandbox")
    return tuple(told)


def _where(setting: Setting) -> str:
    """Return where the setting was written; whoever has just typed it knows."""
    return "" if setting.origin.source == "option" else f"{setting.origin}: "


USER, PROJECT, ENVIRONMENT, OPTION = 1, 2, 3, 4
_SUNWELL_CONFIG, _TRUST = "SUNWELL_CONFIG", "SUNWELL_TRUST_CONFIG"


Trust = Literal["none", "recorded", "once"]
"""Whether a project's file is trusted: no, by the user's record, or this once."""


@attrs.frozen
class Loaded:
    """The configuration, and where each of its values comes from."""

    values: Configuration
    settings: Mapping[Key, Setting] = attrs.field(repr=False)
    """What was set, by its name in the schema; everything else is a default."""
    untrusted: tuple[Setting, ...] = ()
    """Settings of a project's file that hold only once the file is trusted."""
    accepted: tuple[Setting, ...] = ()
    """Settings of a project's file that hold only because it is trusted this once."""
    trust: Trust = "none"
    """What holds of the project's file."""
    files: tuple[Path, ...] = ()
    """The files that were read, the user's own first."""
    project: Path | None = None
    """The project's file, or the one that was named in its place."""
    warnings: tuple[str, ...] = ()

    def require_trust(self) -> "Loaded":
        """Return this, or raise :exc:`~sunwell.errors.ConfigurationError` where trust is missing."""
        if self.untrusted:
            raise refusal(self.untrusted)
        return self


@attrs.frozen
class Reading:
    """Files and variables as they were at one moment; every use of it has exactly these bytes."""

    user: Document | None
    project: Document | None
    environ: Mapping[str, str] = attrs.field(repr=False)
    trust: Trust
    """Whether all of the project's file holds, and why."""
    warnings: tuple[str, ...] = ()

    def load(self, **options: Any) -> Loaded:
        """Return everything put together; an option that is ``None`` is not set.

        Raises :exc:`~sunwell.errors.ConfigurationError` for the first thing that is wrong.
        Untrusted settings are loaded, too, and listed: see :meth:`Loaded.require_trust`.
        """
        settings: list[Setting] = []
        documents = [document for document in (self.user, self.project) if document is not None]
        for document in documents:
            settings += _from_document(document, is_project=document is self.project)
        settings += from_variables(self.environ, ENVIRONMENT)
        settings += _from_options(options)
        every = tuple(map(_permitted, map(checked, settings)))
        chosen = winners(every)
        wider = () if self.trust == "recorded" else _untrusted(every, chosen)
        return Loaded(
            assembled(chosen),
            chosen,
            wider if self.trust == "none" else (),
            wider if self.trust == "once" else (),
            self.trust,
            tuple(document.file for document in documents),
            None if self.project is None else self.project.file,
            (*self.warnings, *unread_warnings(chosen)),
        )

    def needing_trust(self) -> tuple[Setting, ...]:
        """Return what the project's file sets that holds only with trust, whatever is set above it."""
        if self.project is None:
            return ()
        user = () if self.user is None else map(checked, _from_document(self.user, is_project=False))
        base = assembled(winners(user))
        return tuple(setting for setting in settings_in(self.project) if not narrows(setting, base))


@attrs.frozen
class Sources:
    """Where settings are looked for. ``config`` takes the place of the project's file."""

    workspace: Path = Path()
    config: Path | None = None
    environ: Mapping[str, str] | None = attrs.field(default=None, repr=False)
    trust_config: bool = False
    """Trust the project's file this once."""
    read_content: ReadContent = attrs.field(default=read_content, repr=False)
    """Reads a file; called once for each."""

    def load(self, **options: Any) -> Loaded:
        """Read everything and return it put together; see :meth:`Reading.load`."""
        return self.read().load(**options)

    def read(self) -> Reading:
        """Read the user's file and the project's, each once, and say whether the project's is trusted.

        A project's file that was found, and not named, is left out with a warning if somebody else can change
        it, unless the user's own ``safe`` names it. Raises :exc:`~sunwell.errors.ConfigurationError`, also
        for a file of the user's own, or one that ``SUNWELL_CONFIG`` names, that somebody else can change.
        """
        environ = dict(os.environ if self.environ is None else self.environ)
        home = environ.get("SUNWELL_HOME", "").strip()
        if home and not Path(home).is_absolute():
            raise ConfigurationError(
                f"SUNWELL_HOME is {quoted(home)}, which is another folder in each folder: give its full path"
            )
        own = self._own(environ)
        safe = _safe_paths(own)
        named = self._named(environ)
        file = project_file(self.workspace) if named is None else named
        project, warnings = None, list[str]()
        if file is not None:
            content = self.read_content(file)
            is_typed = self.config is not None
            who = "" if is_typed or _is_safe(file, safe) else doubt(content.steps, users_behind(environ))
            if who and named is not None:  # a variable may come from a file of the project
                raise ConfigurationError(_left_out(file, who, environ))
            if who:
                warnings.append(_left_out(file, who, environ))
            else:
                project = document_of(file, content)
        if not warnings and not _is_safe(self.workspace, safe):
            warnings += _of_workspace(self.workspace, environ)
        trust, problem = self._trust(environ, project)
        return Reading(own, project, environ, trust, tuple(filter(None, (*warnings, problem))))

    def _own(self, environ: Mapping[str, str]) -> Document | None:
        """Return the user's own file. Unlike a project's it is not left out: it may hold their limits."""
        file = user_file(environ)
        if file is None:
            return None
        content = self.read_content(file)
        if who := doubt(content.steps, own_user()):
            raise ConfigurationError(
                f"your own settings in {file} are not used: {who}; make file and folder yours alone "
                "(chown, chmod go-w), or set SUNWELL_HOME to another folder"
            )
        return document_of(file, content)

    def _named(self, environ: Mapping[str, str]) -> Path | None:
        if self.config is not None:
            return self.config
        return Path(environ[_SUNWELL_CONFIG]) if environ.get(_SUNWELL_CONFIG, "").strip() else None

    def _trust(self, environ: Mapping[str, str], project: Document | None) -> tuple[Trust, str]:
        """Return whether *project* is trusted, and what is wrong with the record."""
        if project is None:
            return "none", ""
        known, problem = TrustRecord.of_user(environ).entries()
        if is_in(known, project.file, project.data):
            return "recorded", ""
        if self.trust_config or environ.get(_TRUST, "").strip().lower() in ("1", "true", "yes", "on"):
            return "once", problem
        return "none", problem


def _safe_paths(own: Document | None) -> tuple[str, ...]:
    """Return the paths that the user's own file calls safe, each checked. Raises ConfigurationError."""
    if own is None:
        return ()
    settings = map(checked, _from_document(own, is_project=False))
    chosen = next((setting for setting in settings if setting.path == ("safe",)), None)
    if chosen is None:
        return ()
    for path in chosen.value:
        if not Path(path).is_absolute():
            raise wrong_value(chosen.origin, path, "a list of full paths of files and folders")
    return tuple(map(os.path.realpath, chosen.value))


def _is_safe(path: Path, safe: tuple[str, ...]) -> bool:
    real = Path(os.path.realpath(path))
    return any(real.is_relative_to(each) for each in safe)


def _left_out(file: Path, who: str, environ: Mapping[str, str]) -> str:
    own = user_file(environ) or settings_folder(environ) / "config.toml"
    return (
        f"{file} is not used: {who}; to use it, read it and name it with --config {shlex.quote(str(file))}, "
        f"or add it to safe in {own}"
    )


def _of_workspace(workspace: Path, environ: Mapping[str, str]) -> Iterator[str]:
    try:
        owner = workspace.stat().st_uid
    except OSError:
        return  # whoever uses it says so
    if os.name == "posix" and owner not in users_behind(environ) | {0}:
        own = user_file(environ) or settings_folder(environ) / "config.toml"
        yield (
            f"the workspace {os.path.realpath(workspace)} belongs to {user_name(owner)}, who can change it "
            f"at any time; no settings in it are used; if that is right, add it to safe in {own}"
        )


def _permitted(setting: Setting) -> Setting:
    """Return *setting*. Raises ConfigurationError for one that may only stand in the user's own file."""
    if setting.path == ("safe",) and setting.origin.rank != USER:
        raise ConfigurationError(f"{setting.origin}: safe can only be set in your own file: remove it here")
    return setting


def load_config(
    *,
    workspace: str | Path = ".",
    config: str | Path | None = None,
    environ: Mapping[str, str] | None = None,
    trust_config: bool = False,
    **overrides: Any,
) -> Configuration:
    """Return the settings that hold: option, environment, project's file, user's file, default.

    Args:
        workspace: Where the project's file is looked for, and above.
        config: A file to read in place of the project's.
        environ: Environment variables; the process's own unless given.
        trust_config: Trust the project's file this once.
        overrides: Settings by flat name (``model``, ``child_model``, ``budget_usd``) or as tables
            (``providers={...}``); ``None`` is not set.

    Raises :exc:`~sunwell.errors.ConfigurationError`, one sentence for what is wrong first.
    """
    sources = Sources(Path(workspace), None if config is None else Path(config), environ, trust_config)
    return sources.load(**overrides).require_trust().values


def settings_in(document: Document) -> tuple[Setting, ...]:
    """Return what a project's file sets, each value checked. Raises ConfigurationError."""
    return tuple(map(_permitted, map(checked, _from_document(document, is_project=True))))


def _from_document(document: Document, *, is_project: bool) -> list[Setting]:
    rank = PROJECT if is_project else USER

    def origin_of(path: Key) -> Origin:
        line = next(
            (document.lines[path[:n]] for n in range(len(path), 0, -1) if path[:n] in document.lines), None
        )
        return Origin(str(document.file), dotted(path), line, rank, is_project)

    settings = list(Flattening(origin_of).settings(document.values))
    _refuse_doubles(settings)
    return settings


def _refuse_doubles(settings: Iterable[Setting]) -> None:
    """Refuse one setting under two spellings in one file, switches included.

    A block may say more of a provider's name.
    """
    seen: dict[Key, Setting] = {}
    for setting in settings:
        target, _ = SWITCHES.get(setting.path, (setting.path, None))
        first = seen.setdefault(target, setting)
        if first is not setting and setting.path[-1] != "provider":
            raise set_twice(setting.origin, first.origin)


def _from_options(given: Mapping[str, Any]) -> Iterable[Setting]:
    known, trees = settings_by_name(), {}
    for name, value in given.items():
        if value is None:
            continue
        if name in known and not isinstance(value, Mapping):
            yield Setting(known[name][0], value, Origin("option", name, rank=OPTION))
        else:
            trees[name] = value
    yield from Flattening(from_keywords(trees, OPTION)).settings(trees)


def _untrusted(every: Iterable[Setting], chosen: Mapping[Key, Setting]) -> tuple[Setting, ...]:
    """Return what of the project's file holds and is more than a narrowing of what holds without it."""
    without = winners(setting for setting in every if not setting.origin.is_project)
    base = assembled(without)
    found = [s for s in chosen.values() if s.origin.is_project and not narrows(s, base)]
    # A model's name in the file also removes the provider that the user wrote with that model.
    lost = [path for path in without if path not in chosen]
    found += [chosen[*path[:-1], "model"] for path in lost]
    return tuple(found)
