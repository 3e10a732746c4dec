"""How much of workers' reports a tool result holds: one rule for all tools that return them."""

from collections.abc import Sequence

import attrs

from sunwell.agent.workers.worker_result import reported
from sunwell.core.marks import guarded
from sunwell.core.task import TaskResult

EXCERPT_CHARACTERS = 4_000
"""Maximum of one report that a tool result holds; the rest is in the scratchpad."""
ANSWER_CHARACTERS = 16_000
"""The same for answers whose length the model itself has chosen when it asked, 4,000 tokens by default."""
_SLACK, _NEAR_CHARACTERS = 4, 200
RESULT_CHARACTERS = 40_000
"""Maximum of the reports in one tool result of ``await_results`` or ``stream_results``."""


def told_reports(results: Sequence[TaskResult], most_characters: int) -> list[str]:
    """Return *results* as the model that asked for them reads them.

    A longer report than *most_characters* shows its beginning and its end, however many come at once, so
    that ``inspect`` knows what was left out.
    """
    return [_told(result, most_characters) for result in results]


def fitting(results: Sequence[TaskResult], most_characters: int) -> tuple[TaskResult, ...]:
    """Return those of *results*, from the first on, whose reports fit into one tool result; at least one."""
    room, taken = RESULT_CHARACTERS, 0
    for result in results:
        room -= len(_told(result, most_characters))
        if room < 0 and taken:
            break
        taken += 1
    return tuple(results[:taken])


def left_out_of(text: str, most_characters: int) -> tuple[int, int]:
    """Return where the part begins and ends that an excerpt of *text* leaves out.

    A text that is longer by at most a quarter is not cut: to ask for the rest would cost more than it saves.
    Others are cut between lines or words if there are any.
    """
    length = len(text)
    if length <= most_characters + most_characters // _SLACK:
        return length, length
    tail = most_characters // 3
    first, last = most_characters - tail, length - tail
    near = min(_NEAR_CHARACTERS, tail // 4)
    return _last_space(text, first - near, first), _first_space(text, last, last + near)


def _last_space(text: str, first: int, last: int) -> int:
    """Return where the last line, else word, of *text* ends between two places; *last* if none does."""
    line = text.rfind("\n", first, last)
    return line + 1 or next((at for at in range(last, first, -1) if text[at - 1].isspace()), last)


def _first_space(text: str, first: int, last: int) -> int:
    """Return where the first line, else word, of *text* ends between two places; *first* if none does."""
    line = text.find("\n", first, last)
    return line + 1 or next((at + 1 for at in range(first, last) if text[at].isspace()), first)


def excerpt(text: str, most_characters: int, *, is_ours: bool = False) -> str:
    """Return the beginning and the end of *text*, and between them how much is left out.

    What looks like a mark in it is guarded, after it was cut, unless the text is the harness's own.
    """
    first, last = left_out_of(text, most_characters)
    if first == last:
        return text if is_ours else guarded(text)
    head, tail = text[:first], text[last:]
    if not is_ours:
        head, tail = guarded(head), guarded(tail)  # the end begins a line here, wherever it was cut
    return f"{head}\n\n[{last - first:,} characters are left out here]\n\n{tail}"


def is_ours(result: TaskResult) -> bool:
    """Whether the harness itself put the answer of *result* together: the marks in it are true."""
    return result.answer_by == "harness"


def _told(result: TaskResult, most_characters: int) -> str:
    answer, size = result.answer, len(result.answer)
    shown = excerpt(answer, most_characters, is_ours=is_ours(result))
    told = reported(attrs.evolve(result, answer=shown))
    first, last = left_out_of(answer, most_characters)
    if first == last:
        return told
    key = result.scratchpad_key
    return f'{told}\n- the report has {size:,} characters; what is left out here: inspect("{key}")'
