"""Replaces known secrets in all that a provider sends, before anybody else sees it."""

import json
from collections.abc import Callable
from typing import Any

import attrs

from sunwell.core.message import Part, Text, Thinking, ToolCall, ToolResult
from sunwell.core.model import Completion
from sunwell.core.secrets import Secrets, without_credentials
from sunwell.errors import ModelError
from sunwell.gateway.booking import answer_in

_Redact = Callable[[str], str]


def cleaned_message(message: str, secrets: Secrets) -> str:
    """Return *message*, of an error, without known secrets and without what looks like a credential."""
    return without_credentials(secrets.redact(message))


def clean_error(error: ModelError, model: str, secrets: Secrets) -> None:
    """Replace known secrets in *error*, and in the answer of *model* that came with it.

    The exceptions that led to it are dropped if they hold one: they end in tracebacks.
    """
    error.detail = cleaned_message(error.detail, secrets)
    if (answer := answer_in(error, model)) is not None:
        error.answer = cleaned_answer(answer, secrets)
    before: list[BaseException] = []
    waiting = [error.__cause__, error.__context__]
    while waiting:
        link = waiting.pop()
        if link is not None and not any(link is known for known in before):
            before.append(link)
            waiting += (link.__cause__, link.__context__)
    if any(_holds_secret(link, secrets) for link in before):
        error.__cause__ = error.__context__ = None


def _holds_secret(error: BaseException, secrets: Secrets) -> bool:
    texts = [str(error), repr(error), *getattr(error, "__notes__", ())]
    return any(secrets.redact(text) != text for text in texts)


def cleaned_answer(completion: Completion, secrets: Secrets) -> Completion:
    """Return *completion* with known secrets replaced in all its texts.

    Arguments of tool calls stay JSON. What a provider wants back unchanged, such as signed reasoning, does
    not go back if there is a secret in it.
    """
    if not secrets.spans("\0".join(_texts_of(completion))):
        return completion  # nearly always
    redact = secrets.redact
    parts = [_cleaned_part(part, redact) for part in completion.parts]
    if redact(_said(completion)) != "".join(part.text for part in parts if isinstance(part, Text)):
        # A secret goes over the end of a part, so that it is in none of them.
        whole = redact(_said(completion))
        for at, part in enumerate(parts):
            if isinstance(part, Text):
                parts[at], whole = attrs.evolve(part, text=whole, extra=""), ""
    return attrs.evolve(
        completion,
        parts=tuple(parts),
        model=redact(completion.model),
        provider_stop=redact(completion.provider_stop),
        id=redact(completion.id),
        consulted=tuple(attrs.evolve(one, model=redact(one.model)) for one in completion.consulted),
        usage_doubt=redact(completion.usage_doubt),
    )


def _said(completion: Completion) -> str:
    return "".join(part.text for part in completion.parts if isinstance(part, Text))


def _texts_of(completion: Completion) -> list[str]:
    """Return all texts of an answer; its plain text is one, since a secret may go over the end of a part."""
    said: list[str] = []
    written: list[str] = []  # in JSON
    texts = [completion.model, completion.provider_stop, completion.id, completion.usage_doubt]
    for part in completion.parts:  # by exact types: each answer passes here
        kind = type(part)
        if kind is Text:
            said.append(part.text)  # type: ignore[union-attr]
            texts.append(part.extra)  # type: ignore[union-attr]
        elif kind is ToolCall:
            texts += (part.id, part.name)  # type: ignore[union-attr]
            written += (part.arguments, part.extra)  # type: ignore[union-attr]
        elif kind is Thinking:
            texts.append(part.text)  # type: ignore[union-attr]
            written.append(part.raw)  # type: ignore[union-attr]
    for one in completion.consulted:
        texts.append(one.model)
    texts += ("".join(said), _unfolded("\0".join(written)) if written else "")
    return texts


def _unfolded(text: str) -> str:
    """Return JSON *text* without escapes that may hide a secret in it."""
    if "\\" not in text:
        return text
    return text.replace("\\r", "").replace("\\n", "").replace("\\u001b", "\x1b")


def _cleaned_part(part: Part, redact: _Redact) -> Part:
    match part:
        case Text():
            return attrs.evolve(part, text=redact(part.text), extra=_kept(part.extra, redact))
        case Thinking():
            return attrs.evolve(part, text=redact(part.text), raw=_kept(part.raw, redact))
        case ToolCall():
            return attrs.evolve(
                part,
                id=redact(part.id),
                name=redact(part.name),
                arguments=_cleaned_arguments(part.arguments, redact),
                extra=_kept(part.extra, redact),
            )
        case ToolResult():
            return part
    raise AssertionError(part)


def _kept(opaque: str, redact: _Redact) -> str:
    """Return *opaque* unchanged, or nothing if it holds a secret: changed, its signature would not fit."""
    return opaque if not opaque or _cleaned_arguments(opaque, redact) == opaque else ""


def _cleaned_arguments(arguments: str, redact: _Redact) -> str:
    """Return JSON text with secrets replaced, also where escapes or line breaks of the text hide them."""
    try:
        decoded = json.loads(arguments)
    except (ValueError, RecursionError):
        return redact(arguments)
    cleaned = _cleaned_value(decoded, redact)
    return redact(arguments) if cleaned == decoded else json.dumps(cleaned, ensure_ascii=False)


def _cleaned_value(value: Any, redact: _Redact) -> Any:
    if isinstance(value, str):
        return redact(value)
    if isinstance(value, list):
        return [_cleaned_value(each, redact) for each in value]
    if isinstance(value, dict):
        return {redact(name): _cleaned_value(each, redact) for name, each in value.items()}
    return value
