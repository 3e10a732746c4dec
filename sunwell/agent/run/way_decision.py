"""Who decides: the words of a task, a model that was asked about it, or the outcomes of earlier work."""

from collections.abc import Mapping
from decimal import Decimal

import attrs

from sunwell.agent.policy.task_kinds import CLASS_SCHEMA, TaskClass, read_class
from sunwell.agent.policy.way_choice import (
    Harm,
    WayChoice,
    WayOffer,
    are_enough,
    choose_way,
    harm_of_lenses,
    offers_of,
    redone_share,
    sized_by_outcomes,
)
from sunwell.agent.prompts import CLASSIFY_PROMPT
from sunwell.agent.run.decision import REDONE_SHARE, Candidates, after_outcomes, expected_output
from sunwell.agent.run.run_context import Run
from sunwell.context.options import Decide, RunOptions
from sunwell.core.markdown import fenced, one_line
from sunwell.core.message import History, user
from sunwell.core.model import ModelProtocol, Request
from sunwell.core.price import DelegationDecision, OutputEstimate, Quote
from sunwell.errors import BudgetExhausted, ModelError
from sunwell.memory.outcomes import KnownOutcomes, Way
from sunwell.models.prices import known_as
from sunwell.models.room import own_output_tokens
from sunwell.tools.wording import cut


@attrs.frozen(kw_only=True)
class Grounds:
    """What a decision on one task rests on besides its words."""

    mode: Decide
    """What the user wants to decide."""
    kind: str
    """The kind of the task."""
    known: KnownOutcomes
    names: Mapping[Way, str]
    """Who works on each way, under the names of outcomes."""
    asked: TaskClass | None = None
    """What the model said that was asked; ``None``: it was not asked, or said nothing of use."""
    failed: str = ""
    """Why it said nothing of use, as a clause."""

    @classmethod
    def of(
        cls, options: RunOptions, kind: str, known: KnownOutcomes, own: ModelProtocol, worker: ModelProtocol
    ) -> "Grounds":
        """Return the grounds before any model was asked."""
        cheap = known_as(worker)
        names: Mapping[Way, str] = {"direct": known_as(own), "cheap": cheap, "delegated": cheap}
        return cls(mode=options.decide, kind=kind, known=known, names=names)

    def with_class(self, found: TaskClass | str) -> "Grounds":
        """Return the grounds with what the model said that was asked, or why it said nothing of use."""
        if isinstance(found, str):
            return attrs.evolve(self, failed=found)
        return attrs.evolve(self, asked=found, kind=found.kind)

    @property
    def redone(self) -> tuple[Decimal, int]:
        """The share of delegated work that is done again, and on how many outcomes it rests."""
        return redone_share(self.known, self.kind, self.names["delegated"], REDONE_SHARE)

    @property
    def harm(self) -> Harm | None:
        """How much worse work of this kind is under a lens; ``None``: that cannot be said."""
        return harm_of_lenses(self.known, self.kind, self.names)

    def output(self, task: str, options: RunOptions) -> OutputEstimate:
        """Return the expected output: the caller's, the asked model's, or that of the words after outcomes.

        Raises what :func:`~sunwell.agent.run.decision.expected_output` does.
        """
        if options.estimator is not None:
            return expected_output(task, options)
        if self.asked is not None:
            return self.asked.output
        return sized_by_outcomes(expected_output(task, options), self.known, self.kind)


def decided_way(
    words: DelegationDecision,
    quote: Quote,
    grounds: Grounds,
    models: Candidates,
    *,
    misfit: str | None = None,
    is_given: bool = False,
) -> DelegationDecision:
    """Return the decision that follows from *words*, which is that of the words, and *grounds*.

    *misfit* says why the budget holds no lens, if it does not. *is_given*: a lens is given, and always used.
    """
    harm = grounds.harm
    words = attrs.evolve(words, kind=grounds.kind, noted="" if harm is None else harm.sentence)
    if is_given or models.worker.name == models.smart.name:
        return words
    if grounds.mode == "words":
        cheap = grounds.known.of_way(grounds.kind, "cheap", grounds.names["cheap"])
        return _noted(after_outcomes(words, quote, cheap))
    offers = _offers(quote, grounds)
    why = _why_not(offers, grounds)
    if why:
        return _noted(attrs.evolve(words, reason=f"{words.reason}; words decided, because {why}"))
    direct = next(offer for offer in offers if offer.way == "direct")
    open_to = [
        offer
        for offer in offers
        if offer.way != "delegated" or (misfit is None and (harm is None or harm.than != "cheap"))
    ]
    choice = choose_way(open_to, direct, explores=grounds.mode == "outcomes")
    made = attrs.evolve(
        words,
        delegate=choice.offer.way == "delegated",
        without_lens="delegation_model" if choice.offer.way == "cheap" else "model",
        lens_fits=misfit is None or choice.offer.way == "delegated",
        decided_by=grounds.mode,
        reason=_reason(choice, offers, grounds, misfit),
    )
    return _noted(made)


