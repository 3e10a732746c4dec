"""How much of workers' reports a tool result holds: one rule for all tools that return them."""

from collections.abc import Sequence

import attrs

from sunwell.agent.workers.worker_result import reported
from sunwell.core.marks import guarded, guarded_part
from sunwell.core.task import TaskResult

EXCERPT_CHARACTERS = 16_000
"""Most characters of one report that a tool result holds; the rest is in the scratchpad."""
RESULT_CHARACTERS = 32_000
"""Most characters of all reports in one tool result, unless each is at its least length."""
LEAST_CHARACTERS = 1_500
"""What a tool result holds of each report at least."""


def told_reports(results: Sequence[TaskResult]) -> list[str]:
    """Return *results* as the model that asked for them reads them.

    A report that is too long keeps its beginning and its end, and says how to read the rest with
    ``inspect``, which every set of delegation tools has. Short reports leave their room to long ones.
    """
    most = _most_characters([len(result.answer) for result in results])
    return [_told(result, most) for result in results]


def excerpt(text: str, most_characters: int) -> str:
    """Return the beginning and the end of *text*, and between them how much is left out."""
    if len(text) <= most_characters:
        return text
    tail = most_characters // 3
    head = most_characters - tail
    left_out = f"[{len(text) - head - tail:,} characters are left out here]"
    return f"{text[:head]}\n\n{left_out}\n\n{guarded_part(text, len(text) - tail)}"


def _told(result: TaskResult, most_characters: int) -> str:
    answer = result.answer if result.answer_by == "harness" else guarded(result.answer)
    if len(answer) <= most_characters:
        return reported(attrs.evolve(result, answer=answer))
    shown = reported(attrs.evolve(result, answer=excerpt(answer, most_characters)))
    size = f"{len(result.answer):,} characters"
    return f'{shown}\n- the report has {size}; all of it: inspect("{result.scratchpad_key}")'


def _most_characters(lengths: Sequence[int]) -> int:
    room = RESULT_CHARACTERS
    for index, length in enumerate(sorted(lengths)):
        share = room // (len(lengths) - index)
        if length > share:
            return min(EXCERPT_CHARACTERS, max(LEAST_CHARACTERS, share))
        room -= length
    return EXCERPT_CHARACTERS
