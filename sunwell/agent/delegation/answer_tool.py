"""``set_answer``: how an orchestrator writes its answer, and when that ends the run."""

from typing import Any

import attrs

from sunwell.agent.delegation.desk import Desk
from sunwell.agent.delegation.desk_tool import Arguments, DeskTool, spec
from sunwell.core.span import Span
from sunwell.core.tool import Place
from sunwell.errors import ToolError
from sunwell.events import ANSWER_SET, AnswerSet
from sunwell.tools.arguments import nullable, text

_SET_ANSWER = spec(
    "set_answer",
    "Write the answer to the task, or a draft that you will replace. ready=true ends the run with it, and "
    'workers still at work are stopped. Example: {"content": "There are 12 tests.", "ready": true, '
    '"confidence": 0.95}',
    {
        "content": text("The whole answer, as the user is to read it."),
        "ready": {"type": "boolean", "description": "Whether the answer is complete."},
        "confidence": nullable(
            {"type": "number", "description": "How sure you are, 0 to 1; null where you cannot say."}
        ),
    },
)


@attrs.frozen
class Answer:
    """What an orchestrator has set as its answer."""

    content: str
    ready: bool
    """Whether the run ends with it."""
    confidence: float | None
    iteration: int
    """Turn in which it was set, from 0."""


@attrs.define(eq=False)
class AnswerTool:
    """Keeps the latest answer of the work at one span."""

    span: Span
    threshold: float
    answer: Answer | None = attrs.field(default=None, init=False)

    def tool(self) -> DeskTool:
        """Return it as a tool."""
        return DeskTool(_SET_ANSWER, self._set, self._recall)

    async def _set(self, desk: Desk, place: Place, arguments: Arguments) -> str:
        content, ready, confidence = (arguments[name] for name in ("content", "ready", "confidence"))
        if confidence is not None and not 0 <= confidence <= 1:
            raise ToolError(f"confidence is a number from 0 to 1, got {confidence}")
        if ready and not content.strip():
            raise ToolError("the answer is empty: write its content, or go on with ready=false")
        working = desk.working(place.span)
        is_sure = confidence is not None and confidence >= self.threshold and bool(content.strip())
        ends = ready or (is_sure and not working)
        await desk.note(place, "answer", ends)
        await desk.decide(place, f"{'answer' if ends else 'draft'}, confidence {confidence}", content)
        self._keep(desk, place, arguments, ends=ends)
        if ends:
            return "The run ends with this answer."
        if is_sure:
            count = len(working)
            return (
                f"Kept as a draft: {count} workers are still at work. ready=true ends the run all the same."
            )
        return "Kept as a draft: the run goes on."

    def _recall(self, desk: Desk, place: Place, arguments: Arguments) -> None:
        ends = desk.noted(place, "answer")
        if ends is not None:
            self._keep(desk, place, arguments, ends=bool(ends))

    def _keep(self, desk: Desk, place: Place, arguments: Arguments, *, ends: bool) -> None:
        confidence: Any = arguments["confidence"]
        confidence = None if confidence is None else float(confidence)
        self.answer = Answer(arguments["content"], ends, confidence, place.turn)
        told = AnswerSet(place.span.path, self.answer.content, ends, confidence, place.turn)
        desk.run.tell(ANSWER_SET, told)
