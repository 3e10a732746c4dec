"""An agent whose smart model hands all work out and touches nothing itself."""

import attrs

from sunwell.agent.agent import Agent, Memory
from sunwell.agent.run.run_events import RunEvents
from sunwell.context.session import SessionContext


@attrs.define(eq=False)
class Orchestrator(Agent):
    """Runs each session as ``RunOptions(orchestrate=True)`` does.

    The smart model breaks the task down and hands it to workers on ``delegation_model``, or on its
    own model if none is named. The options ``orchestrator_...`` and those of
    the scratchpad set its limits.
    """

    def run(self, session: SessionContext, memory: Memory | None = None) -> RunEvents:
        """Return the events of a new orchestrated run; see :meth:`Agent.run`."""
        options = attrs.evolve(session.options, orchestrate=True)
        return Agent.run(self, attrs.evolve(session, options=options), memory)
