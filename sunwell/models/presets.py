"""Servers that people use, as data: address, variable of the key, what each understands."""

from collections.abc import Mapping
from types import MappingProxyType
from typing import Literal

import attrs

from sunwell.models.chat_encoding import ChatQuirks
from sunwell.models.connection import OWN_URLS, Headers

PRESETS_DATE = "2026-11-21"
"""ISO day on which the table was last brought up to date."""

Kind = Literal["anthropic", "openai"]
Api = Literal["chat", "responses"]


@attrs.frozen
class Provider:
    """How a provider is spoken to, before the environment gives its key."""

    name: str
    kind: Kind = "openai"
    base_url: str | None = None
    key_variable: str | None = None
    """The variable that holds the key; ``None``: no key is looked for."""
    api: Api = "chat"
    """Which of OpenAI's formats; nothing to a provider of the kind ``anthropic``."""
    needs_key: bool = True
    quirks: ChatQuirks | None = None
    """``None``: told by provider and model, see :func:`~sunwell.models.chat_encoding.quirks_for`."""
    headers: Headers = ()
    timeout_seconds: float = 600.0
    stall_seconds: float = 300.0
    connect_seconds: float = 10.0
    requests_per_minute: int | None = None
    tokens_per_minute: int | None = None
    without_effort: tuple[str, ...] = ()
    """Models that take no effort."""


def _local(
    name: str, port: int, *, schema: Literal["json_schema", "json_object"] = "json_schema"
) -> Provider:
    quirks = ChatQuirks(schema=schema, effort=False)
    return Provider(name, base_url=f"http://127.0.0.1:{port}/v1", needs_key=False, quirks=quirks)


def _served(name: str, base_url: str, quirks: ChatQuirks | None = None) -> Provider:
    variable = f"{name.upper()}_API_KEY"
    return Provider(name, "openai", base_url, variable, quirks=quirks or ChatQuirks())


PRESETS: Mapping[str, Provider] = MappingProxyType(
    {
        provider.name: provider
        for provider in (
            Provider("anthropic", "anthropic", OWN_URLS["anthropic"], "ANTHROPIC_API_KEY"),
            Provider("openai", "openai", OWN_URLS["openai"], "OPENAI_API_KEY", api="responses"),
            Provider(
                "azure",
                key_variable="AZURE_OPENAI_API_KEY",
                quirks=ChatQuirks(token_limit="max_completion_tokens", returns_reasoning=False),
            ),
            _served("xai", "https://api.x.ai/v1"),
            _served("openrouter", "https://openrouter.ai/api/v1"),
            _served("together", "https://api.together.xyz/v1", ChatQuirks(effort=False)),
            _served("groq", "https://api.groq.com/openai/v1", ChatQuirks(returns_reasoning=False)),
            _served(
                "deepseek", "https://api.deepseek.com/v1", ChatQuirks(schema="json_object", effort=False)
            ),
            # The last chunk of a stream carries usage unasked, and unknown fields are refused.
            _served("mistral", "https://api.mistral.ai/v1", ChatQuirks(stream_usage=False, effort=False)),
            _served("moonshot", "https://api.moonshot.ai/v1", ChatQuirks(schema="json_object", effort=False)),
            _local("ollama", 11434),
            _local("vllm", 8000),
            _local("lmstudio", 1234),
            _local("llamacpp", 8080),
        )
    }
)
"""By name. ``azure`` has no address of its own: each resource has one, to be named as ``base_url``."""

_OTHER_NAMES = {
    "grok": "xai",
    "x-ai": "xai",
    "moonshotai": "moonshot",
    "kimi": "moonshot",
    "lm-studio": "lmstudio",
    "llama.cpp": "llamacpp",
    "llama-cpp": "llamacpp",
    "mistralai": "mistral",
    "togetherai": "together",
}


def preset(name: str) -> Provider | None:
    """Return the preset called *name*, also by the names that others call it; ``None`` if there is none."""
    lowered = name.lower()
    return PRESETS.get(_OTHER_NAMES.get(lowered, lowered))


def preset_names() -> tuple[str, ...]:
    """Return every name that :func:`preset` knows."""
    return tuple(sorted({*PRESETS, *_OTHER_NAMES}))
