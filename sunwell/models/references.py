"""How a model is written: ``provider/model``, or a bare id that tells whose it is."""

import functools
import re

import attrs

from sunwell.core.model import ModelProtocol

_BARE_IDS = (
    (re.compile(r"claude-"), "anthropic"),
    (re.compile(r"gpt-|chatgpt-|o\d"), "openai"),
)
_DATE = re.compile(r"[-@]20\d\d(-?)(0[1-9]|1[0-2])\1(0[1-9]|[12]\d|3[01])$")
_DOT_IN_NUMBER = re.compile(r"(?<=\d)\.(?=\d)")
_NAMES_KEPT = 1_024  # a run asks the same few names at every call


@attrs.frozen
class Reference:
    """A model by its provider's name and the id that the provider knows it by."""

    provider: str
    model_id: str

    def __str__(self) -> str:
        return f"{self.provider}/{self.model_id}"


def parse_reference(text: str) -> Reference | None:
    """Return what *text* refers to, or ``None`` where it does not say whose model it is.

    Only the first slash parts provider and model: further ones belong to the model's id.
    """
    provider, slash, model_id = text.partition("/")
    if slash:
        return Reference(provider.lower(), model_id) if provider and model_id else None
    maker = provider_of(text)
    return Reference(maker, text) if maker else None


def provider_of(model_id: str) -> str | None:
    """Return the provider whose ids look like *model_id*, or ``None``."""
    for pattern, provider in _BARE_IDS:
        if pattern.match(model_id):
            return provider
    return None


@functools.lru_cache(_NAMES_KEPT)
def undated(model_id: str) -> str:
    """Return *model_id* without a date at its end: ``-20260101``, ``-2026-01-01`` or ``@20260101``."""
    return _DATE.sub("", model_id)


@functools.lru_cache(_NAMES_KEPT)
def spelled_alike(model_id: str) -> str:
    """Return one spelling for ids that differ in case or in ``4.6`` and ``4-6`` only."""
    return _DOT_IN_NUMBER.sub("-", model_id.lower())


def is_same_model(asked: str, answered: str) -> bool:
    """Whether *answered* is the id that was *asked*, or that id with a date or without."""
    one, other = spelled_alike(asked), spelled_alike(answered)
    return one == other or undated(other) == one or undated(one) == other


def provider_and_id(model: ModelProtocol) -> tuple[str | None, str]:
    """Return the provider of *model*, ``None`` where it does not say, and the id it is known by there.

    Adapters say ``model_id`` and ``provider``, or have a ``connection`` that says ``provider``;
    of any other model the name is all there is.
    """
    model_id = getattr(model, "model_id", None)
    provider = getattr(model, "provider", None)
    if provider is None:
        provider = getattr(getattr(model, "connection", None), "provider", None)
    return provider, model.name if model_id is None else str(model_id)
