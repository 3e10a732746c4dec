"""RFC-137's two entry points: the decision to delegate, and the writing of the lens."""

from collections.abc import Sequence

from sunwell.agent.lens.lens_request import LensOrder
from sunwell.agent.lens.lens_writer import Ask, generic_lens, write_lens
from sunwell.agent.policy.delegation import should_use_delegation
from sunwell.budget.ledger import TreeLedger
from sunwell.budget.ledger_protocol import Budget
from sunwell.budget.tally import Tally
from sunwell.core.lens import EphemeralLens
from sunwell.core.model import Completion, Effort, ModelProtocol, Request, ToolSpec
from sunwell.core.span import Span
from sunwell.events.emit import silent
from sunwell.gateway.gateway import Gateway
from sunwell.journal.layout import new_run_id
from sunwell.journal.memory import MemoryJournal
from sunwell.models.prices import PriceBook
from sunwell.models.room import lens_output_tokens

__all__ = ["Ask", "create_ephemeral_lens", "generic_lens", "should_use_delegation"]


async def create_ephemeral_lens(
    task: str,
    smart_model: ModelProtocol,
    *,
    context: str = "",
    tools: Sequence[ToolSpec] = (),
    ask: Ask | None = None,
    max_lens_tokens: int = 1500,
    effort: Effort | None = None,
) -> EphemeralLens:
    """Have the smart model write a lens for *task*.

    It is asked once more, and told why, where its first answer is no lens.

    Args:
        task: What is to be done, in the user's words.
        smart_model: Who writes the lens; *ask* must ask this model.
        context: What the smart model sees of the workspace, see :func:`sunwell.context.excerpts.gather`.
        tools: What the workers can do.
        ask: The door to the smart model; each call of it is one model call, billed and recorded there.
            ``None``: a door of its own, with retries, without a budget, and with a record in memory.
        max_lens_tokens: Longest lens as workers read it; told to the model and enforced.
        effort: ``None`` is the provider's default.

    Raises:
        LensError: No lens came of it. A lens is never empty.
        ModelError, BudgetExhausted: No answer came through the door.
    """
    most = lens_output_tokens(smart_model, max_lens_tokens)
    order = LensOrder(task, context, tuple(tools), max_lens_tokens, effort, most)
    return await write_lens(order, ask or _own_door(smart_model), model_name=smart_model.name)


def _own_door(smart_model: ModelProtocol) -> Ask:
    """Return a gateway for calls outside of any run, bound to *smart_model*."""
    ledger, prices, span = TreeLedger(), PriceBook(), Span().child("lens")
    ledger.open(Span().path, Budget())
    gateway = Gateway(MemoryJournal(new_run_id()), ledger, Tally(prices.date), prices, silent)

    async def ask(request: Request) -> Completion:
        return await gateway.ask(span, smart_model, request, purpose="lens")

    return ask
