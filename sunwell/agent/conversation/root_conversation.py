"""The conversation of a run's own task: a new one, or that of an earlier run, which goes on."""

import attrs

from sunwell.agent.conversation.conversation import Assignment, Conversation, ConversationHooks
from sunwell.agent.conversation.facts_seen import seen_call
from sunwell.agent.run.run_context import Run
from sunwell.agent.run.toolset import Toolset
from sunwell.checks.facts import SeenCall
from sunwell.core.message import History, Message, ToolCall, ToolResult


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
    work.earlier = _commands_that_passed(begun.messages)
    return work


def _commands_that_passed(messages: tuple[Message, ...]) -> tuple[SeenCall, ...]:
    """Return the commands of an earlier run that ended well: the next answer may speak of them.

    What else it did, or left undone, says nothing about what the user asks now.
    """
    calls: dict[str, ToolCall] = {}
    seen: list[SeenCall] = []
    for message in messages:
        for part in message.parts:
            if isinstance(part, ToolCall):
                calls[part.id] = part
            elif isinstance(part, ToolResult) and part.call_id in calls:
                seen.append(seen_call(calls[part.call_id], part, None))
    commands = [call for call in seen if call.command is not None]
    if not commands or commands[-1].exit_code != 0:
        return ()
    return tuple(call for call in commands if call.exit_code == 0)
