"""What a task would cost either way, before any of it is spent: arithmetic on prices and assumptions."""

from collections.abc import Iterable, Sequence
from decimal import Decimal
from itertools import accumulate

import attrs

from sunwell.core.model import CacheLife, Usage
from sunwell.core.price import OutputEstimate, Price, Quote, Side

TOKENS_PER_TURN = 1_500  # output of a common turn: one file written, or a few places changed
_EXPECTED_SCOUTING = 2  # turns in which a lens writer looks, if it is not shown enough
_SCOUTING_OUTPUT_TOKENS = 200
_SCOUTING_RESULT_TOKENS = 2_500
_MOST_SCOUTING_TOKENS = 15_000  # bytes of one turn's results, with what JSON adds
_THINKING_TOKENS = 4_000  # room for reasoning in the lens call, as the lens writer asks for it
_CHANGE_SHARE = Decimal("0.4")  # output of what must change of a kept lens, as a part of a whole one
_CHANGE_FAILS = Decimal("0.1")  # share of such answers after which the lens is written in full
ASSUMED_LENS_INPUT_TOKENS = 8_000
"""What the smart model reads to write a lens, if nobody has measured it."""


@attrs.frozen
class Prices:
    """Prices of the three roles; ``None`` is unknown. They may be the same."""

    smart: Price | None
    own: Price | None
    """Of the loop's own model, which does again what is not right."""
    delegation: Price | None


@attrs.frozen(kw_only=True)
class Shape:
    """What is assumed of the work besides its output. Everything is in tokens unless named otherwise."""

    prompt_tokens: int = attrs.field(default=2_500, validator=attrs.validators.ge(0))
    """System prompt, tools and task: what every turn begins with, the lens left out."""
    lens_input_tokens: int = attrs.field(default=ASSUMED_LENS_INPUT_TOKENS, validator=attrs.validators.ge(0))
    """What the smart model reads to write the lens."""
    lens_output_tokens: int = attrs.field(default=1_000, validator=attrs.validators.ge(1))
    """Expected length of the lens; every turn of every worker reads it again."""
    max_lens_tokens: int = attrs.field(default=1_500, validator=attrs.validators.ge(1))
    result_tokens: int = attrs.field(default=800, validator=attrs.validators.ge(0))
    """What tools answer in one turn."""
    turns: int | None = attrs.field(default=None, validator=attrs.validators.optional(attrs.validators.ge(1)))
    """Turns of the whole task; ``None``: one for each 1,500 tokens of output, and one to look around."""
    workers: int = attrs.field(default=1, validator=attrs.validators.ge(1))
    """How many share the work under one lens, output and turns divided evenly."""
    redone_share: Decimal = Decimal("0.1")
    """Share of the delegated work that fails its check and is done again the direct way."""
    redone_tries: int = 0
    """On how many outcomes that share rests; 0: it is assumed."""
    reasoning_share: Decimal = Decimal("0.3")
    """Output that goes into reasoning, per token of the estimate; none of it at low effort."""
    least_cacheable_tokens: int = 1_024
    """A shorter prompt is not kept in the provider's cache."""
    max_turns: int = attrs.field(default=50, validator=attrs.validators.ge(1))
    max_output_tokens: int = 8_192
    """Longest answer of one turn."""
    smart_output_tokens: int | None = None
    """The same of the smart model, and"""
    worker_output_tokens: int | None = None
    """of the delegation model; ``None``: ``max_output_tokens``."""
    scout_turns: int = attrs.field(default=0, validator=attrs.validators.ge(0))
    """Turns in which the smart model may look for itself before it writes the lens."""
    given_lens_tokens: int | None = None
    """Length of a lens that exists already; ``None``: one is written."""
    is_kept: bool = False
    """Whether that lens is one of the store, and not the caller's."""
    change_input_tokens: int | None = None
    """What the smart model reads to say what must change of a kept lens; ``None``: it writes a whole one."""
    lens_call_tokens: int | None = None
    """Longest answer in which the lens is written; ``None``: twice the lens, and room to think."""
    max_result_tokens: int = 8_000
    """Longest result of tools in one turn."""


