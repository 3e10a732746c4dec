"""The conversation of a run's own task: a new one, or that of an earlier run, which goes on."""

from collections.abc import Iterable, Iterator

import attrs

from sunwell.agent.conversation.compaction import repeats_a_cut
from sunwell.agent.conversation.conversation import Assignment, Conversation, ConversationHooks
from sunwell.agent.conversation.facts_seen import seen_call
from sunwell.agent.run.run_context import Run
from sunwell.agent.run.toolset import Toolset
from sunwell.checks.facts import SeenCall
from sunwell.core.message import History, Message, ToolCall, ToolResult
from sunwell.core.tool import Place


def root_conversation(
    run: Run, given: Assignment, tools: Toolset, hooks: ConversationHooks | None = None
) -> Conversation:
    """Return the conversation in which *given* is carried out, which is the task of *run* itself."""
    begun = run.begun
    if begun is None:
        return Conversation(run, given, tools, hooks)
    given = attrs.evolve(given, system=begun.system or given.system)
    history = History(begun.messages)
    work = Conversation(run, given, tools, hooks, history, begun.tokens_per_byte)
    pairs = list(_calls_and_results(begun.messages))
    for call, result in pairs:
        # The changes of a dry run are on no disk: the toolbox plans them again.
        if call.name in _WRITERS and not result.is_error and not repeats_a_cut(call):
            run.tools.recall(call, Place(given.span, 0, 0), result)
    work.earlier = _commands_that_passed(pairs)
    return work


_WRITERS = frozenset({"write_file", "edit_file"})


def _calls_and_results(messages: Iterable[Message]) -> Iterator[tuple[ToolCall, ToolResult]]:
    calls: dict[str, ToolCall] = {}
    for message in messages:
        for part in message.parts:
            if isinstance(part, ToolCall):
                calls[part.id] = part
            elif isinstance(part, ToolResult) and part.call_id in calls:
                yield calls[part.call_id], part


def _commands_that_passed(pairs: Iterable[tuple[ToolCall, ToolResult]]) -> tuple[SeenCall, ...]:
    """Return the commands of an earlier run that ended well: the next answer may speak of them.

    What else it did, or left undone, says nothing about what the user asks now.
    """
    seen = (seen_call(call, result, None) for call, result in pairs)
    commands = [call for call in seen if call.command is not None]
    if not commands or commands[-1].exit_code != 0:
        return ()
    return tuple(call for call in commands if call.exit_code == 0)
