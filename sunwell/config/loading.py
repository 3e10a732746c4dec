"""All sources of settings, in their order: option, environment, project's file, user's file, default."""

import os
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import attrs

from sunwell.config.assembling import assembled, checked, winners
from sunwell.config.documents import Document, read_document
from sunwell.config.flattening import Flattening, from_keywords
from sunwell.config.places import project_file, user_file
from sunwell.config.schema import Configuration
from sunwell.config.settings import Origin, Setting, dotted
from sunwell.config.settings import Path as Key
from sunwell.config.spellings import options
from sunwell.config.trust import TrustRecord, needs_trust, refusal
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
class Sources:
    """Where settings are looked for. ``config`` takes the place of the project's file."""

    workspace: Path = Path()
    config: Path | None = None
    environ: Mapping[str, str] | None = attrs.field(default=None, repr=False)
    trust_config: bool = False
    """Trust the project's file this once."""

    def load(self, **options: Any) -> Loaded:
        """Return everything put together; an option that is ``None`` is not set.

        Raises :exc:`~sunwell.errors.ConfigurationError` for the first thing that is wrong.
        Untrusted settings are loaded, too, and listed: see :meth:`Loaded.require_trust`.
        """
        read = os.environ if self.environ is None else self.environ
        user, project = user_file(read), self._project(read)
        documents = [read_document(file) for file in (user, project) if file is not None]
        settings: list[Setting] = []
        for document in documents:
            settings += _from_document(document, is_project=document.file == project)
        settings += from_variables(read, ENVIRONMENT)
        settings += _from_options(options)
        chosen = winners(map(checked, settings))
        untrusted = () if self._trusts(read, documents) else _untrusted(chosen.values())
        return Loaded(
            assembled(chosen),
            chosen,
            untrusted,
            tuple(document.file for document in documents),
            unread_warnings(chosen),
        )

    def _project(self, read: Mapping[str, str]) -> Path | None:
        named = self.config or (
            Path(read[_SUNWELL_CONFIG]) if read.get(_SUNWELL_CONFIG, "").strip() else None
        )
        return named if named is not None else project_file(self.workspace)

    def _trusts(self, read: Mapping[str, str], documents: list[Document]) -> bool:
        if self.trust_config or read.get(_TRUST, "").strip().lower() in ("1", "true", "yes", "on"):
            return True
        if not documents:
            return True
        record = TrustRecord.of_user(read)
        return record.holds(documents[-1].file, documents[-1].data)


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


def _untrusted(settings: Iterable[Setting]) -> tuple[Setting, ...]:
    return tuple(setting for setting in settings if setting.origin.is_project and needs_trust(setting))