@attrs.frozen
class Talk:
    """A conversation that reads its own history again in every turn."""

    prompt_tokens: int
    output_tokens: int
    turns: int
    result_tokens: int
    warm_tokens: int = 0
    """Beginning of the prompt that a sibling has put into the cache already."""


def quote(estimated: int | OutputEstimate, prices: Prices, shape: Shape | None = None) -> Quote:
    """Return what delegating *estimated* tokens of output would cost, and what the other ways would.

    ``direct = in_d * P_in + out_d * P_out`` with the history read again in every turn, from the
    cache where the price has a rate for that; ``delegated = lens + workers + redone_share * direct``,
    where every turn of a worker reads the lens, too; besides, the smart model alone at low effort, and
    the delegation model alone without a lens.
    Low, expected and high follow the range of the output; a number alone gets the range
    :meth:`OutputEstimate.around` it. Low also needs no turn to look around, and nothing is redone.
    Worst is a bound under the limits in *shape*, whatever the range: every turn full, nothing cached, a
    second lens call, everything redone. A side whose price is unknown has ``None`` for figures.

    Raises :exc:`ValueError` if *estimated* is negative.
    """
    output = OutputEstimate.around(estimated) if isinstance(estimated, int) else estimated
    shape = with_given_lens(Shape() if shape is None else shape)
    direct = alone("direct", prices.own, output, shape)
    unhurried = with_limit(attrs.evolve(shape, reasoning_share=Decimal(0)), shape.smart_output_tokens)
    work = with_limit(shape, shape.worker_output_tokens)
    low_effort = alone("smart-low-effort", prices.smart, output, unhurried)
    delegated = _delegated(prices, output, shape, direct)
    once_usd = delegated.expected_usd
    if once_usd is not None and direct.expected_usd is not None:
        once_usd -= shape.redone_share * direct.expected_usd
    return Quote(
        delegated=delegated,
        direct=direct,
        alternatives=(low_effort,),
        cheap=alone("cheap", prices.delegation, output, work),
        lens_tokens=_lens_tokens(shape),
        assumptions=_assumptions(output, prices, shape),
        price_date=min((p.date for p in _known(prices) if p.date), default=""),
        output=output,
        delegated_once_usd=once_usd,
    )


def _lens_tokens(shape: Shape) -> int:
    if shape.given_lens_tokens is not None:
        return 0
    if shape.change_input_tokens is not None:
        return shape.change_input_tokens + _changed_tokens(shape)
    return shape.lens_input_tokens + _with_reasoning(shape.lens_output_tokens, shape)


def _changed_tokens(shape: Shape) -> int:
    """Return the output of an answer that only says what must change of a lens."""
    return _with_reasoning(round(shape.lens_output_tokens * _CHANGE_SHARE), shape)


_REPAIR_SHARE = Decimal("0.5")
"""Output of a repair in the same conversation, as a part of that of the whole task."""


def rung_sides(
    output: OutputEstimate, worker: Price | None, smart: Price | None, second: Price | None, shape: Shape
) -> tuple[Side, ...]:
    """Return what each rung of a ladder would cost for a task of *output*, whatever the others cost.

    ``cheap``, ``second`` and ``smart`` do the whole task, the last without reasoning, at low effort;
    ``cheap_again`` goes on in the conversation of ``cheap``, which it reads from the cache, and writes half
    as much; ``lens`` is a lens, with the work of the cheap model under it. The figures are as in
    :func:`quote`.
    """
    shape = with_given_lens(shape)
    work = with_limit(shape, shape.worker_output_tokens)
    unhurried = with_limit(attrs.evolve(shape, reasoning_share=Decimal(0)), shape.smart_output_tokens)
    return (
        alone("cheap", worker, output, work),
        _repair(worker, output, work),
        _under_new_lens(smart, worker, output, shape, work),
        alone("second", second, output, shape),
        alone("smart", smart, output, unhurried),
    )


