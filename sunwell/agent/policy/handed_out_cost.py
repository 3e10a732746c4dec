"""What a task costs if a model hands it out itself: arithmetic on prices and named assumptions.

An orchestrator plans, starts workers, waits for them several times and answers, and each turn reads its
conversation again. A model with delegation tools works itself, and may hand out parts.
"""

from decimal import Decimal
from typing import Any

import attrs

from sunwell.agent.policy.cost_model import (
    TOKENS_PER_TURN,
    Shape,
    Talk,
    alone,
    ascending,
    lens_cost_usd,
    talk_usd,
    with_given_lens,
    with_limit,
)
from sunwell.core.price import OutputEstimate, Price, Side


def _three(_: object, attribute: "attrs.Attribute[Any]", value: tuple[float, ...]) -> None:
    if len(value) != 3 or any(one < 0 for one in value):
        raise ValueError(f"{attribute.name} must be three numbers of 0 or more, got {value}")


def _range(low: float, expected: float, high: float) -> Any:
    return attrs.field(default=(low, expected, high), validator=_three)


@attrs.frozen(kw_only=True)
class HandedOutShape:
    """What is assumed of work that a model hands out: each a low, an expected and a high figure.

    The figures are from simulated runs (``benchmarks/orchestrated_cost.py``) and from the sizes that the
    harness itself sets, such as that of a report. They were not measured on real models.
    """

    workers: tuple[int, int, int] | None = attrs.field(
        default=None, validator=attrs.validators.optional(_three)
    )
    """How many workers are started; ``None``: one for each ``worker_output_tokens``, in these bounds."""
    worker_output_tokens: tuple[int, int, int] = _range(4_000, 2_000, 1_200)
    """Output of the task that one worker writes; a smaller share means more workers."""
    least_workers: tuple[int, int, int] = _range(1, 4, 8)
    most_workers: tuple[int, int, int] = _range(30, 30, 100)
    lead_turns: tuple[int, int, int] = _range(3, 4, 6)
    """Turns of the model that hands out, without those that grow with the workers: plan, wait, answer."""
    turns_per_worker: tuple[float, float, float] = _range(0, 0.25, 0.5)
    """Turns of the same for each worker: results are read as they come, and failures looked at."""
    turn_tokens: tuple[int, int, int] = _range(20, 60, 150)
    """What it writes in each turn besides tasks and answer, and what each result tells besides reports."""
    task_tokens: tuple[int, int, int] = _range(25, 120, 300)
    """What it writes for one worker."""
    answer_tokens: tuple[int, int, int] = _range(40, 500, 1_500)
    """What it writes as its answer."""
    report_tokens: tuple[int, int, int] = _range(20, 400, 1_000)
    """What it is shown of one report: 4,000 characters at most."""
    receipt_tokens: tuple[int, int, int] = _range(60, 120, 250)
    """What stands beside each report: status, files, commands, calls."""
    place_tokens: tuple[int, int, int] = _range(0, 600, 1_200)
    """The outline of the workspace and the like in its prompt, as far as it is not measured."""
    worker_turns: tuple[int, int, int] = _range(1, 2, 6)
    """Turns of a worker in which it looks around and reports, without those that write."""
    worker_result_tokens: tuple[int, int, int] = _range(50, 800, 1_600)
    """What tools answer a worker in one turn."""
    redone_share: tuple[float, float, float] = _range(0, 0.1, 0.25)
    """Share of the workers whose task is handed out once more."""
    reasoning_share: tuple[float, float, float] = _range(0, 0.3, 0.6)
    """Output that goes into reasoning, of the model that hands out and of its workers."""
    tools_share: tuple[float, float, float] = _range(1, 0.5, 0.5)
    """With delegation tools beside its own: part of the work that the model does itself."""
    tools_workers: tuple[int, int, int] = _range(0, 2, 8)
    """The same: how many workers it starts."""

    def with_workers(self, count: int) -> "HandedOutShape":
        """Return the same with *count* workers, in each of the three cases."""
        several = (count, count, count)
        return attrs.evolve(self, workers=several, tools_workers=several)


