"""How many input tokens a call can be billed for: the smallest of the bounds that are known."""

from collections.abc import Hashable
from decimal import Decimal
from operator import is_
from typing import Literal

import attrs

from sunwell.core.message import History, Message, digest_of
from sunwell.core.model import Completion, ModelProtocol, Request
from sunwell.gateway.answer_lengths import AnswerLengths
from sunwell.gateway.model_call import ModelCall
from sunwell.journal.protocol import Journal
from sunwell.journal.records import Answer, Failure, InputCounted, Intent
from sunwell.models import tokens
from sunwell.models.catalog import is_alias_of, is_same_model
from sunwell.models.dialects import is_routed
from sunwell.models.http_model import HttpModel, Wire
from sunwell.models.prices import provider_and_id
from sunwell.models.returned import sound_arguments

Source = Literal["reported", "counted", "tokenizer", "bytes"]
"""``reported``: an earlier answer's usage, and bytes of what is new; ``counted``: the provider's own count;
``tokenizer``: the model's own tokenizer; ``bytes``: the size of the request, or the model's own bound."""

_TOKENS_PER_NEW_PART = 16
"""What a provider may add for each message and each call that is new."""
_PER_CENT_OVER = 2
"""By how much two bills for the same bytes may differ."""
_ESTIMATE_BYTES_PER_TOKEN = 4


@attrs.frozen
class Bound:
    """The most input tokens that a call can be billed for, and how that is known."""

    tokens: int
    source: Source


@attrs.frozen
class _Report:
    """What the last answer to one conversation said of its request."""

    count: int
    """Messages of the request."""
    digest: bytes
    """Digest of these messages."""
    tokens: int
    """Input that was billed for them."""
    digest_with_answer: bytes
    """The same with the answer as the next message."""
    size_bytes: int
    """Size of the request."""
    answer_tokens: int | None
    """Most tokens that the answer can take when it goes back; ``None``: only its bytes bound it."""


@attrs.define(eq=False)
class _Basis:
    """What is known of requests with the same settings to one model; only messages differ."""

    model_id: str
    allowance_tokens: int
    """Most input tokens that the provider adds to a request."""
    is_routed: bool | None
    """Whether the provider passes requests on to others, see :func:`~sunwell.models.dialects.is_routed`."""
    is_by_bytes: bool
    """Whether the model's own bound is the size of the request and the allowance, as that of adapters."""
    least_tokens: int | None = None
    """Least input of any of these requests; ``None``: no answer yet."""
    empty_bytes: int | None = None
    """Size of such a request without messages; ``None``: not measured."""
    reports: dict[str, _Report] = attrs.field(factory=dict)
    """By span."""