def _repair(price: Price | None, output: OutputEstimate, shape: Shape) -> Side:
    if price is None:
        return Side("cheap_again", None, None, None)
    costs = []
    for tokens, turns in _cases(output, shape):
        before = _talk(tokens, turns, shape)
        history = before.prompt_tokens + before.output_tokens + turns * shape.result_tokens
        written = round(before.output_tokens * _REPAIR_SHARE)
        again = Talk(history, written, _turns(written, shape), shape.result_tokens, warm_tokens=history)
        costs.append(talk_usd(price, again, shape))
    low, expected, high = ascending(costs)
    return Side("cheap_again", low, expected, _worst_talk_usd(price, shape.prompt_tokens, shape, "5m"), high)


def _under_new_lens(
    smart: Price | None, worker: Price | None, output: OutputEstimate, shape: Shape, work: Shape
) -> Side:
    if smart is None or worker is None:
        return Side("lens", None, None, None)
    lens_usd = lens_cost_usd(smart, attrs.evolve(shape, scout_turns=0))
    low, expected, high = ascending(
        lens_usd + _workers_usd(worker, tokens, turns, work) for tokens, turns in _cases(output, shape)
    )
    worst_usd = _worst_lens_usd(smart, attrs.evolve(shape, scout_turns=0))
    worst_usd += _worst_talk_usd(worker, shape.prompt_tokens + shape.max_lens_tokens, work, "5m")
    return Side("lens", low, expected, worst_usd, high)


def with_given_lens(shape: Shape) -> Shape:
    """Return *shape* with the length of the lens that is given, if one is."""
    tokens = shape.given_lens_tokens
    if tokens is None:
        return shape
    return attrs.evolve(shape, lens_output_tokens=max(1, tokens), max_lens_tokens=max(1, tokens))


def with_limit(shape: Shape, output_tokens: int | None) -> Shape:
    return shape if output_tokens is None else attrs.evolve(shape, max_output_tokens=output_tokens)


def alone(name: str, price: Price | None, output: OutputEstimate, shape: Shape) -> Side:
    """Return the side on which one model does all of the work."""
    if price is None:
        return Side(name, None, None, None)
    low, expected, high = ascending(
        talk_usd(price, _talk(tokens, turns, shape), shape) for tokens, turns in _cases(output, shape)
    )
    return Side(name, low, expected, _worst_talk_usd(price, shape.prompt_tokens, shape, "5m"), high)


def ascending(amounts: Iterable[Decimal]) -> tuple[Decimal, ...]:
    """Return *amounts*, each at least as large as the one before.

    More turns have shorter prompts, so that a little more output may stay below the limit of a dearer tier.
    """
    return tuple(accumulate(amounts, max))


def _delegated(prices: Prices, output: OutputEstimate, shape: Shape, direct: Side) -> Side:
    cheap, is_given = prices.delegation, shape.given_lens_tokens is not None
    smart = cheap if is_given else prices.smart
    if smart is None or cheap is None:
        return Side("delegated", None, None, None)
    work = with_limit(shape, shape.worker_output_tokens)
    low, expected, high = ascending(
        _workers_usd(cheap, tokens, turns, work) for tokens, turns in _cases(output, shape)
    )
    lens_usd = Decimal(0) if is_given else lens_cost_usd(smart, shape)
    plain_usd = lens_usd if is_given else lens_cost_usd(smart, attrs.evolve(shape, scout_turns=0))
    expected_usd = high_usd = worst = None
    if direct.expected_usd is not None and direct.high_usd is not None:
        expected_usd = lens_usd + expected + shape.redone_share * direct.expected_usd
        high_usd = lens_usd + high + shape.redone_share * direct.high_usd
    if direct.worst_usd is not None:
        lens_prompt = shape.prompt_tokens + shape.max_lens_tokens
        worst = direct.worst_usd + (Decimal(0) if is_given else _worst_lens_usd(smart, shape))
        # A batch may keep what its workers share in the cache for an hour.
        worst += shape.workers * _worst_talk_usd(cheap, lens_prompt, work, "1h")
    return Side("delegated", plain_usd + low, expected_usd, worst, high_usd)