ASSUMED = HandedOutShape()


@attrs.frozen(kw_only=True)
class Lead:
    """The model that hands work out, and what is known of its conversation."""

    price: Price | None
    prompt_tokens: int
    """System prompt, delegation tools and task: what every turn begins with."""
    max_turns: int
    """Most turns that it may take."""
    writes_lens: bool = False
    """Whether a lens is written first, which it and its workers read."""


def orchestrated_side(
    output: OutputEstimate,
    lead: Lead,
    smart: Price | None,
    worker: Price | None,
    shape: Shape,
    assumed: HandedOutShape,
) -> Side:
    """Return what a task of *output* costs if *lead* hands all of it out to workers at the price *worker*.

    *smart* is the price of who writes the lens. The low figure has no lens, since it may come to none.
    Nothing but a budget bounds the worst case, so it is ``None``.
    """
    if lead.price is None or worker is None or (lead.writes_lens and smart is None):
        return Side("orchestrated", None, None, None)
    shape = with_given_lens(shape)
    costs = [
        _lead_usd(case, tokens, lead, shape, assumed) + _all_workers_usd(case, tokens, worker, shape, assumed)
        for case, tokens in _cases(output)
    ]
    if lead.writes_lens and smart is not None:
        lens = lens_cost_usd(smart, shape)
        costs = [costs[0], costs[1] + lens, costs[2] + lens]
    low, expected, high = ascending(costs)
    return Side("orchestrated", low, expected, None, high)


def with_workers_side(
    output: OutputEstimate,
    base: Side,
    lead: Lead,
    worker: Price | None,
    shape: Shape,
    assumed: HandedOutShape,
) -> Side:
    """Return what a task costs if the model of *base* has delegation tools besides its own.

    It may hand out nothing: then it costs what *base* does. Expected, it does a part of the work itself and
    reads the reports on the rest.
    """
    known = (base.low_usd, base.expected_usd, base.high_usd)
    if lead.price is None or worker is None or None in known:
        return Side("with-workers", None, None, None)
    shape = with_given_lens(shape)
    costs = []
    for (case, tokens), own_usd in zip(_cases(output), known, strict=True):
        count, share = assumed.tools_workers[case], Decimal(str(assumed.tools_share[case]))
        assert own_usd is not None
        usd = own_usd * share if count else own_usd
        if count:
            few = attrs.evolve(assumed, workers=(count, count, count))
            handed = round(tokens * (1 - share))
            usd += _lead_usd(case, handed, attrs.evolve(lead, writes_lens=False), shape, few)
            usd += _all_workers_usd(case, handed, worker, shape, few)
        costs.append(usd)
    low = min(costs)
    _, expected, high = ascending(costs)
    return Side("with-workers", low, expected, None, high)


def smart_alone_usd(output: OutputEstimate, smart: Price | None, shape: Shape) -> Decimal | None:
    """Return what the smart model alone is expected to cost, at its usual effort."""
    return alone("direct", smart, output, with_limit(shape, shape.smart_output_tokens)).expected_usd


def workers_of(output: OutputEstimate, assumed: HandedOutShape) -> tuple[int, int, int]:
    """Return how many workers an orchestrator is taken to start for *output*: low, expected, high."""
    low, expected, high = (_workers(case, tokens, assumed) for case, tokens in _cases(output))
    return low, max(low, expected), max(low, expected, high)


