"""The contexts of a run that answers a question about them."""

import os
from collections.abc import Awaitable, Callable, Iterable, Mapping, Sequence
from decimal import Decimal
from pathlib import Path
from typing import Any, Self

import attrs

from sunwell.context.long_context import Handle, LongContext
from sunwell.core.secrets import Secrets
from sunwell.core.threads import in_thread
from sunwell.errors import ConfigurationError

Confirm = Callable[[str, Decimal | None], Awaitable[bool]]
"""Asked before a fan-out: what it is and what is spent, in words, and its dollars at most. ``False`` refuses
it; a :exc:`~sunwell.errors.ToolError` does, too, with a sentence that the model is told."""
Source = LongContext | str | os.PathLike[str]
"""A context, or the path of a file or a folder, or a glob."""
Sources = Source | Iterable[Source] | Mapping[str, Source]


@attrs.frozen
class GivenAgain:
    """What a caller gives again of a recorded question: its record grants neither."""

    contexts: Sources | None = None
    confirm: Confirm | None = None


def context_names(paths: Sequence[str], folder: Path) -> list[str]:
    """Return what each of the *paths*, or globs, is called in prompts and records.

    Of an absolute one that is its path from *folder* if it lies there, else its last part: the rest says
    where a person keeps things. If two would be called the same, both keep their whole paths.
    """
    short = [_short_name(path, folder) for path in paths]
    return [path if short.count(name) > 1 else name for path, name in zip(paths, short, strict=True)]


def _short_name(path: str, folder: Path) -> str:
    whole = Path(path).expanduser()
    if not whole.is_absolute():
        return path
    within = os.path.relpath(whole, folder)
    return whole.name or path if within.startswith((os.pardir, os.curdir)) else within


def _by_name(given: Sources, folder: Path) -> dict[str, Source]:
    if isinstance(given, Mapping):
        return dict(given)
    sources = [given] if isinstance(given, LongContext | str | os.PathLike) else list(given)
    paths = [os.fspath(one) for one in sources if not isinstance(one, LongContext)]
    names = iter(context_names(paths, folder))
    named = {one.name if isinstance(one, LongContext) else next(names): one for one in sources}
    if len(named) < len(sources):
        raise ConfigurationError("two contexts have the same name: give them as a mapping from names")
    return named


@attrs.define(eq=False)
class AskedContexts:
    """What a question is about. The first context is the one that scripts call ``context``."""

    sources: Mapping[str, Source]
    """By name; ``""``: it has to be given again."""
    workspace: Path
    confirm: Confirm | None = None
    must_confirm: bool = False
    """Whether the run asked its user before a step that might cost much."""
    _opened: dict[str, LongContext] = attrs.field(factory=dict, init=False)
    _own: list[LongContext] = attrs.field(factory=list, init=False)

    @classmethod
    def of(cls, given: Sources, workspace: str | Path, confirm: Confirm | None = None) -> Self:
        """Return the contexts of a new run. Raises ConfigurationError if there are none."""
        sources = _by_name(given, Path(workspace).absolute())
        if not sources:
            raise ConfigurationError("there is no context: name at least one")
        for name, source in sources.items():
            if not isinstance(name, str) or not name.strip() or not source:
                raise ConfigurationError(f"a context cannot be called {name!r}: give it a name and a path")
        return cls(sources, Path(workspace).absolute(), confirm, confirm is not None)

    @classmethod
    def again(
        cls, recorded: Mapping[str, Any] | None, workspace: Path, given: GivenAgain | None = None
    ) -> Self | None:
        """Return the contexts of a *recorded* run, or those that are *given* in their places.

        ``None`` if it has none. A record is data that others may have edited: it may name only what is in
        the workspace. Raises :exc:`~sunwell.errors.ConfigurationError` for a context that the run has not.
        """
        given = given or GivenAgain()
        more = {} if given.contexts is None else _by_name(given.contexts, workspace.absolute())
        if recorded is None:
            if more:
                raise ConfigurationError("the run asks about no contexts: give none")
            return None
        sources = {name: more.get(name, path) for name, path in recorded["contexts"]}
        for name in more:
            if name not in sources:
                raise ConfigurationError(f"the run has no context {name!r}; it has: {', '.join(sources)}")
        place = workspace.absolute()
        for name, source in sources.items():
            if name not in more and source:
                sources[name] = str(place / source) if is_within(place / source, place) else ""
        return cls(sources, place, given.confirm, bool(recorded.get("confirms")))

    def settings(self) -> dict[str, Any]:
        """Return JSON values for the record: names, with the paths of those that are in the workspace."""
        contexts = [[name, self._recorded(source)] for name, source in self.sources.items()]
        return {"contexts": contexts, **({"confirms": True} if self.must_confirm else {})}

    async def open(self, secrets: Secrets) -> Mapping[str, Handle]:
        """Open the contexts that are not open, and return all of them; *secrets* are replaced in texts.

        Raises :exc:`~sunwell.errors.ConfigurationError` if one cannot be read, or was not given again.
        """
        if self.must_confirm and self.confirm is None:
            raise ConfigurationError(
                "the run asked before a step that might cost much: add --confirm-above X (in Python give "
                "confirm=, as in Agent.ask)"
            )
        for name, source in self.sources.items():
            if name in self._opened:
                continue
            if isinstance(source, LongContext):
                self._opened[name] = source
                continue
            if not source:
                raise ConfigurationError(
                    f"the run was started with the context {name!r}, which its record cannot name: give it "
                    "again with -c FILE, or with -c - what was piped in (in Python "
                    f"contexts={{{name!r}: ...}})"
                )
            path = self.workspace / Path(source).expanduser()
            self._opened[name] = await in_thread(LongContext.of, path, name, secrets=secrets)
            self._own.append(self._opened[name])
        if not any(context.size_bytes for context in self._opened.values()):
            raise ConfigurationError(f"the context {next(iter(self.sources))} is empty: name another one")
        return self.handles()

    def handles(self) -> Mapping[str, Handle]:
        """Return the contexts that are open."""
        return {name: self._opened[name].whole for name in self.sources if name in self._opened}

    def changed(self) -> tuple[str, ...]:
        """Return a sentence for each context that has changed since it was opened."""
        return tuple(filter(None, (context.changed() for context in self._opened.values())))

    def close(self) -> None:
        """Close what was opened here; contexts that were given stay open."""
        for context in self._own:
            context.close()
        self._own.clear()
        self._opened.clear()

    def _recorded(self, source: Source) -> str:
        if isinstance(source, LongContext):
            return ""
        path = self.workspace / Path(source).expanduser()
        return os.path.relpath(path, self.workspace) if is_within(path, self.workspace) else ""


def is_within(path: Path, folder: Path) -> bool:
    """Whether *path*, with its links followed, lies in *folder*: a record may name it."""
    real = Path(os.path.realpath(path))
    return real.is_relative_to(os.path.realpath(folder))
