"""Who works on a task: the decision, made once for each run and read back when it is taken up."""

from sunwell.agent.decision import should_use_delegation
from sunwell.agent.execution import Execution
from sunwell.agent.quoting import quote_for
from sunwell.core.decision import DelegationDecision
from sunwell.core.model import ModelProtocol
from sunwell.journal.records import Decided


async def decide(
    execution: Execution, own: ModelProtocol, smart: ModelProtocol, worker: ModelProtocol
) -> DelegationDecision:
    """Return the journalled decision for the task of *execution*, or make and journal it."""
    run, config = execution.run, execution.config
    path = run.root.path
    recorded = run.journal.find(Decided, (path,))
    if recorded is not None:
        return recorded.decision
    estimated = config.estimator(execution.task)
    left = run.ledger.tokens_left(path)
    if worker is smart or worker.name == smart.name:
        decision = DelegationDecision(
            False,
            f"{worker.name} would both write the lens and do the work: name a cheaper delegation model",
            estimated,
            config.delegation_threshold_tokens,
            left,
        )
    else:
        decision = should_use_delegation(
            execution.task,
            estimated,
            left,
            threshold_tokens=config.delegation_threshold_tokens,
            quote=quote_for(execution, own, smart, worker),
        )
    await run.journal.append(Decided(path, decision))
    return decision
