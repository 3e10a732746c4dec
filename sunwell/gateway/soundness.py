"""Answers of models that others wrote, held to what a journal can keep and a loop can use."""

from decimal import Decimal
from typing import Any, get_args

import attrs

from sunwell.core.message import Text, Thinking, ToolCall
from sunwell.core.model import Completion, Consulted, Stop
from sunwell.core.usage import Usage
from sunwell.errors import BadAnswer, ModelError

_STOPS = frozenset(get_args(Stop))
_PARTS = (Text, Thinking, ToolCall)


def sound(value: Any, model: str) -> Completion:
    """Return *value* as the answer of *model*; where it does not say who answered, *model* did.

    Raises :exc:`~sunwell.errors.BadAnswer`, as one that may be billed, where it is no
    :class:`~sunwell.core.model.Completion` or a part of it is not what the class says.
    """
    wrong = _what_is_wrong(value)
    if wrong:
        raise BadAnswer(model, f"its answer cannot be used: {wrong}; mend the model's class", True)
    completion: Completion = value
    if completion.model and type(completion.parts) is tuple:
        return completion
    return attrs.evolve(completion, model=completion.model or model, parts=tuple(completion.parts))


def answer_in(error: BaseException, model: str) -> Completion | None:
    """Return the answer of *model* that came with *error*; ``None`` if there is none, or none of use."""
    answer = error.answer if isinstance(error, ModelError) else None
    try:
        return None if answer is None else sound(answer, model)
    except BadAnswer:
        return None


def _what_is_wrong(value: Any) -> str:
    if not isinstance(value, Completion):
        return f"a Completion is wanted, got {type(value).__name__}"
    if type(value.parts) not in (tuple, list):
        return f"its parts are {type(value.parts).__name__}, not a tuple"
    for part in value.parts:
        if type(part) not in _PARTS:
            return f"a part of it is {type(part).__name__}, not Text, Thinking or ToolCall"
        for field in attrs.fields(type(part)):
            if type(getattr(part, field.name)) is not str:
                return f"{field.name} of a {type(part).__name__} is no text"
    if type(value.stop) is not str or value.stop not in _STOPS:
        return f"its stop {value.stop!r} is none of {', '.join(sorted(_STOPS))}"
    for name in ("model", "provider_stop", "id"):
        if type(getattr(value, name)) is not str:
            return f"its {name} is no text"
    if not all(isinstance(one, Consulted) and isinstance(one.usage, Usage) for one in value.consulted):
        return "the models that it consulted are no tuple of Consulted"
    stated = value.stated_cost_usd
    if stated is not None and not (isinstance(stated, Decimal) and stated.is_finite() and stated >= 0):
        return "its stated cost is not None and not a Decimal of zero or more"
    return _what_is_wrong_with(value.usage)


def _what_is_wrong_with(usage: Any) -> str:
    if usage is None:
        return ""
    if not isinstance(usage, Usage):
        return f"its usage is {type(usage).__name__}, not Usage or None"
    counts = [getattr(usage, field.name) for field in attrs.fields(Usage)]
    return "" if all(type(count) is int for count in counts) else "its usage counts are not whole numbers"
