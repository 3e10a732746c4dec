"""Calls of a run that is only played again: what the journal does not have, nobody is asked for."""

import inspect

import attrs

from sunwell import errors
from sunwell.errors import ModelError
from sunwell.gateway.call import Call
from sunwell.journal.protocol import Journal
from sunwell.journal.records import Failure, Intent


@attrs.define(eq=False)
class NotRecorded(ModelError):
    """The record of a run has neither an answer to a call nor its failure."""


def recorded_failure(journal: Journal, call: Call) -> ModelError | None:
    """Return how the last attempt of *call* failed, where it did for good."""
    attempt = 0
    while journal.find(Intent, (call.span.path, call.number, attempt + 1)) is not None:
        attempt += 1
    failure = journal.find(Failure, (call.span.path, call.number, attempt))
    kind = getattr(errors, failure.error, None) if failure else None
    if failure is None or not failure.final or not (inspect.isclass(kind) and issubclass(kind, ModelError)):
        return None
    detail = failure.detail.removeprefix(f"{call.model.name}: ")
    return kind(call.model.name, detail, failure.may_be_billed)


def not_recorded(call: Call) -> NotRecorded:
    """Return the error of a call at which the record ends."""
    return NotRecorded(
        call.model.name, f"the record ends here: call {call.number} of {call.span} has no answer in it"
    )
