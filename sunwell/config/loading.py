"""All sources of settings, in their order: option, environment, project's file, user's file, default."""

import os
import shlex
import stat
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import attrs

from sunwell.config.assembling import assembled, checked, winners
from sunwell.config.documents import Content, Document, ReadContent, document_of, read_content
from sunwell.config.flattening import Flattening, from_keywords
from sunwell.config.narrowing import narrows
from sunwell.config.places import project_file, user_file
from sunwell.config.schema import Configuration
from sunwell.config.settings import Origin, Setting, dotted
from sunwell.config.settings import Path as Key
from sunwell.config.spellings import options
from sunwell.config.trust import TrustRecord, refusal
from sunwell.config.unread import unread_warnings
from sunwell.config.variables import from_variables
from sunwell.config.wording import set_twice

USER, PROJECT, ENVIRONMENT, OPTION = 1, 2, 3, 4
_SUNWELL_CONFIG, _TRUST = "SUNWELL_CONFIG", "SUNWELL_TRUST_CONFIG"


@attrs.frozen
class Loaded:
    """The configuration, and where each of its values comes from."""

    values: Configuration
    settings: Mapping[Key, Setting] = attrs.field(repr=False)
    """What was set, by its name in the schema; everything else is a default."""
    untrusted: tuple[Setting, ...] = ()
    """Settings of a project's file that hold only once the file is trusted."""
    files: tuple[Path, ...] = ()
    """The files that were read, the user's own first."""
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
    is_trusted: bool
    """Whether all of the project's file holds."""
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
        every = tuple(map(checked, settings))
        chosen = winners(every)
        return Loaded(
            assembled(chosen),
            chosen,
            () if self.is_trusted else _untrusted(every, chosen),
            tuple(document.file for document in documents),
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

        A project's file that was found, and not named, is left out with a warning if it belongs to another
        user or if every user may write it. Raises :exc:`~sunwell.errors.ConfigurationError`.
        """
        environ = dict(os.environ if self.environ is None else self.environ)
        user = user_file(environ)
        named = self._named(environ)
        file = project_file(self.workspace) if named is None else named
        project, doubt = None, ""
        if file is not None:
            content = self.read_content(file)
            doubt = _doubt(file, content) if named is None else ""
            project = None if doubt else document_of(file, content)
        return Reading(
            None if user is None else document_of(user, self.read_content(user)),
            project,
            environ,
            self._trusts(environ, project),
            (doubt,) if doubt else (),
        )

    def _named(self, environ: Mapping[str, str]) -> Path | None:
        if self.config is not None:
            return self.config
        return Path(environ[_SUNWELL_CONFIG]) if environ.get(_SUNWELL_CONFIG, "").strip() else None

    def _trusts(self, environ: Mapping[str, str], project: Document | None) -> bool:
        if self.trust_config or environ.get(_TRUST, "").strip().lower() in ("1", "true", "yes", "on"):
            return True
        return project is None or TrustRecord.of_user(environ).holds(project.file, project.data)


def _doubt(file: Path, content: Content) -> str:
    """Return why a file that was found does not count; empty if it does."""
    use = f"to use it, read it and name it with --config {shlex.quote(str(file))}"
    if content.owner is not None and not {content.owner, _owner_of_name(file)} <= {os.geteuid()}:
        return f"{file} belongs to another user and is left out; {use}"
    if content.mode & stat.S_IWOTH:
        return f"{file} can be written by every user and is left out; {use}"
    return ""


def _owner_of_name(file: Path) -> int | None:
    """Return who made *file*, or the link of that name; ``None`` if it is gone by now."""
    try:
        return os.lstat(file).st_uid
    except OSError:
        return None


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
    return tuple(map(checked, _from_document(document, is_project=True)))


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
    """Refuse one setting under two spellings in one file; a block may say more of a provider's name."""
    seen: dict[Key, Setting] = {}
    for setting in settings:
        first = seen.setdefault(setting.path, setting)
        if first is not setting and setting.path[-1] != "provider":
            raise set_twice(setting.origin, first.origin)


def _from_options(given: Mapping[str, Any]) -> Iterable[Setting]:
    known, trees = options(), {}
    for name, value in given.items():
        if value is None:
            continue
        if name in known and not isinstance(value, Mapping):
            yield Setting(known[name].path, value, Origin("option", name, rank=OPTION))
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