def handed_out_assumptions(
    output: OutputEstimate, side: Side, lead: Lead, assumed: HandedOutShape
) -> tuple[str, ...]:
    """Return what the figures of *side* rest on, a sentence each."""
    is_all = side.name == "orchestrated"
    low, expected, high = workers_of(output, assumed) if is_all else assumed.tools_workers
    turns = [_lead_turns(case, (low, expected, high)[case], lead, assumed) for case in range(3)]
    who = "The orchestrator" if is_all else "The model, besides its own work,"
    return (
        (
            f"{who} starts {expected:,} {_plural(expected, 'worker')} ({low:,} to {high:,}), hands "
            f"{assumed.redone_share[1]:.0%} of their tasks out once more, and takes {turns[1]:,} turns "
            f"({turns[0]:,} to {turns[2]:,}); each begins with {lead.prompt_tokens:,} tokens of prompt and "
            "reads its conversation again, from the cache if there is one."
        ),
        (
            f"A report is {assumed.report_tokens[1]:,} tokens ({assumed.report_tokens[0]:,} to "
            f"{assumed.report_tokens[2]:,}) for who reads it; a worker takes {assumed.worker_turns[1]} turns "
            f"({assumed.worker_turns[0]} to {assumed.worker_turns[2]}) and one more for each "
            f"{TOKENS_PER_TURN:,} tokens that it writes."
        ),
        (
            "These numbers of workers, turns and tokens are assumed from simulated runs, and not measured on "
            "real models. Nothing but a budget (--budget-usd) bounds the worst case."
        ),
    )


def _cases(output: OutputEstimate) -> tuple[tuple[int, int], ...]:
    return tuple(enumerate((output.low_tokens, output.expected_tokens, output.high_tokens)))


def _workers(case: int, output_tokens: int, assumed: HandedOutShape) -> int:
    if assumed.workers is not None:
        return assumed.workers[case]
    wanted = -(-output_tokens // max(1, assumed.worker_output_tokens[case]))
    return min(max(wanted, assumed.least_workers[case]), assumed.most_workers[case])


def _started(case: int, workers: int, assumed: HandedOutShape) -> int:
    """Return how many of *workers* are started in all, with those whose task is handed out once more."""
    return workers + round(workers * assumed.redone_share[case])


def _lead_turns(case: int, workers: int, lead: Lead, assumed: HandedOutShape) -> int:
    turns = assumed.lead_turns[case] + int(workers * assumed.turns_per_worker[case])
    return max(1, min(turns, lead.max_turns))


def _lead_usd(case: int, output_tokens: int, lead: Lead, shape: Shape, assumed: HandedOutShape) -> Decimal:
    """Return what the turns of the model that hands out cost: the reports are spread over them."""
    assert lead.price is not None
    count = _started(case, _workers(case, output_tokens, assumed), assumed)
    turns = _lead_turns(case, count, lead, assumed)
    each_turn, shown = assumed.turn_tokens[case], assumed.report_tokens[case] + assumed.receipt_tokens[case]
    words = turns * each_turn + count * assumed.task_tokens[case] + assumed.answer_tokens[case]
    told = turns * each_turn + count * shown
    written = round(words * (1 + assumed.reasoning_share[case]))
    lens = shape.lens_output_tokens if lead.writes_lens and case > 0 else 0
    prompt = lead.prompt_tokens + assumed.place_tokens[case] + lens
    return talk_usd(lead.price, Talk(prompt, written, turns, told // turns), shape)


def _all_workers_usd(
    case: int, output_tokens: int, price: Price, shape: Shape, assumed: HandedOutShape
) -> Decimal:
    """Return what all workers cost; but for the high figure, they share the beginning of their prompt."""
    count = _workers(case, output_tokens, assumed)
    if not count:
        return Decimal(0)
    each = -(-output_tokens // count)
    turns = min(assumed.worker_turns[case] + each // TOKENS_PER_TURN, shape.max_turns)
    written = round((each + assumed.report_tokens[case]) * (1 + assumed.reasoning_share[case]))
    lens = shape.lens_output_tokens if shape.given_lens_tokens is not None else 0
    prompt = shape.prompt_tokens + lens + assumed.task_tokens[case]
    talk = Talk(prompt, written, turns, assumed.worker_result_tokens[case])
    warm = 0 if case == 2 else shape.prompt_tokens
    sibling = attrs.evolve(talk, warm_tokens=warm)
    more = _started(case, count, assumed) - 1
    return talk_usd(price, talk, shape) + more * talk_usd(price, sibling, shape)


def _plural(count: int, noun: str) -> str:
    return noun if count == 1 else f"{noun}s"
