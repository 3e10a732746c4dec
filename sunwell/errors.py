"""Every error that Sunwell raises on purpose. Each is one sentence: what, where, and what to do.

::

    SunwellError
    ├── ModelError                a model call failed
    │   ├── ConnectionFailed      no answer at all
    │   ├── RateLimited           429 and overload: a later retry may work
    │   ├── QuotaExhausted        the account has no credit left: a retry cannot help
    │   ├── ServerFailed          5xx
    │   ├── BadRequest            the provider rejects this request
    │   │   └── RequestTooLong      for its length, or for that of the answer that it asks for
    │   ├── BadAnswer             an answer that breaks the protocol or is incomplete
    │   └── Unauthorized          the provider rejects the key
    ├── MissingKeyError           an API key is missing; nothing was sent
    ├── UnknownModelError         a model name that is not known
    │   └── UnknownProviderError  provider/model, but the provider has no address
    ├── ConfigurationError        settings that contradict each other or are out of range
    │   └── PluginError             a plugin of another package that cannot be used
    ├── BudgetExhausted           a limit leaves no room for the next call
    ├── LensError                 no usable lens was written
    ├── ToolError                 a tool could not do what it was asked
    │   ├── SubCallBudgetExhausted  the turn or the run has no room for another sub-call
    │   ├── SubCallCostExceeded     the run's spending cap for sub-calls is reached
    │   └── SubCallDepthExceeded    sub-calls are not allowed at this depth
    ├── JournalError              the record of a run cannot be written, read or resumed
    └── PinError                  a worker was about to run on a different model than the one named
"""

from decimal import Decimal

import attrs


class SunwellError(Exception):
    """Any error that Sunwell raises on purpose; each says in one sentence what, where and what to do."""

    result: object = None
    """What a run had come to when this error ended it: a :class:`~sunwell.core.task.TaskResult` with its bill
    and its id. ``None`` if no run had begun."""


@attrs.define(eq=False)
class ModelError(SunwellError):
    """A model call failed.

    ``may_be_billed`` is false only if the provider certainly charged nothing; ``retry`` says
    whether the same request may succeed later.
    """

    model: str
    detail: str
    may_be_billed: bool = False
    retry: bool = False
    retry_after_seconds: float | None = None
    """How long the provider asks to wait; the gateway limits it."""
    answer: object = None
    """The :class:`~sunwell.core.model.Completion` that came with the error, so that its usage is booked;
    ``None`` if none came."""
    is_changed: bool = False
    """Whether the next attempt sends a different request, without what the provider refused: such an
    attempt does not count as a repetition."""
    most_repeats: int | None = None
    """Most repetitions of the request that can help; ``None``: as many as the policy allows."""
    silent: bool = False
    """Whether a time limit ended the call while the provider said nothing."""

    def __str__(self) -> str:
        return f"{self.model}: {self.detail}"


def mark_unsent(error: BaseException) -> None:
    """Note on *error*, a cancellation, that it stopped a call before its request was sent."""
    # A note, and not a class of its own: time limits of asyncio know only CancelledError itself.
    error._sunwell_unsent = True  # type: ignore[attr-defined]


def is_unsent(error: BaseException) -> bool:
    """Whether *error* stopped a call before its request was sent, so that nothing is billed."""
    return getattr(error, "_sunwell_unsent", False) is True


@attrs.define(eq=False)
class ConnectionFailed(ModelError):
    """The provider could not be reached, or the connection broke before or during the answer."""


@attrs.define(eq=False)
class RateLimited(ModelError):
    """The provider limits the rate of requests, or is overloaded (429, 503, 529)."""


@attrs.define(eq=False)
class QuotaExhausted(ModelError):
    """The account has no credit left: a retry cannot help."""


@attrs.define(eq=False)
class ServerFailed(ModelError):
    """The provider failed (5xx)."""


@attrs.define(eq=False)
class BadRequest(ModelError):
    """The provider rejects the request (4xx)."""


@attrs.define(eq=False)
class RequestTooLong(BadRequest):
    """The request is longer than the model's context window, or it asks for too long an answer.

    Nothing was billed for it. The figures are those that the provider names; ``None``: it names none.
    """

    window_tokens: int | None = None
    """The model's context window."""
    input_tokens: int | None = None
    """Input tokens of the refused request, as the provider counts them."""
    output_limit_tokens: int | None = None
    """Longest answer that the model can give."""
    shorter_answer_tokens: int | None = None
    """The limit of the answer with which the next attempt is made; ``None``: the prompt must be shorter."""