def lens_cost_usd(price: Price, shape: Shape) -> Decimal:
    """Return what the lens costs, with the looking before it: each turn reads what was seen again.

    If a kept lens is changed, nobody looks, and one in ten answers is of no use: then it is written in full.
    """
    if shape.change_input_tokens is not None:
        whole = attrs.evolve(shape, change_input_tokens=None, scout_turns=0)
        change_usd = price.cost_usd(Usage(shape.change_input_tokens, _changed_tokens(shape)))
        return change_usd + _CHANGE_FAILS * lens_cost_usd(price, whole)
    written = _with_reasoning(shape.lens_output_tokens, shape)
    if not shape.scout_turns:
        return price.cost_usd(Usage(shape.lens_input_tokens, written))
    turns = _expected_scouting(shape)
    output = turns * _SCOUTING_OUTPUT_TOKENS + written
    return talk_usd(price, Talk(shape.lens_input_tokens, output, turns + 1, _SCOUTING_RESULT_TOKENS), shape)


def _expected_scouting(shape: Shape) -> int:
    return min(_EXPECTED_SCOUTING, shape.scout_turns)


def _workers_usd(price: Price, output_tokens: int, turns: int, shape: Shape) -> Decimal:
    """Return what all workers cost: the first fills the cache with the prefix that the others read."""
    count = shape.workers
    each = _talk(-(-output_tokens // count), -(-turns // count), shape)
    first = attrs.evolve(each, prompt_tokens=each.prompt_tokens + shape.lens_output_tokens)
    sibling = attrs.evolve(first, warm_tokens=first.prompt_tokens)
    total = talk_usd(price, first, shape)
    return total + (count - 1) * talk_usd(price, sibling, shape) if count > 1 else total


def _talk(output_tokens: int, turns: int, shape: Shape) -> Talk:
    output = min(_with_reasoning(output_tokens, shape), turns * shape.max_output_tokens)
    return Talk(shape.prompt_tokens, output, turns, shape.result_tokens)


def talk_usd(price: Price, talk: Talk, shape: Shape) -> Decimal:
    """Return what *talk* costs turn by turn, each at the rates of its own length."""
    caches = _caches(price)
    turns: list[tuple[int, int, int, int]] = []
    history, cached, written = talk.prompt_tokens, talk.warm_tokens, 0
    for turn in range(1, talk.turns + 1):
        output = talk.output_tokens * turn // talk.turns - written
        keeps = caches and history >= shape.least_cacheable_tokens
        read = cached if keeps else 0
        turns.append((history, output, read, history - read if keeps else 0))
        cached = history if keeps else 0
        written += output
        history += output + talk.result_tokens
    return price.conversation_usd(turns)


def _worst_talk_usd(price: Price, prompt_tokens: int, shape: Shape, written: CacheLife) -> Decimal:
    step = shape.max_output_tokens + shape.max_result_tokens
    return price.worst_usd(
        [(prompt_tokens + turn * step, shape.max_output_tokens) for turn in range(shape.max_turns)],
        written=written,
    )


def _worst_lens_usd(price: Price, shape: Shape) -> Decimal:
    """Return the bound on the lens: two calls, the second with the first answer in its prompt."""
    output = shape.lens_call_tokens or 2 * shape.max_lens_tokens + _THINKING_TOKENS
    step = output + _MOST_SCOUTING_TOKENS
    calls = [(shape.lens_input_tokens + turn * step, output) for turn in range(shape.scout_turns + 1)]
    calls.append((calls[-1][0] + output, output))
    if shape.change_input_tokens is not None:
        calls.append((shape.change_input_tokens, output))
    return price.worst_usd(calls, written="5m")  # it asks for no entry, but some providers write unasked


def _cases(output: OutputEstimate, shape: Shape) -> tuple[tuple[int, int], ...]:
    """Return output and turns of the low, the expected and the high case."""
    low, expected, high = output.low_tokens, output.expected_tokens, output.high_tokens
    turns = _turns(expected, shape)
    fewest = max(1, min(turns, -(-low // TOKENS_PER_TURN)))
    return (low, fewest), (expected, turns), (high, _turns(high, shape))


def _turns(output_tokens: int, shape: Shape) -> int:
    guess = 1 + -(-output_tokens // TOKENS_PER_TURN)
    return min(shape.turns or guess, shape.max_turns)


def _with_reasoning(output_tokens: int, shape: Shape) -> int:
    return round(output_tokens * (1 + shape.reasoning_share))


def _known(prices: Prices) -> Sequence[Price]:
    return [p for p in (prices.smart, prices.own, prices.delegation) if p is not None]


def _assumptions(output: OutputEstimate, prices: Prices, shape: Shape) -> tuple[str, ...]:
    turns = _turns(output.expected_tokens, shape)
    workers = _counted(shape.workers, "worker")
    sentences = [
        (
            f"The task takes {output.expected_tokens:,} tokens of output ({output.low_tokens:,} to "
            f"{output.high_tokens:,}) in {_counted(turns, 'turn')}, and {shape.reasoning_share:.0%} more for "
            "reasoning."
        ),
        (
            f"Every turn begins with {shape.prompt_tokens:,} tokens of prompt and reads the history again; "
            f"tools answer with {shape.result_tokens:,} tokens a turn."
        ),
        _lens_assumption(shape, workers),
        _redone_assumption(shape),
        "The smart model at low effort writes the same without reasoning.",
        (
            f"The worst case is all of {shape.max_turns} turns with answers of {shape.max_output_tokens:,} "
            f"tokens{_other_limits(shape)} and nothing cached; a budget stops a run earlier."
        ),
    ]
    roles = (
        ("smart model", prices.smart),
        ("own model", prices.own),
        ("delegation model", prices.delegation),
    )
    sentences += [f"The price of the {role} is unknown." for role, price in roles if price is None]
    sentences += [
        f"The {role} is priced without a cache." for role, price in roles if price and not _caches(price)
    ]
    return tuple(sentences)


def _redone_assumption(shape: Shape) -> str:
    said = f"{shape.redone_share:.0%} of the delegated work is done again the direct way"
    if not shape.redone_tries:
        return f"{said}."
    return f"{said}, after {_counted(shape.redone_tries, 'outcome')} of work of this kind under a lens."


def _lens_assumption(shape: Shape, workers: str) -> str:
    if shape.given_lens_tokens is not None:
        tokens = shape.given_lens_tokens
        origin = "kept from an earlier run" if shape.is_kept else "given"
        return (
            f"A lens of {tokens:,} tokens is {origin} and costs nothing; every turn of {workers} reads it "
            "again."
        )
    if shape.change_input_tokens is not None:
        return (
            f"A kept lens is changed: {shape.change_input_tokens:,} tokens to read and "
            f"{_changed_tokens(shape):,} to write; {_CHANGE_FAILS:.0%} of the time it is then written anew. "
            f"Every turn of {workers} reads its {shape.lens_output_tokens:,} tokens again."
        )
    said = (
        f"The lens takes {shape.lens_input_tokens:,} tokens to read and {shape.lens_output_tokens:,} to "
        f"write; every turn of {workers} reads it again."
    )
    if not shape.scout_turns:
        return said
    expected, most = _counted(_expected_scouting(shape), "turn"), shape.scout_turns
    return (
        f"{said} What the smart model is shown is not enough, so it looks for itself first, in {expected} "
        f"and at most {most}, with {_SCOUTING_RESULT_TOKENS:,} tokens of results a turn."
    )


def _other_limits(shape: Shape) -> str:
    others = {"smart model": shape.smart_output_tokens, "delegation model": shape.worker_output_tokens}
    said = [
        f"{tokens:,} of the {role}"
        for role, tokens in others.items()
        if tokens is not None and tokens != shape.max_output_tokens
    ]
    return f" ({', '.join(said)})" if said else ""


def _caches(price: Price) -> bool:
    return price.rates.cache_read_usd is not None


def _counted(number: int, thing: str) -> str:
    return f"{number:,} {thing}" if number == 1 else f"{number:,} {thing}s"
