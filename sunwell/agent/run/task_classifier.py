"""The one question about a task that the delegation model answers before it is decided who does the task."""

from sunwell.agent.policy.task_classes import CLASS_SCHEMA, TaskClass, read_class
from sunwell.agent.prompts import CLASSIFY_PROMPT
from sunwell.agent.run.run_context import Run
from sunwell.core.markdown import fenced, one_line
from sunwell.core.message import History, user
from sunwell.core.model import ModelProtocol, Request
from sunwell.errors import BudgetExhausted, ModelError
from sunwell.models.room import own_output_tokens
from sunwell.tools.wording import cut

_MOST_TASK_CHARACTERS = 8_000
_ANSWER_TOKENS = 2_000  # the answer has 60; a model that thinks unasked needs the rest


def class_request(task: str, output_tokens: int | None) -> Request:
    """Return what is asked about *task*, with at most *output_tokens* to answer; ``None``: no limit."""
    return Request(
        History([user(f"The task:\n\n{fenced(cut(task, _MOST_TASK_CHARACTERS))}")]),
        (CLASSIFY_PROMPT,),
        max_output_tokens=min(output_tokens or _ANSWER_TOKENS, _ANSWER_TOKENS),
        response_schema=CLASS_SCHEMA,
    )


async def classify(run: Run, model: ModelProtocol) -> TaskClass | str:
    """Return what *model* says of the task of *run*, or why it says nothing of use, as a clause.

    It is a call like any other: reserved, recorded, billed under the purpose ``classify``, and taken from the
    record on a resume. It is asked once: an answer of the wrong form is not asked for again.
    """
    request = class_request(run.task, own_output_tokens(model, run.config.max_output_tokens))
    try:
        answered = await run.gateway.ask(run.root.child("classify"), model, request, purpose="classify")
    except BudgetExhausted as error:
        return f"the classifier could not be asked: {one_line(str(error))}"
    except ModelError as error:
        return f"the classifier gave no answer: {one_line(str(error))}"
    try:
        return read_class(answered.text)
    except ValueError as error:
        return f"the answer of the classifier has not the form that was asked for: {error}"