@attrs.define(eq=False)
class Bounds:
    """Bounds the input of each call of a run by what the answers so far say.

    All that it knows is from recorded answers, so a run that is taken up again bounds its calls alike.
    """

    journal: Journal
    lengths: AnswerLengths = attrs.field(factory=AnswerLengths, init=False)
    """How long the answers were."""
    _bases: dict[Hashable, _Basis] = attrs.field(factory=dict, init=False)
    """By all that must not change."""
    _latest: tuple[tuple[object, ...], _Basis] | None = attrs.field(default=None, init=False)
    """The one that was asked for last, and the objects by which: mostly the next call has the same."""
    _answered: dict[str, set[str]] = attrs.field(factory=dict, init=False)
    """Ids of the models that answered, by the name of the model that was asked."""
    _failed: dict[str, set[str]] = attrs.field(factory=dict, init=False)
    """Sources that are no longer used, by the name of the model."""
    _is_record_read: bool = attrs.field(default=False, init=False)

    def of(self, call: ModelCall) -> Bound:
        """Return the smallest bound on the input of *call* that is known without asking anybody."""
        if not self._is_record_read:
            self.read_record()
        model, request = call.model, call.request
        failed = self._failed.get(model.name, ())
        basis = self._basis(model, request)
        size_bytes = _size_bytes(model, request)
        if basis.is_by_bytes:  # what the model would say, without writing the request again
            least = size_bytes + basis.allowance_tokens
        else:
            least = tokens.input_bound_tokens(model, request)
        source: Source = "bytes"
        if basis.least_tokens is not None and "reported" not in failed and self._answers_alike(model, basis):
            reported = self._reported(call, size_bytes, basis, basis.least_tokens)
            if reported < least:
                least, source = reported, "reported"
        if "tokenizer" not in failed:
            exact = tokens.tokenizer_bound(model, request)
            if exact is not None and exact < least:
                least, source = exact, "tokenizer"
        counted = self.journal.find(InputCounted, (call.span.path, call.number))
        if counted is not None and counted.digest == call.digest and "counted" not in failed:
            known = counted_bound(counted.tokens)
            return known if known.tokens < least else Bound(least, source)
        return Bound(least, source)

    def holds(self, model: ModelProtocol, source: Source) -> bool:
        """Whether bounds of *model* from *source* are still used."""
        return source not in self._failed.get(model.name, ())

    def fail(self, model_name: str, source: str) -> None:
        """Use no reports of the model any more, nor *source*: an answer was billed above its bound."""
        self._failed.setdefault(model_name, set()).update({"reported", source} - {"bytes", ""})

    def learn(
        self,
        call: ModelCall,
        completion: Completion,
        limit_tokens: int | None,
        wire: Wire | None = None,
    ) -> None:
        """Take note of an answer to *call*, sent with *limit_tokens*; a recorded one teaches the same.

        *wire* is the format in which it was sent: a refusal of another call may have changed that of the
        model since. ``None``: not known, as of a recorded answer.
        """
        model = call.model
        self._answered.setdefault(model.name, set()).add(completion.model)
        usage = completion.usage
        if usage is None or completion.usage_doubt or completion.consulted:
            return
        now = wire_of(model)
        if wire is not None and wire is not now and wire != now:
            return
        if not _is_plausible(usage.input_tokens, call.request.size_bytes):
            return
        request = call.request if limit_tokens is None else call.request.limited(limit_tokens)
        basis = self._basis(model, request)
        messages, answer = request.messages, completion.as_message()
        basis.reports[call.span.path] = _Report(
            len(messages),
            messages.digest,
            usage.input_tokens,
            digest_of(*answer.fields(), start=messages.digest),
            _size_bytes(model, request),
            _tokens_of_answer(completion, usage.output_tokens),
        )
        known = basis.least_tokens
        basis.least_tokens = usage.input_tokens if known is None else min(known, usage.input_tokens)

    def _basis(self, model: ModelProtocol, request: Request) -> _Basis:
        """Return what is known of requests with the same settings as *request* to the same *model*."""
        rests_on = (
            model,
            model.name,
            getattr(model, "model_id", None),
            getattr(model, "connection", None),
            getattr(model, "tuning", None),
            getattr(model, "provider", None),
            wire_of(model),
            request.system,
            request.tools,
            request.effort,
            request.tool_choice,
            request.response_schema,
            isinstance(model, HttpModel) and model.is_thinking(request),
        )
        latest = self._latest
        if latest is not None and all(map(is_, latest[0], rests_on)):
            return latest[1]
        asked = unchanged(model, request)
        basis = self._bases.get(asked)
        if basis is None:
            _, model_id = provider_and_id(model)
            is_by_bytes = (
                isinstance(model, HttpModel)
                and type(model).input_bound_tokens is HttpModel.input_bound_tokens
            )
            basis = _Basis(model_id, allowance(model), is_routed(model), is_by_bytes)
            self._bases[asked] = basis
        self._latest = (rests_on, basis)
        return basis

    def read_record(self) -> None:
        """Take from the journal what earlier processes of the run saw; only the first time does anything."""
        if self._is_record_read:
            return
        self._is_record_read = True
        if not self.journal.has(Intent):
            return  # of a new run, whose record says nothing of calls
        intents: dict[tuple[str, int, int], Intent] = {}
        for record in self.journal.records():
            match record:
                case Intent():
                    intents[record.span, record.number, record.attempt] = record
                case Answer(completion=completion) | Failure(completion=Completion() as completion):
                    intent = intents.pop((record.span, record.number, record.attempt), None)
                    if intent is None:
                        continue
                    if isinstance(record, Answer):
                        self.lengths.add(intent.model, record.purpose, completion)
                        self._answered.setdefault(intent.model, set()).add(completion.model)
                    if _exceeds(intent, completion, record.cost_usd):
                        self.fail(intent.model, intent.bound)

    def _answers_alike(self, model: ModelProtocol, basis: _Basis) -> bool:
        """Whether the same model answered each time: the one that was asked, unless the provider is known."""
        answered = self._answered.get(model.name)
        if not answered:
            return True
        routed, model_id = basis.is_routed, basis.model_id
        if answered == {model_id}:
            return not routed
        first, *others = sorted(answered)
        if routed or not all(is_same_model(first, other) for other in others):
            return False
        asked = is_same_model(model_id, first) or is_same_model(model.name, first)
        return asked or is_alias_of(model_id, first) or routed is False

    def _reported(self, call: ModelCall, size_bytes: int, basis: _Basis, known: int) -> int:
        model, request = call.model, call.request
        messages, start = request.messages, 0
        report = basis.reports.get(call.span.path)
        if report is not None and begins(messages, report.count, report.digest):
            start, known = report.count, report.tokens
            size_bytes -= report.size_bytes
        else:
            size_bytes -= _empty_size(model, request, basis)
        if (
            report is not None
            and report.answer_tokens is not None
            and begins(messages, report.count + 1, report.digest_with_answer)
        ):
            known += report.answer_tokens
            answer = attrs.evolve(request, messages=messages[start : start + 1])
            size_bytes -= _size_bytes(model, answer) - _empty_size(model, request, basis)
        # The answer counts as a new message although its tokens are known: what frames it is not.
        new = messages[start:]
        parts = len(new) + sum(len(one.tool_calls) for one in new if one.role == "assistant")
        return (
            _with_margin(known) + _TOKENS_PER_NEW_PART * parts + max(0, size_bytes) + basis.allowance_tokens
        )

    def bytes_of(self, model: ModelProtocol, request: Request, new: tuple[Message, ...]) -> int:
        """Return the size of the messages *new* of *request* as they are sent."""
        history = request.messages if len(new) == len(request.messages) else History(new)
        size = _size_bytes(model, attrs.evolve(request, messages=history))
        return size - _empty_size(model, request, self._basis(model, request))