def _offers(quote: Quote, grounds: Grounds) -> tuple[WayOffer, ...]:
    """Return the ways with their prices and chances; none if a price is unknown."""
    cheap_usd = None if quote.cheap is None else quote.cheap.expected_usd
    usd: dict[Way, Decimal | None] = {
        "direct": quote.direct.expected_usd,
        "cheap": cheap_usd,
        "delegated": quote.delegated_once_usd,
    }
    if quote.cheap is None:
        del usd["cheap"]
    quoted = {way: one for way, one in usd.items() if one is not None}
    if len(quoted) < len(usd):
        return ()
    if grounds.mode == "classifier":
        chances = {} if grounds.asked is None else grounds.asked.chances
        return tuple(WayOffer(way, one, chances.get(way, 0.5)) for way, one in quoted.items())
    return offers_of(grounds.known, grounds.kind, grounds.names, quoted)


def _why_not(offers: tuple[WayOffer, ...], grounds: Grounds) -> str:
    """Return why words decide, as a clause; empty if they do not."""
    if grounds.mode == "classifier" and grounds.asked is None:
        return grounds.failed or "no model is asked before the run"
    if not offers:
        return "a price is unknown"
    if grounds.mode == "outcomes" and not are_enough(offers):
        return f"{_rests_on(offers, grounds)} are too few to decide by"
    return ""


def _reason(choice: WayChoice, offers: tuple[WayOffer, ...], grounds: Grounds, misfit: str | None) -> str:
    others = [f"{offer.way} {_usd(usd)}" for offer, usd in choice.offers if offer != choice.offer]
    compared = f" ({', '.join(others)})" if others else ""
    name, usd = choice.offer.way, _usd(choice.usd)
    if choice.explores:
        said = f"little is known of the way {name}, and about {usd} to a passed result is near the best"
    else:
        said = f"the way {name} is expected to cost least to a passed result, about {usd}"
    said += compared
    if grounds.mode == "outcomes":
        said += f", by {_rests_on(offers, grounds)}"
    elif grounds.asked is not None:
        said += f", by what the delegation model said of the task: {grounds.asked.sentence}"
    if misfit is not None:
        said += f"; {misfit}"
    elif grounds.harm is not None and grounds.harm.than == "cheap":
        said += "; no lens, since it did harm"
    return said


def _noted(decision: DelegationDecision) -> DelegationDecision:
    """Return *decision* with what outcomes say against a lens in its reason."""
    if not decision.noted:
        return decision
    return attrs.evolve(decision, reason=f"{decision.reason}; {decision.noted}")


def _rests_on(offers: tuple[WayOffer, ...], grounds: Grounds) -> str:
    near, far = sum(one.tries for one in offers), sum(one.others for one in offers)
    many = "1 outcome" if near == 1 else f"{near:,} outcomes"
    return f"{many} of this kind ({grounds.kind}) and {far:,} of others"


def _usd(amount: float) -> str:
    return f"${amount:.4f}" if amount >= 0.01 else f"${amount:.6f}"


_MOST_TASK_CHARACTERS = 8_000
_ANSWER_TOKENS = 2_000  # the answer has 60; a model that thinks unasked needs the rest


def class_request(task: str, output_tokens: int | None) -> Request:
    """Return what is asked about *task*, with at most *output_tokens* to answer; ``None``: no limit."""
    return Request(
        History([user(f"The task:\n\n{fenced(cut(task, _MOST_TASK_CHARACTERS))}")]),
        (CLASSIFY_PROMPT,),
        max_output_tokens=min(output_tokens or _ANSWER_TOKENS, _ANSWER_TOKENS),
        response_schema=CLASS_SCHEMA,
    )


async def classify(run: Run, model: ModelProtocol) -> TaskClass | str:
    """Return what *model* says of the task of *run*, or why it says nothing of use, as a clause.

    It is a call like any other: reserved, recorded, billed under the purpose ``classify``, and taken from the
    record on a resume. It is asked once: an answer of the wrong form is not asked for again.
    """
    request = class_request(run.task, own_output_tokens(model, run.config.max_output_tokens))
    try:
        answered = await run.gateway.ask(run.root.child("classify"), model, request, purpose="classify")
    except BudgetExhausted as error:
        return f"the classifier could not be asked: {one_line(str(error))}"
    except ModelError as error:
        return f"the classifier gave no answer: {one_line(str(error))}"
    try:
        return read_class(answered.text)
    except ValueError as error:
        return f"the answer of the classifier has not the form that was asked for: {error}"
