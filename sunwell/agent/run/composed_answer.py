"""An answer that is put together from what is there, if the model cannot be asked for one any more."""

from collections.abc import Sequence

from sunwell.core.addresses import without_addresses
from sunwell.core.markdown import block_quote, one_line
from sunwell.core.message import FileChange
from sunwell.core.task import CommandRun, TaskResult

COMPOSED = "[This answer was put together by Sunwell. The model did not write it.]"
"""The first line of every such answer."""
_MOST_LISTED = 50
_QUOTED_CHARACTERS = 6_000


def composed_answer(
    why: str,
    *,
    last_words: str = "",
    is_cut: bool = False,
    draft: str = "",
    delivered: str = "",
    files: Sequence[FileChange] = (),
    commands: Sequence[CommandRun] = (),
) -> str:
    """Return an answer made of what is there; empty if there is nothing.

    Args:
        why: Why the work stopped, in a sentence.
        last_words: What the model said last.
        is_cut: Whether these words are the beginning of an answer that was cut.
        draft: The model's draft of the answer.
        delivered: What workers reported, already marked as their words.
        files: Files that the work has changed.
        commands: Commands that the work has run.
    """
    blocks = []
    if draft.strip():
        blocks.append(f"The model's draft of the answer:\n\n{draft.strip()}")
    if last_words.strip():
        head = "The model's answer was cut. This is its beginning:" if is_cut else "The model said last:"
        blocks.append(f"{head}\n\n{block_quote(_shortened(last_words.strip()))}")
    if delivered.strip():
        blocks.append(delivered.strip())
    changed = [f"- {one_line(change.path)} ({change.verb})" for change in files]
    blocks += _listed("Files that were changed:", changed)
    blocks += _listed("Commands that were run:", [_command(run) for run in commands])
    if not blocks:
        return ""
    # Models read this, too: of a provider's error it is one line, without addresses.
    reason = without_addresses(one_line(why)).rstrip(".")
    stopped = f"The task was not finished: {reason}."
    return "\n\n".join([COMPOSED, stopped, *blocks])


def quoted_reports(results: Sequence[TaskResult]) -> str:
    """Return what workers reported, each as a quotation below its task; empty if none said anything."""
    done = [result for result in results if result.answer.strip()]
    if not done:
        return ""
    parts = [f"## {one_line(result.task)[:120]}\n\n{block_quote(result.answer.strip())}" for result in done]
    head = "No answer was written before the run ended. This is what its workers reported, as they said it."
    return "\n\n".join([head, *parts])


def _listed(head: str, lines: Sequence[str]) -> list[str]:
    if not lines:
        return []
    more = [f"- and {len(lines) - _MOST_LISTED:,} more"] if len(lines) > _MOST_LISTED else []
    return ["\n".join([head, *lines[:_MOST_LISTED], *more])]


def _command(run: CommandRun) -> str:
    return f"- {one_line(run.command)[:200]} (exit code {run.exit_code})"


def _shortened(text: str) -> str:
    left_out = len(text) - _QUOTED_CHARACTERS
    return text if left_out <= 0 else f"{text[:_QUOTED_CHARACTERS]}\n(… {left_out:,} more characters)"
