"""What the sources of context find for a question, within a time and a size; and the tool that asks them."""

import asyncio
import logging
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import ClassVar

import attrs

from sunwell.agent.prompts import context_found_text
from sunwell.agent.run.toolset import Toolset
from sunwell.context.options import ContextChoice, RunOptions, source_folder, source_name
from sunwell.core.context_source import ContextSource, ContextSourceMaker
from sunwell.core.message import ToolCall, ToolResult
from sunwell.core.model import ToolSpec
from sunwell.core.secrets import Secrets
from sunwell.core.tool import RepeatableCall, Staged
from sunwell.errors import SunwellError, ToolError
from sunwell.models.tokens import estimate_tokens
from sunwell.tools.arguments import closed, nullable, read_arguments, text
from sunwell.tools.wording import on_one_line

CONTEXT_QUERY = "context_query"
CONTEXT_TOKENS = 3_000
"""Most tokens of what is found for one question, unless another number is given."""
MOST_CONTEXT_TOKENS = 20_000
QUERY_SECONDS = 20.0
"""Longest time of one query, if the source does not set another one as ``timeout_seconds``."""
_MOST_QUERY_CHARACTERS = 4_000
_MOST_ERROR_CHARACTERS = 300
_BYTES_PER_TOKEN = 4
_NOTHING = "nothing was found"
_NO_ANSWER = "it did not answer within {seconds:g} s"

log = logging.getLogger("sunwell.agent")