def _empty_size(model: ModelProtocol, request: Request, basis: _Basis) -> int:
    if basis.empty_bytes is None:
        basis.empty_bytes = _size_bytes(model, attrs.evolve(request, messages=History()))
    return basis.empty_bytes


def _size_bytes(model: ModelProtocol, request: Request) -> int:
    """Return the size of *request* as it is sent, or of its messages if the format is unknown.

    Only differences between two sizes are of use. A history is encoded once, so each message counts once.
    """
    return model.sent_bytes(request) if isinstance(model, HttpModel) else request.messages.size_bytes


def wire_of(model: ModelProtocol) -> Wire | None:
    """Return the format in which *model* writes requests now; ``None``: unknown."""
    return model.wire if isinstance(model, HttpModel) else None


def counted_bound(tokens: int) -> Bound:
    """Return the bound that follows from the provider's own count."""
    return Bound(_with_margin(tokens) + _TOKENS_PER_NEW_PART, "counted")


def _with_margin(tokens: int) -> int:
    return -(-tokens * (100 + _PER_CENT_OVER) // 100)


def begins(messages: History, count: int, digest: bytes) -> bool:
    """Whether the first *count* of *messages* are those that *digest* is of."""
    return len(messages) >= count and messages.digest_at(count) == digest


def _is_plausible(reported_tokens: int, size_bytes: int) -> bool:
    """Whether a report is at least half of our own estimate."""
    return reported_tokens * 2 * _ESTIMATE_BYTES_PER_TOKEN >= size_bytes


def _tokens_of_answer(completion: Completion, output_tokens: int) -> int | None:
    """Return the most tokens that the answer takes when it goes back; ``None`` if its output does not say."""
    calls = completion.tool_calls
    texts = [completion.text, *(text for call in calls for text in (call.name, call.arguments))]
    size_bytes = sum(len(text.encode("utf-8", "surrogatepass")) for text in texts)
    if not _is_plausible(output_tokens, size_bytes):
        return None
    if any(sound_arguments(call.arguments) != call.arguments for call in calls):
        return None  # they are sent in another form than the model wrote them
    return output_tokens + sum(len(call.id.encode("utf-8", "surrogatepass")) for call in calls)


def unchanged(model: ModelProtocol, request: Request) -> Hashable:
    """Return all that must be the same for a report of one request to say something about another."""
    asked = (request.effort, request.system, request.tools, request.tool_choice, request.response_schema)
    if isinstance(model, HttpModel):
        sent = (model.connection, model.wire, model.tuning, model.is_thinking(request))
        return (type(model), model.name, model.model_id, model.provider, *sent, *asked)
    return (model.name, *provider_and_id(model), *asked)


def allowance(model: ModelProtocol) -> int:
    """Return the most input tokens that the provider of *model* adds to a request."""
    provider, model_id = provider_and_id(model)
    return tokens.allowance_tokens(provider, model_id)


def _exceeds(intent: Intent, completion: Completion, cost_usd: Decimal | None) -> bool:
    """Whether an answer was billed above what was reserved for it."""
    billed, usd = completion.billed_tokens, intent.reserved_usd
    if billed is not None and billed > intent.reserved_tokens:
        return True
    cost = completion.stated_cost_usd if billed is None else cost_usd
    return usd is not None and cost is not None and cost > usd
