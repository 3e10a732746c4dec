"""Tables of known providers, models and short names, with the date of the last update."""

import functools
import re
from collections.abc import Mapping
from types import MappingProxyType
from typing import Any, Literal
from urllib.parse import urlsplit

import attrs

from sunwell.models.connection import OWN_URLS, Connection, Headers
from sunwell.models.pace_rules import (
    ANTHROPIC_PACE,
    ANY_PACE,
    AZURE_PACE,
    GROQ_PACE,
    OPENAI_PACE,
    PaceRule,
)
from sunwell.models.quirks import COMPATIBLE, OPENAI_QUIRKS, ChatQuirks
from sunwell.models.usage import ANY_CHAT, OPENAI_CHAT, UsageDialect

_BARE_IDS = (
    (re.compile(r"claude-"), "anthropic"),
    (re.compile(r"gpt-|chatgpt-|o\d"), "openai"),
)
_DATE = re.compile(r"[-@]20\d\d(-?)(0[1-9]|1[0-2])\1(0[1-9]|[12]\d|3[01])$")
_DOT_IN_NUMBER = re.compile(r"(?<=\d)\.(?=\d)")
_NAMES_KEPT = 1_024  # a run asks the same few names at every call


@attrs.frozen
class Reference:
    """A model, by the name of its provider and the provider's model id."""

    provider: str
    model_id: str

    def __str__(self) -> str:
        return f"{self.provider}/{self.model_id}"


def parse_reference(text: str) -> Reference | None:
    """Return what *text* refers to, or ``None`` if it does not name a provider.

    Only the first slash separates provider and model: further ones belong to the model's id.
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
    """Return *model_id* without a date at the end: ``-20260101``, ``-2026-01-01`` or ``@20260101``."""
    return _DATE.sub("", model_id)


@functools.lru_cache(_NAMES_KEPT)
def spelled_alike(model_id: str) -> str:
    """Return one spelling for ids that differ only in case, or in ``4.6`` and ``4-6``."""
    return _DOT_IN_NUMBER.sub("-", model_id.lower())


def is_same_model(asked: str, answered: str) -> bool:
    """Whether *answered* is the id *asked*, apart from a date at the end of either."""
    one, other = spelled_alike(asked), spelled_alike(answered)
    return one == other or undated(other) == one or undated(one) == other


_VERSION = re.compile(
    r"(?:-preview)?-(?:\d{3,4}|\d\d-\d\d|\d\d-20\d\d|20\d\d-?[01]\d-?[0-3]\d)(?:-preview)?$"
)
_LATEST = re.compile(r"-latest$")


def is_alias_of(asked: str, answered: str) -> bool:
    """Whether a server may call the model *answered* by the name *asked*: without its path and version.

    ``mistral-small-latest`` is answered by ``mistral-small-2506``, ``grok-4`` by ``grok-4-0709``,
    ``gemini-2.5-flash`` by ``models/gemini-2.5-flash-001``.
    """
    one, other = (spelled_alike(name).rpartition("/")[2] for name in (asked, answered))
    return _LATEST.sub("", one) in (other, _VERSION.sub("", other))


PRESETS_DATE = "2026-11-21"
"""ISO day on which the table was last updated."""

Kind = Literal["anthropic", "openai"]
Api = Literal["chat", "responses"]


@attrs.frozen
class Provider:
    """How to reach a provider, before its key is read from the environment."""

    name: str
    kind: Kind = "openai"
    base_url: str | None = None
    key_variable: str | None = None
    """The variable that holds the key; ``None``: no key is used."""
    api: Api = "chat"
    """Which of OpenAI's formats; ignored for a provider of the kind ``anthropic``."""
    needs_key: bool = True
    quirks: ChatQuirks | None = None
    """``None``: chosen by provider, see :func:`quirks_for`."""
    headers: Headers = ()
    header_variables: tuple[tuple[str, str], ...] = ()
    """Headers whose values are in environment variables: name and variable."""
    timeout_seconds: float = 600.0
    first_byte_seconds: float = 180.0
    stall_seconds: float = 180.0
    connect_seconds: float = 10.0
    requests_per_minute: int | None = None
    tokens_per_minute: int | None = None
    without_effort: tuple[str, ...] = ()
    """Models that do not reason: they are sent no effort, and not asked for encrypted reasoning."""
    without_breakpoints: tuple[str, ...] = ()
    """Models that do not know cache breakpoints."""
    aliases: tuple[str, ...] = ()
    """Other names of the provider."""
    price_ids: tuple[str, ...] = ()
    """Ids of the provider in the price table, the first known one counts; empty: its name."""
    usage: UsageDialect = ANY_CHAT
    """How Chat Completions report usage. The other formats report it alike everywhere."""
    pace: PaceRule = ANY_PACE
    """What counts against its rate limits."""
    counts: bool = False
    """Whether its own address has an endpoint that counts the input of a request, for nothing."""
    vendor: str | None = None
    """The preset that an entry is based on; ``None``: that of its name or address, if any."""
    is_routed: bool = False
    """Whether it passes requests on to servers of others, which may count the same text differently."""
    writes_on_request: bool = False
    """Whether it writes to its cache only what a request asks for."""
    beyond_limit: tuple[str, ...] = ()
    """Beginnings of the ids of models whose reasoning the limit of an answer does not bound."""


