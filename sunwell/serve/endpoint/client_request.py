"""What a client asks for, whatever wire format it speaks, and what is answered."""

from collections.abc import Iterable, Iterator, Mapping
from decimal import Decimal
from typing import Any, Literal, Protocol

import attrs

from sunwell.core.model import Usage

Role = Literal["user", "assistant"]


@attrs.frozen
class Declined(Exception):
    """A request that gets an error in place of an answer."""

    status: int
    """The HTTP status."""
    kind: str
    """The provider's word for this kind of error, such as ``invalid_request_error``."""
    sentence: str
    about: Mapping[str, Any] = attrs.field(factory=dict)
    """What is known of the run, if there is one."""
    is_lasting: bool = False
    """Whether the same request would meet the same error until somebody changes something at the server."""

    def __str__(self) -> str:
        return self.sentence


def unfit(sentence: str) -> Declined:
    """Return the refusal of a request that nobody could answer as it is."""
    return Declined(400, "invalid_request_error", f"{sentence}; nothing was spent")


@attrs.frozen
class ClientRequest:
    """A conversation that ends with the user's words, which are the task of a run."""

    model: str
    turns: tuple[tuple[Role, str], ...]
    """Who said what, in order; the last is the user's."""
    system: str = ""
    """The client's instructions; empty if there are none."""
    streams: bool = False
    with_usage: bool = True
    """Whether a stream tells the usage, too."""
    previous: str = ""
    """The id of the answer that it goes on from, if the client names one."""
    not_used: tuple[str, ...] = ()
    """Names of fields that have no effect."""

    @property
    def task(self) -> str:
        """What the user says last."""
        return self.turns[-1][1]


@attrs.frozen
class ClientAnswer:
    """What a run has answered."""

    id: str
    model: str
    created: int
    """Seconds since 1970."""
    text: str = ""
    stop: Literal["end", "length", "refusal"] = "end"
    usage: Usage = Usage()
    """Of all models of the run together."""
    cost_usd: Decimal | None = None
    """What the run has cost; ``None``: unknown."""
    about: Mapping[str, Any] = attrs.field(factory=dict)
    """The run, for clients that want to know: JSON values."""


class ClientWire(Protocol):
    """One wire format, as a server speaks it."""

    def read(self, body: Mapping[str, Any]) -> ClientRequest:
        """Return the request in *body*. Raises :exc:`Declined`."""
        ...

    def whole(self, answer: ClientAnswer) -> dict[str, Any]:
        """Return the body of an answer that is not streamed."""
        ...

    def begin(self, answer: ClientAnswer) -> Iterator[bytes]:
        """Yield the first events of a stream; *answer* has no text yet."""
        ...

    def beat(self) -> bytes:
        """Return what keeps a stream open while nothing is to be told."""
        ...

    def end(self, answer: ClientAnswer, *, with_usage: bool) -> Iterator[bytes]:
        """Yield the answer and the end of its stream."""
        ...

    def failed(self, declined: Declined) -> Iterator[bytes]:
        """Yield the end of a stream without an answer."""
        ...

    def error(self, declined: Declined) -> dict[str, Any]:
        """Return the body of an error."""
        ...


_PLAIN = ("text", "input_text", "output_text")


def text_of(content: Any, where: str) -> str:
    """Return the text of a message: a string, or a list of parts of text. Raises :exc:`Declined`."""
    if content is None:
        return ""
    if isinstance(content, str):
        return content
    if not isinstance(content, list):
        raise unfit(f"{where} must be a text or a list of parts")
    return "\n".join(filter(None, (_part_text(part, where) for part in content)))


def _part_text(part: Any, where: str) -> str:
    kind = part.get("type") if isinstance(part, dict) else None
    if kind == "refusal" and isinstance(part.get("refusal"), str):
        return str(part["refusal"])
    if kind in ("thinking", "redacted_thinking"):
        return ""
    if kind not in _PLAIN:
        raise unfit(f"{where} has a part of type {str(kind)[:40]!r}: only text can be given")
    if not isinstance(part.get("text"), str):
        raise unfit(f"{where} has a part without text")
    return str(part["text"])


def turns_of(messages: Any, where: str, instructions: tuple[str, ...]) -> tuple[list[str], list[Any]]:
    """Return the client's instructions, and who said what, from a list of messages.

    *instructions* are the roles whose texts are instructions. Texts of one side that follow each other are
    one turn. Raises :exc:`Declined` for what is no conversation that ends with the user.
    """
    if not isinstance(messages, list) or not messages:
        raise unfit(f"{where} must be a list of at least one message")
    system: list[str] = []
    turns: list[tuple[str, str]] = []
    for number, message in enumerate(messages):
        here = f"{where}[{number}]"
        role = message.get("role") if isinstance(message, dict) else None
        if role not in ("user", "assistant", *instructions):
            raise unfit(f"{here} has the role {str(role)[:40]!r}; there are: user, assistant")
        if message.get("tool_calls") or message.get("function_call"):
            raise unfit(f"{here} has tool calls, and {NO_TOOLS}")
        text = text_of(message.get("content"), f"{here}.content")
        if role in instructions:
            system.append(text)
        elif turns and turns[-1][0] == role:
            turns[-1] = (role, f"{turns[-1][1]}\n\n{text}")
        else:
            turns.append((role, text))
    if not turns or turns[-1][0] != "user" or not turns[-1][1].strip():
        raise unfit(f"{where} must end with a message of the user that has text: it is the task")
    return system, turns


NO_TOOLS = (
    "tools of clients are not supported: a run uses those of the server's folder, and the client's own "
    "cannot be called from here"
)


NO_FORMS = "the form of an answer is a check, which the settings of the server have"


def require_plain(body: Mapping[str, Any], refused: Mapping[str, str]) -> None:
    """Raise :exc:`Declined` for fields in *body* that ask for something else than a text.

    *refused* has why, by name; a field that is empty or off asks for nothing.
    """
    for name, reason in refused.items():
        if body.get(name) not in (None, [], {}, False, "", "none", "auto"):
            raise unfit(f"{name} cannot be used here: {reason}")


def not_used(body: Mapping[str, Any], used: Iterable[str]) -> tuple[str, ...]:
    """Return the names in *body* that have no effect, besides those that ask for none."""
    known = {*used, *_WITHOUT_EFFECT}
    return tuple(sorted(name[:60] for name, value in body.items() if name not in known and value is not None))


_WITHOUT_EFFECT = (
    "metadata", "user", "store", "safety_identifier", "prompt_cache_key", "prompt_cache_retention",
    "service_tier", "cache_control", "include", "truncation",
)  # fmt: skip
"""Fields that say how a request is kept or served, and nothing of its answer."""


def text_field(body: Mapping[str, Any], name: str) -> str:
    """Return the text *name* of *body*. Raises :exc:`Declined` if there is none."""
    value = body.get(name)
    if not isinstance(value, str) or not value:
        raise unfit(f"{name} must be a text")
    return value


def flag(body: Mapping[str, Any], name: str) -> bool:
    """Return the switch *name* of *body*, which is off if it is not there. Raises :exc:`Declined`."""
    value = body.get(name)
    if value not in (None, True, False):
        raise unfit(f"{name} must be true or false")
    return bool(value)
