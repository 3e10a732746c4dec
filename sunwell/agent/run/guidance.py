"""What stands before the task in every prompt of a run's work."""

from collections.abc import Collection, Sequence
from typing import Self

import attrs

from sunwell.agent.prompts import (
    ORCHESTRATOR_PROMPT,
    after_lens,
    checks_text,
    orchestrator_lens_text,
    surroundings_text,
    work_prompt,
)
from sunwell.context.options import RunOptions
from sunwell.context.session import SessionContext
from sunwell.context.surroundings import look_around
from sunwell.core.lens import EphemeralLens
from sunwell.core.secrets import Secrets
from sunwell.tools.workspace import Workspace

TOOLS_OF_THE_WORKSPACE = frozenset(
    {"list_files", "read_file", "search_files", "write_file", "edit_file", "run_command"}
)
"""Names of the tools that look at the workspace or change it."""


@attrs.frozen
class Guidance:
    """The sections of the system prompt before a lens: the same bytes for all work of a run."""

    caller: str = ""
    """The caller's own instructions."""
    how_to_work: str = ""
    checks: str = ""
    """How the work is checked; empty if it is not."""
    surroundings: str = ""
    """The workspace as it was when the run opened; recorded, so that a resume and a fork send the same."""

    @classmethod
    def of(
        cls,
        system_prompt: str | None,
        options: RunOptions,
        tools: Collection[str],
        *,
        secrets: Secrets | None = None,
        surroundings: str = "",
        checks: Sequence[str] = (),
    ) -> Self:
        """Return the guidance for work with *tools*, by name, and *checks*. Known *secrets* are replaced."""
        redact = (secrets or Secrets()).redact
        own = options.work_prompt
        return cls(
            redact(system_prompt or ""),
            work_prompt(tools) if own is None else redact(own),
            redact(checks_text(checks)),
            surroundings,
        )

    def sections(self, lens: EphemeralLens | None = None) -> tuple[str, ...]:
        """Return the system prompt of a worker or of a direct run, under *lens* if there is one."""
        under = (lens.to_context(), after_lens(lens.target_files)) if lens is not None else ()
        return _written(self.caller, self.how_to_work, self.checks, self.surroundings, *under)

    def without_tools(self, sections: Sequence[str], options: RunOptions) -> tuple[str, ...]:
        """Return *sections*, which begin with this guidance, as they are for work without any tools.

        How to work is another text, unless the caller has given one, and the workspace is left out: what has
        no tools cannot look at it.
        """
        how = self.how_to_work if options.work_prompt is not None else work_prompt(())
        kept = [section for section in sections if section != self.surroundings]
        return tuple(how if section == self.how_to_work else section for section in kept)

    def orchestrator_sections(self, place: str = "", lens: EphemeralLens | None = None) -> tuple[str, ...]:
        """Return the system prompt of a model that only hands out work.

        *place* says what there is in this run, empty if it is not known yet; *lens* is what its workers read.
        """
        read = orchestrator_lens_text(lens.to_context()) if lens is not None else ""
        return _written(self.caller, ORCHESTRATOR_PROMPT, self.surroundings, place, read)


def surroundings_of(
    session: SessionContext, tools: Collection[str], secrets: Secrets, workspace: Workspace | None = None
) -> str:
    """Return the surroundings of work in the workspace of *session*; empty if no tool looks at it.

    *workspace* is that of *session*, if it is known already.
    """
    if TOOLS_OF_THE_WORKSPACE.isdisjoint(tools):
        return ""
    options = session.options
    seen = look_around(
        workspace or session.workspace,
        secrets=secrets,
        reads_advice=options.workspace_advice,
        ignore=options.ignore,
    )
    return surroundings_text(seen)


def _written(*sections: str) -> tuple[str, ...]:
    return tuple(section for section in sections if section.strip())
