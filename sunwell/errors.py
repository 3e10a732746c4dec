"""Every error that Sunwell raises on purpose. Each is one sentence: what, where, and what to do.

::

    SunwellError
    ├── ModelError                a model call came to nothing
    │   ├── ConnectionFailed      no answer at all
    │   ├── RateLimited           429 and overload: later it may work
    │   ├── QuotaExhausted        the account has no money left: later it will not work
    │   ├── ServerFailed          5xx
    │   ├── BadRequest            the provider will not take this request
    │   ├── BadAnswer             an answer that breaks the protocol, or stopped half-way
    │   └── Unauthorized          a key that is not accepted
    ├── MissingKeyError           no key, found before anything is sent
    ├── UnknownModelError         a name that resolves to nothing
    │   └── UnknownProviderError  provider/model, where the provider has no address
    ├── ConfigurationError        settings that contradict each other or are out of range
    │   └── PluginError             a plugin of another package that cannot be used
    ├── BudgetExhausted           a ceiling leaves no room for the next call
    ├── LensError                 no lens came of it
    ├── ToolError                 a tool could not do what it was asked
    │   ├── SubCallBudgetExhausted  no sub-call fits into the turn, or the run's tokens for them
    │   ├── SubCallCostExceeded     the run's money for sub-calls is spent
    │   └── SubCallDepthExceeded    no sub-call may be made this deep
    ├── JournalError              the record of a run cannot be written, read or continued
    └── PinError                  a worker was about to run on another model than the one named
"""

from decimal import Decimal

import attrs


class SunwellError(Exception):
    """Any error that Sunwell raises on purpose; each says in one sentence what, where and what to do."""


@attrs.define(eq=False)
class ModelError(SunwellError):
    """A model call came to nothing.

    ``may_be_billed`` is false only where the provider certainly charged nothing; ``retry`` says
    whether the same request may succeed later.
    """

    model: str
    detail: str
    may_be_billed: bool = False
    retry: bool = False
    retry_after_seconds: float | None = None
    """What the provider asked for; the gateway caps it."""
    answer: object = None
    """The :class:`~sunwell.core.model.Completion` that came with the error, so that its usage is booked;
    ``None`` if none came."""

    def __str__(self) -> str:
        return f"{self.model}: {self.detail}"


@attrs.define(eq=False)
class ConnectionFailed(ModelError):
    """The provider could not be reached, or the connection broke before or during the answer."""


@attrs.define(eq=False)
class RateLimited(ModelError):
    """The provider asks for less, or is overloaded (429, 503, 529)."""


@attrs.define(eq=False)
class QuotaExhausted(ModelError):
    """The account has no credit left: asking again cannot help."""


@attrs.define(eq=False)
class ServerFailed(ModelError):
    """The provider failed (5xx)."""


@attrs.define(eq=False)
class BadRequest(ModelError):
    """The provider refuses the request as it stands (4xx)."""


@attrs.define(eq=False)
class BadAnswer(ModelError):
    """What came is not an answer: cut off, malformed, or without its proper end."""


@attrs.define(eq=False)
class Unauthorized(ModelError):
    """The provider does not accept the key."""


@attrs.define(eq=False)
class MissingKeyError(SunwellError):
    """A provider needs a key that is not there."""

    variable: str
    provider: str

    def __str__(self) -> str:
        return f"{self.provider} needs a key: set the environment variable {self.variable}"


@attrs.define(eq=False)
class UnknownModelError(SunwellError, LookupError):
    """A model name resolves to nothing."""

    name: str
    known: tuple[str, ...]

    def __str__(self) -> str:
        listed = ", ".join(sorted(self.known)) or "none"
        return f"no model is known as {self.name!r}; known: {listed}; or write provider/model"


@attrs.define(eq=False)
class UnknownProviderError(UnknownModelError):
    """A model is written as provider/model, and nobody knows where the provider is reached."""

    provider: str
    variable: str
    """The environment variable that would hold its address."""

    def __str__(self) -> str:
        return (
            f"no model is known as {self.name!r}: the provider {self.provider} has no address; set "
            f"{self.variable}, or use one of the known: {', '.join(sorted(self.known)) or 'none'}"
        )


@attrs.define(eq=False)
class ConfigurationError(SunwellError, ValueError):
    """A setting that cannot be followed."""

    sentence: str

    def __str__(self) -> str:
        return self.sentence


@attrs.define(eq=False)
class PluginError(ConfigurationError):
    """A plugin of another package cannot be loaded, or gives what is neither a model nor a tool."""


@attrs.define(eq=False)
class BudgetExhausted(SunwellError):
    """A ceiling leaves no room for the next call.

    ``limit`` is one of ``usd``, ``tokens``, ``calls``, ``turns``, ``seconds``; ``needed``,
    ``used`` and ``ceiling`` are in its unit.
    """

    limit: str
    needed: Decimal
    used: Decimal
    ceiling: Decimal
    account: str = "run"
    detail: str = ""
    """Said in place of the usual sentence, where that would not be the whole truth."""

    def __str__(self) -> str:
        return self.detail or (
            f"the {self.limit} budget of {self.account} is used up: {self.used} of {self.ceiling} is "
            f"spent or booked, and the next call may need {self.needed}; raise the budget or ask for less"
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
    """The record of a run cannot be written, read or continued."""

    sentence: str

    def __str__(self) -> str:
        return self.sentence


@attrs.define(eq=False)
class SubCallBudgetExhausted(ToolError):
    """The sub-calls of a turn or of the run have no room left. The sentence goes to the model."""


@attrs.define(eq=False)
class SubCallCostExceeded(ToolError):
    """The sub-calls of the run have cost what they may. The sentence goes to the model."""


@attrs.define(eq=False)
class SubCallDepthExceeded(ToolError):
    """A sub-call was asked for where none may be made. The sentence goes to the model."""

    sentence: str = "Maximum recursion depth reached. Summarize with available context."


@attrs.define(eq=False)
class PinError(SunwellError):
    """A worker was about to run on another model than the one that was named for it."""

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
    """A worker was asked for where ``max_depth`` allows none. The sentence goes to the model."""

    max_depth: int

    def __str__(self) -> str:
        return "Maximum recursion depth reached. Summarize with available context."