def _local(name: str, port: int, *, aliases: tuple[str, ...] = ()) -> Provider:
    quirks = ChatQuirks(effort=False)
    url = f"http://127.0.0.1:{port}/v1"
    return Provider(name, base_url=url, needs_key=False, quirks=quirks, aliases=aliases)


def _served(name: str, base_url: str, quirks: ChatQuirks | None = None, **more: Any) -> Provider:
    variable = f"{name.upper()}_API_KEY"
    return Provider(name, "openai", base_url, variable, quirks=quirks or ChatQuirks(), **more)


_OPENAI_WITHOUT_REASONING = (
    "gpt-4.1",
    "gpt-4.1-mini",
    "gpt-4.1-nano",
    "gpt-4o",
    "gpt-4o-mini",
)
_OPENAI_WITHOUT_BREAKPOINTS = (
    *_OPENAI_WITHOUT_REASONING,
    "gpt-5",
    "gpt-5-mini",
    "gpt-5-nano",
    "gpt-5.1",
    "gpt-5.2",
    "gpt-5.4",
    "gpt-5.4-mini",
    "gpt-5.5",
    "gpt-5.5-pro",
    "o3",
    "o3-mini",
    "o4-mini",
)
"""Each saves a refused request: what is missing here is learned."""

PRESETS: Mapping[str, Provider] = MappingProxyType(
    {
        provider.name: provider
        for provider in (
            Provider(
                "anthropic",
                "anthropic",
                OWN_URLS["anthropic"],
                "ANTHROPIC_API_KEY",
                pace=ANTHROPIC_PACE,
                writes_on_request=True,  # its documentation: only what ``cache_control`` marks
                counts=True,
            ),
            Provider(
                "openai",
                "openai",
                OWN_URLS["openai"],
                "OPENAI_API_KEY",
                api="responses",
                usage=OPENAI_CHAT,
                pace=OPENAI_PACE,
                counts=True,
                quirks=OPENAI_QUIRKS,
                without_effort=_OPENAI_WITHOUT_REASONING,
                without_breakpoints=_OPENAI_WITHOUT_BREAKPOINTS,
            ),
            Provider(
                "azure",
                key_variable="AZURE_OPENAI_API_KEY",
                quirks=attrs.evolve(OPENAI_QUIRKS, system_parts=False),
                pace=AZURE_PACE,
            ),
            _served(
                "xai",
                "https://api.x.ai/v1",
                aliases=("grok", "x-ai"),
                price_ids=("x-ai",),
                usage=UsageDialect(is_reasoning_beside=True),
                # From its usage, where reasoning is no part of the completion that the limit bounds; its
                # documentation is silent, and reports differ, so the dearer meaning counts.
                beyond_limit=("grok-3-mini", "grok-4", "grok-5", "grok-code"),
            ),
            _served(
                "gemini",
                "https://generativelanguage.googleapis.com/v1beta/openai",
                aliases=("google",),
                price_ids=("google",),
                usage=UsageDialect(is_reasoning_in_total=True),
            ),
            _served(
                "openrouter",
                "https://openrouter.ai/api/v1",
                usage=OPENAI_CHAT,
                is_routed=True,
            ),
            _served(
                "together",
                "https://api.together.xyz/v1",
                ChatQuirks(effort=False),
                aliases=("togetherai",),
                usage=UsageDialect(cache_read=("cached_tokens", "prompt_tokens_details.cached_tokens")),
            ),
            _served(
                "groq",
                "https://api.groq.com/openai/v1",
                ChatQuirks(returns_reasoning=False),
                usage=OPENAI_CHAT,
                pace=GROQ_PACE,
            ),
            _served(
                "deepseek",
                "https://api.deepseek.com/v1",
                ChatQuirks(schema="json_object", effort=False),
                usage=UsageDialect(cache_read=("prompt_cache_hit_tokens",)),
            ),
            _served(
                "mistral",
                "https://api.mistral.ai/v1",
                # The last chunk of a stream always carries usage, and unknown fields are rejected.
                ChatQuirks(stream_usage=False, effort=False, call_ids="nine"),
                aliases=("mistralai",),
                usage=OPENAI_CHAT,
            ),
            _served(
                "moonshot",
                "https://api.moonshot.ai/v1",
                ChatQuirks(schema="json_object", effort=False),
                aliases=("moonshotai", "kimi"),
                price_ids=("moonshotai",),
                usage=UsageDialect(cache_read=("cached_tokens", "prompt_tokens_details.cached_tokens")),
            ),
            _local("ollama", 11434),
            _local("vllm", 8000),
            _local("lmstudio", 1234, aliases=("lm-studio",)),
            _local("llamacpp", 8080, aliases=("llama.cpp", "llama-cpp")),
        )
    }
)
"""By name. ``azure`` has no fixed address: each resource has its own, to be set as ``base_url``."""

