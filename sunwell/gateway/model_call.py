"""One question at its place in a run, and what events and records say of it."""

import time
from decimal import Decimal
from typing import Any, Protocol

import attrs

from sunwell.budget.ledger_protocol import Reservation
from sunwell.budget.tally import BilledCall as Entry
from sunwell.core.message import digest_of
from sunwell.core.model import Completion, ModelProtocol, Purpose, Request, Usage
from sunwell.core.span import Span
from sunwell.errors import ModelError
from sunwell.events import ModelCallFinished, ModelCallStarted, ModelContent
from sunwell.journal.records import Answer, Failure, Intent
from sunwell.models.connection import Connection
from sunwell.models.http_model import HttpModel


class AnswerStore(Protocol):
    """Where whole answers are kept for later runs. Both methods may block, and raise nothing of their own."""

    def find(self, key: str) -> Completion | None:
        """Return the answer that was kept under *key*, without usage; ``None`` if there is none."""
        ...

    def keep(self, key: str, completion: Completion) -> None:
        """Keep *completion* under *key* if it is of use to a later run."""
        ...


_NO_USAGE = Usage()


@attrs.define(eq=False)
class CallAccount:
    """What the attempts of one call came to in this process, as the bill has it."""

    booked_usd: Decimal | None = Decimal(0)
    booked_usage: Usage = _NO_USAGE
    uncertain_usd: Decimal | None = Decimal(0)
    reserved_usd: Decimal | None = None
    max_output_tokens: int | None = None
    first_piece_seconds: float | None = None

    def begin(self, reservation: Reservation) -> None:
        """Note what is held for an attempt that is about to be sent."""
        self.reserved_usd, self.max_output_tokens = reservation.usd, reservation.max_output_tokens
        self.first_piece_seconds = None

    def book(self, completion: Completion, usd: Decimal | None) -> None:
        """Add what came with an attempt, at its known cost; ``None``: its price is unknown."""
        self.booked_usd = None if usd is None or self.booked_usd is None else self.booked_usd + usd
        usage = completion.usage
        if usage is not None:  # mostly there is one in all
            self.booked_usage = usage if self.booked_usage is _NO_USAGE else self.booked_usage + usage
        for one in completion.consulted:
            self.booked_usage += one.usage

    def keep(self, usd: Decimal | None) -> None:
        """Add the upper bound of an attempt whose usage never came; ``None``: its price is unknown."""
        self.uncertain_usd = None if usd is None or self.uncertain_usd is None else self.uncertain_usd + usd

    def fields(self) -> dict[str, Any]:
        """Return it as the fields of :class:`~sunwell.events.ModelCallFinished`."""
        return {field.name: getattr(self, field.name) for field in attrs.fields(CallAccount)}


@attrs.frozen
class ModelCall:
    """One question at its place in a run."""

    span: Span
    number: int
    """Place in the span, from 0."""
    model: ModelProtocol
    request: Request
    purpose: Purpose
    digest: str
    closing: bool = False
    """Whether the call may use the closing reserve."""
    stream: bool = False
    remember: bool = False
    """Whether an answer of an earlier run will do, and this one is kept for later runs."""
    account: CallAccount = attrs.field(factory=CallAccount, eq=False, repr=False)
    """What its attempts have come to in this process so far."""

    @property
    def memory_key(self) -> str | None:
        """A digest of all that the answer depends on: who is asked, with which settings, and what.

        ``None``: the model is of a class of the caller's own, whose name does not say which one it is.
        """
        model, schema = self.model, self.request.response_schema
        if not isinstance(model, HttpModel):
            return None
        asked = (self.digest, model.name, self.provider, "" if schema is None else repr(schema.schema))
        # The same name may be served at another address.
        return digest_of(*asked, model.model_id, model.connection.url, repr(model.tuning)).hex()

    def remembered(self, completion: Completion) -> Answer:
        """Return the record of an answer that an earlier run has paid for."""
        return Answer(
            self.span.path,
            self.number,
            0,
            self.purpose,
            self.span.depth,
            self.digest,
            completion,
            Decimal(0),
            0.0,
            time.time(),
            remembered=True,
        )

    def started(self) -> ModelCallStarted:
        """Return the event of the call's beginning."""
        connection = getattr(self.model, "connection", None)
        address, port = connection.server if isinstance(connection, Connection) else ("", None)
        return ModelCallStarted(
            self.span.path,
            self.number,
            self.model.name,
            self.purpose,
            self.span.depth,
            self.provider,
            address,
            port,
            self.stream,
            self._model_id,
        )

    def content(self, completion: Completion | None) -> ModelContent:
        """Return the event of what is asked and was answered."""
        asked = self.request
        parts = () if completion is None else completion.parts
        return ModelContent(
            self.span.path, self.number, asked.system, tuple(asked.messages), asked.tools, parts
        )

    def finished(self, model: str = "", **known: Any) -> ModelCallFinished:
        """Return the event of the call's end, with what is *known* of it.

        *model* is the one that answered, if it is not the one that would be asked now.
        """
        depth = self.span.depth
        return ModelCallFinished(
            self.span.path, self.number, model or self.model.name, self.purpose, depth, **known
        )

    def intent(self, attempt: int, reservation: Reservation, bound: str, closing_usd: Decimal) -> Intent:
        """Return the record of an attempt that is about to be made.

        *bound* is the source of its bound, *closing_usd* what the run keeps for closing calls.
        """
        return Intent(
            span=self.span.path,
            number=self.number,
            attempt=attempt,
            purpose=self.purpose,
            model=self.model.name,
            depth=self.span.depth,
            digest=self.digest,
            max_output_tokens=reservation.max_output_tokens,
            reserved_tokens=reservation.tokens,
            reserved_usd=reservation.usd,
            at=time.time(),
            provider=self.provider,
            bound=bound,
            reserved_new_tokens=reservation.new_tokens,
            closing_usd=closing_usd,
        )

    def failure(
        self,
        attempt: int,
        error: BaseException,
        *,
        may_be_billed: bool,
        final: bool,
        completion: Completion | None = None,
        cost_usd: Decimal | None = None,
    ) -> Failure:
        """Return the record of an attempt that came to nothing; *completion* came with the error."""
        return Failure(
            span=self.span.path,
            number=self.number,
            attempt=attempt,
            error=type(error).__name__,
            detail=str(error) if isinstance(error, ModelError) else "",
            may_be_billed=may_be_billed,
            final=final,
            at=time.time(),
            completion=completion,
            cost_usd=cost_usd,
        )

    def entry(self, model: str) -> Entry:
        """Return the place of the call in a bill; *model* is the one that is priced."""
        return Entry(self.span.path, self.span.depth, self.purpose, self.provider, model)

    @property
    def _model_id(self) -> str:
        asked = getattr(self.model, "model_id", "")
        return asked if isinstance(asked, str) else ""

    @property
    def provider(self) -> str:
        """The provider; empty where the model does not say."""
        provider = getattr(self.model, "provider", "")
        return provider if isinstance(provider, str) else ""
