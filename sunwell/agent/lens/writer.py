"""Has the smart model write the lens: one question, and one more where the answer is no lens."""

import logging
from collections.abc import Awaitable, Callable

import attrs

from sunwell.agent.lens.items import SPLIT_PROMPT, parse_items, split_schema
from sunwell.agent.lens.parsing import parse_lens
from sunwell.agent.lens.prompt import LENS_SCHEMA, SYSTEM_PROMPT, LensOrder, repair_prompt, user_prompt
from sunwell.core.lens import EphemeralLens
from sunwell.core.markdown import one_line
from sunwell.core.message import History, user
from sunwell.core.model import Caching, Completion, Request
from sunwell.core.task import Task
from sunwell.errors import LensError

log = logging.getLogger("sunwell.agent")

Ask = Callable[[Request], Awaitable[Completion]]
"""The door to the smart model, bound to the place of the lens in the run."""

_THINKING_TOKENS = 4_000  # room for reasoning, which counts as output
_CUT = frozenset({"length", "window", "other"})
"""Reasons to stop after which an answer may be half of one."""
_QUOTED_BYTES = 20_000  # a longer answer is not sent back: reading it again would cost more than it helps

GENERIC_HEURISTICS = (
    "Before you write, read the files that the task names and the nearest existing code of the same kind.",
    "Follow the names, layout and error handling of that code rather than your own habits.",
    "Do the whole task, and nothing that the task does not ask for.",
    "When done, read what you changed once more and run the checks that the workspace has, if you can.",
)
GENERIC_CONSTRAINTS = (
    "Leave no placeholders, and no parts for others to fill in.",
    "Do not invent functions, files or results: look them up.",
)


@attrs.frozen
class Split:
    """A lens, and the items into which its task falls: none where it is one piece."""

    lens: EphemeralLens
    items: tuple[Task, ...] = ()


async def write_lens(
    order: LensOrder, ask: Ask, *, model_name: str, tell: Callable[[str], None] = log.info
) -> EphemeralLens:
    """Return the lens alone that the smart model writes for *order*; see :func:`write_split_lens`."""
    return (await write_split_lens(order, ask, model_name=model_name, tell=tell)).lens


async def write_split_lens(
    order: LensOrder, ask: Ask, *, model_name: str, tell: Callable[[str], None] = log.info
) -> Split:
    """Return the lens that the smart model writes for *order*, with items where it may be split.

    *tell* gets a sentence on everything that was left out of the answer. Where the answer is no
    lens, the model is told why and asked once more.

    Raises :exc:`~sunwell.errors.LensError` where no lens comes of it, at once where the model
    refuses, and what *ask* raises.
    """
    prompt = user_prompt(order)
    history = History([user(prompt)])
    completion = await ask(_request(order, history))
    try:
        return _read(order, prompt, completion, tell)
    except LensError as error:
        if completion.stop in ("refusal", "window", "other"):
            raise LensError(f"{model_name} wrote no lens: {error}") from error
        repair = repair_prompt(str(error), order)
    answered = await ask(_request(order, _asked_again(prompt, completion, repair)))
    try:
        return _read(order, prompt, answered, tell)
    except LensError as error:
        raise LensError(f"{model_name} wrote no lens, asked twice: {error}") from error


def generic_lens(task: str) -> EphemeralLens:
    """Return a lens that fits any task and costs nothing; ``generated_by`` is empty."""
    line = one_line(task)
    scope = line if len(line) <= 120 else line[:119].rstrip() + "…"
    return EphemeralLens(heuristics=GENERIC_HEURISTICS, constraints=GENERIC_CONSTRAINTS, task_scope=scope)


def _request(order: LensOrder, history: History) -> Request:
    return Request(
        history,
        system=(SYSTEM_PROMPT + SPLIT_PROMPT if order.split else SYSTEM_PROMPT,),
        max_output_tokens=2 * order.max_lens_tokens + _THINKING_TOKENS,
        response_schema=split_schema(LENS_SCHEMA) if order.split else LENS_SCHEMA,
        effort=order.effort,
        caching=Caching(
            prefix=None, conversation=False
        ),  # asked once: a cache write would be paid for nothing
    )


def _asked_again(prompt: str, completion: Completion, repair: str) -> History:
    text = completion.text
    if text.strip() and not completion.tool_calls and len(text.encode("utf-8", "replace")) <= _QUOTED_BYTES:
        return History([user(prompt), completion.as_message(), user(repair)])
    return History([user(f"{prompt}\n\n{repair}")])


def _read(order: LensOrder, prompt: str, completion: Completion, tell: Callable[[str], None]) -> Split:
    """Return the lens in *completion*, taking its stop reason for what it is."""
    if completion.stop == "refusal":
        said = one_line(completion.text)[:200]
        raise LensError(f"it refused{f', saying {said!r}' if said else ''}")
    try:
        lens = parse_lens(
            completion.text,
            max_tokens=order.max_lens_tokens,
            cut=completion.stop in _CUT,
            scope=order.task,
            tell=tell,
        )
    except LensError as error:
        if completion.stop == "length":
            raise LensError(f"the answer was cut off at its limit of tokens, and {error}") from error
        if completion.stop == "window":
            raise LensError(f"the question fills the model's context window, and {error}") from error
        if completion.stop == "other":
            raise LensError(f"the answer ended with {completion.provider_stop!r}, and {error}") from error
        raise
    if completion.stop in _CUT:
        tell("the answer was cut off; the lens holds the items that were whole")
    lens = attrs.evolve(lens, generated_by=completion.model, generation_prompt=prompt)
    if not order.split:
        return Split(lens)
    return Split(lens, parse_items(completion.text, cut=completion.stop in _CUT, tell=tell))