_BY_NAME = {name: provider for provider in PRESETS.values() for name in (provider.name, *provider.aliases)}
_BY_HOST = {
    urlsplit(provider.base_url).netloc: provider
    for provider in PRESETS.values()
    if provider.base_url is not None and provider.needs_key
}


def preset(name: str) -> Provider | None:
    """Return the preset called *name*, also for its alternative names; ``None`` if there is none."""
    return _BY_NAME.get(name.lower())


def quirks_for(provider: str) -> ChatQuirks:
    """Return what the servers of *provider* support, as its preset says, else what any compatible one does.

    What a single model does not support comes from its provider's settings, or is learned from a refusal:
    its name says nothing.
    """
    known = preset(provider)
    return COMPATIBLE if known is None or known.quirks is None else known.quirks


def preset_names() -> tuple[str, ...]:
    """Return every name that :func:`preset` knows."""
    return tuple(sorted(_BY_NAME))


def names_of(name: str) -> tuple[str, ...]:
    """Return all names of the provider called *name*: *name* first, then the preset's own and its aliases."""
    known = preset(name)
    return (name,) if known is None else tuple(dict.fromkeys((name, known.name, *known.aliases)))


def vendor_of(connection: Connection) -> Provider | None:
    """Return the preset of the company behind *connection*; ``None`` if it is not known.

    In this order: the preset that the connection names, that of its host, that of its provider's name.
    """
    return _vendor(connection.vendor, connection.base_url, connection.provider)


@functools.lru_cache(maxsize=256)  # asked for several times by each call
def _vendor(vendor: str | None, base_url: str | None, provider: str) -> Provider | None:
    if vendor is not None:
        return preset(vendor)
    return _BY_HOST.get(_host(base_url)) or preset(provider)


def is_openai(connection: Connection) -> bool:
    """Whether *connection* leads to OpenAI itself, and not to a server that is only compatible with it."""
    url = connection.base_url or OWN_URLS.get(connection.provider)
    return _host(url) == _host(OWN_URLS["openai"])


_ROUTING_HOSTS = (
    "openrouter.ai",
    "ai-gateway.vercel.sh",
    "gateway.ai.cloudflare.com",
    "router.huggingface.co",
    "router.requesty.ai",
    "api.portkey.ai",
    "api.unify.ai",
    "oai.helicone.ai",
)
"""Hosts that pass requests on, as far as remembered on :data:`PRESETS_DATE`; subdomains count, too."""


