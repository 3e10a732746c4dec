"""A conversation at its end as the harness saw it, and the facts about it."""

from collections.abc import Sequence
from operator import attrgetter
from typing import Literal

import attrs

from sunwell.agent.run.command_calls import RUN_COMMAND, arguments_of, command_of
from sunwell.agent.run.toolset import Toolset
from sunwell.checks.facts import Fact, SeenCall, SeenWork, announced_facts, facts_of
from sunwell.core.message import ToolCall, ToolResult
from sunwell.journal.records import ToolStarted
from sunwell.tools.policy import is_only_planned

FactsWanted = Literal["all", "announced", "none"]
"""Which facts are looked for: all, only whether the answer announces an action, or none."""
_WRITERS = frozenset({"write_file", "edit_file"})
_KNOWN = _WRITERS | {RUN_COMMAND, "list_files", "read_file", "search_files", "execute_python"}
_SAID_CHARACTERS = 300


_path_of = attrgetter("path")


def seen_call(call: ToolCall, result: ToolResult, started: ToolStarted | None) -> SeenCall:
    """Return *call* with its *result*, as facts are told by; *started*: how it began, if it did."""
    writes = () if started is None else tuple(map(_path_of, started.changes))
    if not writes and call.name in _WRITERS and (path := arguments_of(call).get("path")):
        writes = (str(path),)
    return SeenCall(
        call.name,
        writes,
        writes if is_only_planned(result) else tuple(map(_path_of, result.changes)),
        command_of(call, result),
        result.exit_code,
        result.is_error,
        result.content[:_SAID_CHARACTERS] if result.is_error else "",
        call.name not in _KNOWN and not result.is_error,
    )


@attrs.frozen
class FactsAsked:
    """What a conversation is looked over for, at its end."""

    wanted: FactsWanted = "none"
    task: str = ""
    """What was to be done, in words."""
    targets: tuple[str, ...] = ()
    """Paths that the task is about."""

    def found(self, answer: str, calls: Sequence[SeenCall], tools: Toolset) -> tuple[Fact, ...]:
        """Return the facts about *answer*, given after *calls* with *tools*."""
        if self.wanted == "none" or not tools.granted:
            return ()
        if self.wanted == "announced":
            return announced_facts(answer)
        may_write = not tools.granted.isdisjoint(_WRITERS)
        return facts_of(SeenWork(answer, tuple(calls), may_write=may_write), self._with_task)

    def _with_task(self, work: SeenWork) -> SeenWork:
        """Return *work* with what the task asks for."""
        from sunwell.agent.policy.wanted_changes import wanted_changes

        wish = wanted_changes(self.task)
        about = self.targets if wish.wish == "change" else ()
        return attrs.evolve(
            work,
            wish=wish.wish,
            targets=tuple(dict.fromkeys((*about, *wish.files))),
            is_prose=wish.is_prose,
            expects_failure=wish.expects_failure,
        )
