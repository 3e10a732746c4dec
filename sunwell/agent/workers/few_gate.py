"""A gate that lets only a few workers of one call be at work at once."""

import attrs

from sunwell.agent.workers.slots import Slots
from sunwell.agent.workers.terms import Terms


@attrs.define(eq=False)
class FewAtOnce:
    """Implements :class:`~sunwell.agent.workers.start_gate.StartGate` with a bounded number of places."""

    slots: Slots
    _inside: set[str] = attrs.field(factory=set, init=False)

    async def enter(self, task_id: str) -> None:
        """Return once there is a place."""
        await self.slots.take()
        self._inside.add(task_id)

    def left(self, task_id: str) -> None:
        """Give the place of *task_id* to the next one, where it had one."""
        if task_id in self._inside:
            self._inside.discard(task_id)
            self.slots.give()

    def terms(self, task_id: str, terms: Terms) -> Terms:
        """Return *terms* as they are."""
        return terms