@attrs.define(eq=False)
class ContextLookup:
    """The sources of context of one run. A source that fails is a sentence, never an error."""

    sources: Mapping[str, ContextSource]
    """By their names, in order."""
    secrets: Secrets = attrs.field(factory=Secrets)

    @classmethod
    def of(
        cls,
        given: Sequence[ContextChoice],
        root: Path,
        secrets: Secrets,
        *,
        ignore: tuple[str, ...] = (),
    ) -> "ContextLookup | None":
        """Return the lookup for *given*, as ``RunOptions.context_sources`` has them; ``None`` for none.

        Folders are relative to the workspace *root*. Raises
        :exc:`~sunwell.errors.ConfigurationError` for a folder that cannot be one.
        """
        if not given:
            return None
        from sunwell.context.folder_source import FolderPlace, FolderSource  # most runs have no source

        found: dict[str, ContextSource] = {}
        for one in given:
            if isinstance(one, str):
                place = FolderPlace.of(source_folder(one), root, ignore)
                found[source_name(one)] = FolderSource(source_name(one), place, secrets)
            else:
                found[one.name] = one.for_run(root) if isinstance(one, ContextSourceMaker) else one
        return cls(found, secrets)

    @classmethod
    def recorded(cls, given: Sequence[ContextChoice]) -> "ContextLookup | None":
        """Return the lookup of a run that is only played again: the same names, and nobody is asked."""
        names = [source_name(one) for one in given]
        return cls({name: _Recorded(name) for name in names}) if names else None

    async def found(self, query: str, most_tokens: int = CONTEXT_TOKENS, source: str | None = None) -> str:
        """Return what is found for *query*, fenced, as a model is told it; *source*: in that one alone.

        Without *source* all are asked, side by side, and each has its share of *most_tokens*.
        """
        names = tuple(self.sources) if source is None else (source,)
        asked = query[:_MOST_QUERY_CHARACTERS]
        share = max(1, most_tokens // len(names))
        told = await asyncio.gather(*(self._found_in(self.sources[name], asked, share) for name in names))
        return context_found_text(asked, tuple(zip(names, told, strict=True)))

    async def close(self) -> None:
        """Close what the sources hold open."""
        for source in self.sources.values():
            aclose = getattr(source, "aclose", None)
            if aclose is None:
                continue
            try:
                async with asyncio.timeout(QUERY_SECONDS):
                    await aclose()
            except Exception:  # the run has its result: nobody is left who could be told
                log.exception("the context source %s could not be closed", source.name)

    async def _found_in(self, source: ContextSource, query: str, most_tokens: int) -> tuple[str, str]:
        """Return the text that *source* found, and what is said in its place if there is none."""
        seconds = getattr(source, "timeout_seconds", None) or QUERY_SECONDS
        try:
            async with asyncio.timeout(seconds):
                text = await source.context_query(query, most_tokens)
        except TimeoutError:
            return "", _NO_ANSWER.format(seconds=seconds)
        except SunwellError as error:
            said = error.sentence if isinstance(error, ToolError) else str(error)
            return "", self._shown(said)
        except Exception as error:  # the caller's own code: what it cannot find must not end the run
            log.exception("the context source %s failed", source.name)
            return "", self._shown(f"it failed ({type(error).__name__}: {error})")
        clean = self.secrets.redact(text).strip() if isinstance(text, str) else ""
        return (_cut(clean, most_tokens), "") if clean else ("", _NOTHING)

    def _shown(self, sentence: str) -> str:
        return on_one_line(self.secrets.redact(sentence))[:_MOST_ERROR_CHARACTERS]


@attrs.frozen
class _Recorded:
    """A source of a run that is played again."""

    name: str

    async def context_query(self, query: str, most_tokens: int) -> str:
        raise ToolError("the run is only played again, and the record has no answer to this")


def _cut(text: str, most_tokens: int) -> str:
    """Return the beginning of *text* that has at most *most_tokens*, at the end of a line if there is one."""
    if estimate_tokens(text) <= most_tokens:
        return text
    data = text.encode("utf-8", "replace")[: most_tokens * _BYTES_PER_TOKEN]
    kept = data.decode("utf-8", "ignore")
    whole_lines = kept.rpartition("\n")[0]
    return whole_lines if len(whole_lines) > len(kept) // 2 else kept


@attrs.define(eq=False)
class ContextQueryTool:
    """The tool ``context_query``, for whoever works: a :class:`~sunwell.core.tool.StagingExecutor`."""

    lookup: ContextLookup
    writes: ClassVar[bool] = False

    def specs(self) -> tuple[ToolSpec, ...]:
        """Return the one tool; its description names the sources."""
        names = ", ".join(self.lookup.sources)
        return (
            ToolSpec(
                CONTEXT_QUERY,
                "Look something up in documents that are not part of your task: returns the passages that "
                f"fit best, with where they are from. Sources: {names}. "
                'Example: {"query": "how tokens are refreshed", "source": null}',
                closed(
                    {
                        "query": text("What you look for, in words: names and rare words find most."),
                        "source": nullable(text("The name of one source; null: all of them.")),
                    }
                ),
            ),
        )

    def is_parallel(self, name: str) -> bool:
        """Whether calls may run side by side: they change nothing."""
        return True

    async def hashes(self, paths: tuple[str, ...]) -> tuple[str | None, ...]:
        """Look at no file: nothing is touched here."""
        return tuple(None for _ in paths)

    async def stage(self, call: ToolCall) -> Staged:
        """Return *call* to be carried out. A question may be asked again."""
        return RepeatableCall(self, call)

    async def execute(self, call: ToolCall) -> ToolResult:
        """Return what is found; a mistake in the arguments is told to the model."""
        try:
            arguments = read_arguments(call, self.specs()[0])
            query, source = arguments["query"], arguments["source"]
            if not query.strip():
                raise ToolError("the query is empty: say in words what you look for")
            if source is not None and source not in self.lookup.sources:
                there = ", ".join(self.lookup.sources)
                raise ToolError(f"there is no source {on_one_line(source)[:60]!r}; there are: {there}")
        except ToolError as error:
            return ToolResult(call.id, error.sentence, is_error=True, refused=True)
        return ToolResult(call.id, await self.lookup.found(query, source=source))


def with_context_query(tools: Toolset, options: RunOptions, lookup: ContextLookup | None = None) -> Toolset:
    """Return *tools* with ``context_query`` if a run with *options* has a source and may call it.

    Without *lookup* it carries nothing out: it is what a forecast and a check of names need.
    """
    names = options.tool_names
    if not options.context_sources or (names is not None and CONTEXT_QUERY not in names):
        return tools
    lookup = lookup or ContextLookup.recorded(options.context_sources)
    return tools if lookup is None else tools.joined(ContextQueryTool(lookup))


@attrs.frozen
class ContextQuestion:
    """What is looked up for a worker when it begins."""

    query: str
    most_tokens: int
    lookup: ContextLookup

    async def told(self) -> str:
        """Return what the worker is told of it, behind its task."""
        return await self.lookup.found(self.query, self.most_tokens)