def is_routed(connection: Connection) -> bool | None:
    """Whether *connection* leads to a server that passes requests on to servers of others.

    ``None``: unknown, since it is not the own address of a known provider.
    """
    host = _host(connection.base_url)
    if _is_routing(host):
        return True
    known = vendor_of(connection)
    if known is None:
        return None
    if known.is_routed:
        return True
    # A provider without an address of its own has one for each customer.
    is_own = connection.base_url is None or known.base_url is None or host == _host(known.base_url)
    return False if is_own else None


@functools.lru_cache(maxsize=256)
def _is_routing(host: str) -> bool:
    name = host.rpartition("@")[2].partition(":")[0]
    return any(name == one or name.endswith(f".{one}") for one in _ROUTING_HOSTS)


def may_count(connection: Connection) -> bool:
    """Whether the server behind *connection* may have an endpoint that counts the input of a request.

    At the address of a preset it has one if the preset says so. At any other address, which may be a proxy,
    only the server can say.
    """
    known = _BY_HOST.get(_host(connection.base_url))
    if known is None and connection.base_url is None:
        known = preset(connection.provider)
    return known is None or known.counts


def usage_dialect_of(connection: Connection) -> UsageDialect:
    """Return how Chat Completions of the server behind *connection* report usage.

    At the own address of a preset it is the preset's. At any other, a server of any make may answer: every
    known place is read, and only what the preset says about reasoning stays.
    """
    known = vendor_of(connection)
    if known is None:
        return ANY_CHAT
    if connection.base_url is None or _host(connection.base_url) == _host(known.base_url):
        return known.usage
    return attrs.evolve(
        ANY_CHAT,
        is_reasoning_beside=known.usage.is_reasoning_beside,
        is_reasoning_in_total=known.usage.is_reasoning_in_total,
    )


@functools.lru_cache(maxsize=256)
def _host(base_url: str | None) -> str:
    try:
        return urlsplit(base_url or "").netloc.lower()
    except ValueError:
        return ""


ALIASES_DATE = "2026-11-21"
"""ISO day on which both tables were last updated."""

ALIASES: Mapping[str, str] = MappingProxyType(
    {
        "opus": "anthropic/claude-opus-5-5",
        "sonnet": "anthropic/claude-sonnet-5-5",
        "haiku": "anthropic/claude-haiku-5-5",
        "anthropic-smart": "anthropic/claude-opus-5-5",
        "anthropic-cheap": "anthropic/claude-haiku-5-5",
        "openai-smart": "openai/gpt-6.1-sol",
        "openai-cheap": "openai/gpt-6-luna",
    }
)
"""The ``provider/id`` of each built-in alias. A registered name has precedence over an alias."""

DEFAULT_SMART_MODEL = "opus"
"""The default smart model."""


@attrs.frozen
class Retirement:
    """A model that its provider no longer serves, or will stop serving on a known day."""

    model_id: str
    date: str
    """ISO day of the end."""
    successor: str
    """Id of a current model of the same provider and class."""

    @property
    def sentence(self) -> str:
        """The warning for the user; it is true before and after that day."""
        return (
            f"the provider retires {self.model_id} on {self.date}; it is used anyway, "
            f"but consider its successor {self.successor}"
        )


_RETIREMENTS = {
    retirement.model_id: retirement
    for retirement in (
        Retirement("claude-3-opus-20240229", "2026-01-05", "claude-opus-5-5"),
        Retirement("claude-3-haiku-20240307", "2026-04-20", "claude-haiku-5-5"),
        Retirement("gpt-4o", "2027-01-14", "gpt-6.1-sol"),
        Retirement("gpt-4o-mini", "2027-01-14", "gpt-6-luna"),
    )
}


def retirement_of(model_id: str) -> Retirement | None:
    """Return when *model_id* is retired and its successor, or ``None`` if no date is known.

    This applies to the model as its maker serves it, as a bare id or ``provider/id``; other sellers may
    keep it longer. The model is used anyway; the caller is responsible for the warning.
    """
    reference = parse_reference(model_id)
    if reference is None or reference.provider != provider_of(reference.model_id):
        return None
    return _RETIREMENTS.get(spelled_alike(reference.model_id))