@attrs.define(eq=False)
class BadAnswer(ModelError):
    """The answer cannot be used: it is cut off, malformed, or has no proper end."""


@attrs.define(eq=False)
class Unauthorized(ModelError):
    """The provider does not accept the key."""


@attrs.define(eq=False)
class MissingKeyError(SunwellError):
    """A provider needs an API key that is not set."""

    variable: str
    provider: str

    def __str__(self) -> str:
        return f"{self.provider} needs a key: set the environment variable {self.variable}"


@attrs.define(eq=False)
class UnknownModelError(SunwellError, LookupError):
    """No model has this name."""

    name: str
    known: tuple[str, ...]
    meant: str = attrs.field(default="", kw_only=True)
    """The known name that was probably meant; empty if none is near."""

    def __str__(self) -> str:
        listed = ", ".join(sorted(self.known)) or "none"
        return f"unknown model {self.name!r}; {self._question}known models: {listed}; or write provider/model"

    @property
    def _question(self) -> str:
        return f"did you mean {self.meant}? " if self.meant else ""


@attrs.define(eq=False)
class UnknownProviderError(UnknownModelError):
    """A model is written as provider/model, and the address of the provider is unknown."""

    provider: str
    variable: str
    """The environment variable that can hold its address."""

    def __str__(self) -> str:
        return (
            f"unknown model {self.name!r}: the provider {self.provider} has no address; {self._question}set "
            f"{self.variable}, or use a known model: {', '.join(sorted(self.known)) or 'none'}"
        )


@attrs.define(eq=False)
class ConfigurationError(SunwellError, ValueError):
    """A setting is invalid, or contradicts another one."""

    sentence: str

    def __str__(self) -> str:
        return self.sentence


@attrs.define(eq=False)
class PluginError(ConfigurationError):
    """A plugin of another package cannot be loaded, or returns neither a model nor a tool."""


@attrs.define(eq=False)
class BudgetExhausted(SunwellError):
    """A limit leaves no room for the next call.

    ``limit`` is one of ``usd``, ``tokens``, ``new_tokens``, ``calls``, ``turns``, ``seconds``; ``needed``,
    ``used`` and ``ceiling`` are in its unit. New tokens are output, and input that was not counted before.
    """

    limit: str
    needed: Decimal
    used: Decimal
    ceiling: Decimal
    account: str = "run"
    detail: str = ""
    """The sentence, if whoever raises it knows more than these numbers."""

    def __str__(self) -> str:
        name = self.limit.replace("_", " ")
        return self.detail or (
            f"the {name} budget of {self.account} has no room for the next call: {self.used} of "
            f"{self.ceiling} is taken, and it may need {self.needed}; raise the budget or ask for less"
        )


@attrs.define(eq=False)
class LensError(SunwellError):
    """The smart model gave no usable lens."""

    sentence: str

    def __str__(self) -> str:
        return self.sentence


@attrs.define(eq=False)
class ToolError(SunwellError):
    """A tool could not do what it was asked. The sentence goes to the model."""

    sentence: str

    def __str__(self) -> str:
        return self.sentence


@attrs.define(eq=False)
class JournalError(SunwellError):
    """The record of a run cannot be written, read or resumed."""

    sentence: str

    def __str__(self) -> str:
        return self.sentence


@attrs.define(eq=False)
class SubCallBudgetExhausted(ToolError):
    """The turn or the run has no room for another sub-call. The sentence goes to the model."""


@attrs.define(eq=False)
class SubCallCostExceeded(ToolError):
    """The run's spending cap for sub-calls is reached. The sentence goes to the model."""


@attrs.define(eq=False)
class SubCallDepthExceeded(ToolError):
    """A sub-call was requested at a depth where none is allowed. The sentence goes to the model."""

    sentence: str = "Maximum recursion depth reached. Summarize with available context."


@attrs.define(eq=False)
class PinError(SunwellError):
    """A worker was about to run on a different model than the one named for it."""

    named: str
    asked: str
    span: str

    def __str__(self) -> str:
        return (
            f"the worker at {self.span} is pinned to {self.named} and was about to run on {self.asked}; "
            "nothing was sent"
        )


@attrs.define(eq=False)
class DepthReached(SunwellError):
    """A worker was requested at a depth that ``max_depth`` does not allow. The sentence goes to the model."""

    max_depth: int

    def __str__(self) -> str:
        return "Maximum recursion depth reached. Summarize with available context."
