"""``set_answer``: how a model that hands out work declares its answer, and when that ends the run."""

from typing import Any

import attrs

from sunwell.agent.orchestration.spawner import Spawner
from sunwell.agent.orchestration.spawner_tool import Arguments, SpawnerTool, spec
from sunwell.core.span import Span
from sunwell.core.tool import Place
from sunwell.errors import ToolError
from sunwell.events import ANSWER_SET, AnswerSet
from sunwell.tools.arguments import nullable, text

_SET_ANSWER = spec(
    "set_answer",
    "Write the answer to the task, or a draft that you will replace. ready=true ends the run with it at "
    "once: workers still at work are stopped, and later calls of the message are not carried out. "
    'ready=false keeps a draft and ends nothing. Example: {"content": "There are 12 tests.", "ready": true, '
    '"confidence": 0.95}',
    {
        "content": text("The whole answer, as the user is to read it."),
        "ready": nullable(
            {"type": "boolean", "description": "true: this is the final answer. false or null: a draft."}
        ),
        "confidence": nullable(
            {"type": "number", "description": "How sure you are, 0 to 1; null where you cannot say."}
        ),
    },
)


@attrs.frozen
class DeclaredAnswer:
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
    """Confidence from which on a draft without ``ready`` is asked about, once."""
    answer: DeclaredAnswer | None = attrs.field(default=None, init=False)
    _has_asked: bool = attrs.field(default=False, init=False)

    def tool(self) -> SpawnerTool:
        """Return it as a tool."""
        return SpawnerTool(_SET_ANSWER, self._set, self._recall)

    def ends_before(self, place: Place) -> bool:
        """Whether the answer that ends the run was set before the call at *place*."""
        return self.answer is not None and self.answer.ready

    async def _set(self, spawner: Spawner, place: Place, arguments: Arguments) -> str:
        content, ready, confidence = (arguments[name] for name in ("content", "ready", "confidence"))
        if confidence is not None and not 0 <= confidence <= 1:
            raise ToolError(f"confidence is a number from 0 to 1, got {confidence}")
        if ready and not content.strip():
            raise ToolError("the answer is empty: write its content, or go on with ready=false")
        ends, states = bool(ready), spawner.states(place.span)
        await spawner.note(place, "answer", ends)
        await spawner.decide(place, f"{'answer' if ends else 'draft'}, confidence {confidence}", content)
        asks = not self._has_asked and self._is_unclear(arguments)
        self._keep(spawner, place, arguments, ends=ends)
        if ends:
            stopped = (*states.running, *states.queued)
            named = f" Stopped before they reported: {', '.join(stopped)}." if stopped else ""
            return f"The run ends with this answer.{named}"
        if asks:
            return (
                "Kept as a draft. You are sure of it, and left ready out: is it your final answer? If so, "
                f"call set_answer again with ready=true. If not, go on. {states.sentence()}"
            )
        return f"Kept as a draft; the run goes on until set_answer with ready=true. {states.sentence()}"

    def _is_unclear(self, arguments: Arguments) -> bool:
        """Whether *arguments* leave open if the answer is final, and it may well be."""
        confidence = arguments["confidence"]
        is_sure = confidence is not None and confidence >= self.threshold
        return arguments["ready"] is None and is_sure and bool(arguments["content"].strip())

    def _recall(self, spawner: Spawner, place: Place, arguments: Arguments) -> None:
        # A call without a note was not carried out. In runs of earlier versions, a confidence may have ended
        # the run, and the note says so.
        ends = spawner.noted(place, "answer")
        if ends is not None:
            self._keep(spawner, place, arguments, ends=bool(ends))

    def _keep(self, spawner: Spawner, place: Place, arguments: Arguments, *, ends: bool) -> None:
        self._has_asked = self._has_asked or self._is_unclear(arguments)
        confidence: Any = arguments["confidence"]
        confidence = None if confidence is None else float(confidence)
        self.answer = DeclaredAnswer(arguments["content"], ends, confidence, place.turn)
        told = AnswerSet(place.span.path, self.answer.content, ends, confidence, place.turn)
        spawner.run.tell(ANSWER_SET, told)
