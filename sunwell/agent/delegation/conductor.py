"""Stands by work whose model hands out other work: its status lines, its answer, and its end."""

import attrs

from sunwell.agent.delegation.answer_tool import AnswerTool
from sunwell.agent.delegation.desk import Desk
from sunwell.agent.work.closing import closing_seconds
from sunwell.agent.work.ended import Ended
from sunwell.agent.work.status import Standing, status_line
from sunwell.agent.workers.outcomes import reported
from sunwell.core.markdown import block_quote, one_line
from sunwell.core.span import Span
from sunwell.core.task import StopReason, TaskResult
from sunwell.journal.records import Note

_STATUS = "status"
_DELIVERED = "delivered"
_LEAST_EXCERPT = 200


@attrs.define(eq=False)
class Conductor:
    """Implements :class:`~sunwell.agent.work.companion.Companion` for the work at one span."""

    desk: Desk
    span: Span
    most_turns: int
    answers: AnswerTool | None = None
    """Where the model declares its answer; ``None``: its last words are the answer."""

    async def remark(self, turn: int) -> str:
        """Return the status line of *turn*; it is written down before it is used."""
        key = (f"{self.span.path}/turn-{turn}", _STATUS)
        run, desk = self.desk.run, self.desk
        noted = run.journal.find(Note, key)
        if noted is not None:
            return str(noted.value)
        working, unread = len(desk.working(self.span)), len(desk.unread(self.span))
        said = status_line(run.ledger, self.span.path, Standing(turn, self.most_turns, working, unread))
        await run.journal.append(Note(*key, said), durable=False)
        return said

    def declared(self) -> Ended | None:
        """Return the end where the model has set an answer that ends the run."""
        answer = self.answers.answer if self.answers else None
        return Ended("ok", "end", answer.content) if answer is not None and answer.ready else None

    async def wind_up(self, reason: StopReason, turn: int, most_bytes: int) -> str:
        """End the workers and return what they have delivered, in about *most_bytes*.

        Nobody new begins. Who is at work comes to an end of its own, since its calls are paid for:
        it meets the same limit at its next call. Where time is up, all are stopped at once.
        """
        key = (f"{self.span.path}/turn-{turn}", f"{_DELIVERED}-{reason}")
        run = self.desk.run
        noted = run.journal.find(Note, key) if run.gateway.heed_refusals else None
        if noted is None:
            await self._end_workers(reason)
        said = str(noted.value) if noted else _delivered(self.desk.results(self.span), most_bytes)
        if noted is None:
            await run.journal.append(Note(*key, said), durable=False)
        return said

    def partial(self) -> str:
        """Return the draft of the answer, else what the workers delivered; empty for nothing."""
        draft = self.answers.answer if self.answers else None
        if draft is not None and draft.content.strip():
            return draft.content
        done = [result for result in self.desk.results(self.span) if result.answer.strip()]
        if not done:
            return ""
        parts = [
            f"## {one_line(result.task)[:120]}\n\n{block_quote(result.answer.strip())}" for result in done
        ]
        head = (
            "No answer was written before the run ended. This is what its workers reported, as they said it."
        )
        return "\n\n".join([head, *parts])

    async def _end_workers(self, reason: StopReason) -> None:
        desk, ledger = self.desk, self.desk.run.ledger
        ids = desk.own(self.span)
        if reason != "timeout":
            desk.cancel_unbegun(self.span)
            left = ledger.seconds_left(self.span.path)
            spare = None if left is None else max(0.0, left - closing_seconds(left))
            await desk.dispatcher.await_results(ids, spare)
        desk.dispatcher.cancel(ids)
        await desk.dispatcher.await_results(ids)


def _delivered(results: tuple[TaskResult, ...], most_bytes: int) -> str:
    """Return *results* as reports, each cut so that about *most_bytes* hold all of them."""
    told = [result for result in results if result.answer.strip() or result.success]
    if not told:
        return ""
    each = max(_LEAST_EXCERPT, most_bytes // len(told) - _LEAST_EXCERPT)
    parts: list[str] = ["What the workers have delivered:"]
    room = most_bytes
    for result in told:
        cut = result.answer.encode("utf-8", "replace")[:each].decode("utf-8", "ignore")
        part = reported(attrs.evolve(result, answer=cut if cut == result.answer else f"{cut}…"))
        room -= len(part.encode("utf-8", "replace"))
        if room < 0:
            parts.append("(The results of more workers are left out here.)")
            break
        parts.append(part)
    return "\n\n".join(parts)
