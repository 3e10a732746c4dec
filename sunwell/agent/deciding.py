"""Who works on a task: the decision, made once for each run and read back when it is taken up."""

from sunwell.agent.policy.decision import should_use_delegation
from sunwell.agent.policy.quoting import Prices, Shape, quote
from sunwell.agent.run.loop_config import DEFAULT_TURNS
from sunwell.agent.work.execution import Execution
from sunwell.core.model import ModelProtocol
from sunwell.core.price import DelegationDecision, Quote
from sunwell.gateway.booking import DEFAULT_OUTPUT_TOKENS
from sunwell.journal.records import Decided
from sunwell.models.tokens import estimate_tokens


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
            quote=_quote(execution, estimated, (smart, own, worker)),
        )
    await run.journal.append(Decided(path, decision))
    return decision


def _quote(execution: Execution, estimated_tokens: int, models: tuple[ModelProtocol, ...]) -> Quote:
    config, prices = execution.config, execution.config.prices
    smart, own, worker = (prices.price(model) for model in models)
    prompt = [execution.task, execution.system_prompt or ""]
    for spec in execution.tools.specs:
        prompt += (spec.description, spec.schema_text)
    shape = Shape(
        prompt_tokens=estimate_tokens("\n".join(prompt)),
        max_lens_tokens=config.max_lens_tokens,
        max_turns=config.ceilings.turns or DEFAULT_TURNS,
        max_output_tokens=config.max_output_tokens or DEFAULT_OUTPUT_TOKENS,
    )
    return quote(estimated_tokens, Prices(smart, own, worker), shape)
