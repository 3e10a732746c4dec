"""How many input tokens a request of pydantic-ai can be billed for, and what nobody can bound."""

import dataclasses
import json
import warnings
from collections.abc import Mapping, Sequence
from typing import Any

import attrs
from pydantic_ai.messages import (
    BinaryContent,
    CachePoint,
    FilePart,
    FileUrl,
    ModelMessage,
    ModelRequest,
    SpeechPart,
    UploadedFile,
)
from pydantic_ai.models import Model, ModelRequestParameters
from pydantic_ai.settings import ModelSettings, merge_model_settings
from pydantic_ai.tools import ToolDefinition
from pydantic_core import to_json

from sunwell.errors import ConfigurationError
from sunwell.models.tokens import allowance_tokens

_TOKENS_PER_PART = 32
"""Role, names and brackets that a format puts around a message, a part or a tool."""
_UNSENT_FIELDS = frozenset(
    {
        "conversation_id", "failed_attempts", "history_digest", "instructions", "kind", "metadata",
        "model_id", "part_kind", "provider_response_id", "provider_url", "run_id", "state", "timestamp",
        "usage", "workspace_ref",
    }
)  # fmt: skip
"""Fields of messages and parts that stay here; instructions are counted by themselves."""
_LONG = "12h"
"""How long no price of the tables lets a cache entry live."""
_USUAL_TIERS = (None, "auto", "default", "flex", "standard", "standard_only")
_PRICED_OTHERWISE = frozenset(
    {
        "extra_body",  # it may ask for several answers, another tier, or anything else
        "openai_background",
        "openai_conversation_id",
        "openai_native_tools",
        "openai_prediction",
        "openai_prompt_cache_options",
        "openai_previous_response_id",
        "openai_reasoning_mode",
        "anthropic_container",
    }
)
"""Settings with which input or price do not follow from what is sent here."""
_ATTACHMENTS = (BinaryContent, FileUrl, UploadedFile, FilePart, SpeechPart)


@attrs.frozen
class RequestBound:
    """The most that is billed as input of a request."""

    input_tokens: int
    is_cached: bool
    """Whether the request asks for cache entries."""


def bound_of(
    model: Model,
    messages: Sequence[ModelMessage],
    settings: ModelSettings | None,
    parameters: ModelRequestParameters,
    media_tokens: int | None = None,
) -> RequestBound:
    """Return a bound on the input of a request as *model* sends it: its UTF-8 bytes, and an allowance.

    *media_tokens* is the most that one image or other file may take. Raises
    :exc:`~sunwell.errors.ConfigurationError`, in a sentence, for what has no bound: files without
    *media_tokens*, tools that the provider runs, other tiers, and conversations that the provider keeps.
    """
    chosen = merge_model_settings(model.settings, settings) or {}
    _require_bounded(chosen)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # sending it warns of the same
        prepared, sent = model.prepare_request(settings, parameters)
    if sent.native_tools:
        name = sent.native_tools[0].kind
        raise _unbounded(f"the provider's own tool {name!r} is billed besides tokens; leave it out")
    found = _Measure(media_tokens)
    found.add(list(messages))
    tools: list[ToolDefinition] = [*sent.function_tools, *sent.output_tools]
    for tool in tools:
        found.add_texts(tool.name, tool.description)
        found.add_json(tool.parameters_json_schema)
        found.add_json(tool.return_schema)
    if sent.output_object is not None:
        found.add_texts(sent.output_object.name, sent.output_object.description)
        found.add_json(sent.output_object.json_schema)
    if sent.instruction_parts is not None:
        found.add_texts(*(part.content for part in sent.instruction_parts))
    else:
        standing = [one.instructions or "" for one in messages if isinstance(one, ModelRequest)]
        found.add_texts(max(standing, key=len, default=""))
    total = found.tokens + _TOKENS_PER_PART * len(tools) + allowance_tokens(model.system, model.model_name)
    is_cached = found.is_cached or any("cache" in key and value for key, value in chosen.items())
    return RequestBound(total, is_cached or bool((prepared or {}).get("cache")))


def _require_bounded(settings: Mapping[str, Any]) -> None:
    for name, value in settings.items():
        if name in _PRICED_OTHERWISE and value:
            raise _unbounded(f"the setting {name} may change what is sent or what it costs; leave it out")
        if name.endswith("service_tier") and value not in _USUAL_TIERS:
            raise _unbounded(f"the setting {name} has a price of its own; leave it out")
        if name == "cache" and _LONG in (value, value.get("retention") if isinstance(value, dict) else None):
            raise _unbounded(f"cache entries for {_LONG} have a price of their own; choose 1h at most")
        if name == "anthropic_speed" and value != "standard":
            raise _unbounded("the setting anthropic_speed has a price of its own; leave it out")


def _unbounded(why: str) -> ConfigurationError:
    return ConfigurationError(f"not sent: nobody can say what the request costs at most, since {why}")


@attrs.define(eq=False)
class _Measure:
    """Adds up what a model may see; a token is never shorter than a byte."""

    media_tokens: int | None
    tokens: int = 0
    is_cached: bool = False

    def add_texts(self, *texts: str | None) -> None:
        """Add texts; each counts as it would inside JSON, where some are sent."""
        for text in texts:
            if text:
                self.tokens += len(json.dumps(text, ensure_ascii=False).encode("utf-8", "surrogatepass"))

    def add_json(self, value: Any) -> None:
        """Add a value that is sent as JSON."""
        if value is not None:
            self.tokens += len(to_json(value, fallback=repr))

    def add(self, value: Any) -> None:
        """Add whatever a message may hold."""
        if isinstance(value, _ATTACHMENTS):
            self._add_attachment()
        elif isinstance(value, CachePoint):
            self.is_cached = True
        elif isinstance(value, str):
            self.add_texts(value)
        elif isinstance(value, Mapping):
            self.tokens += 2
            for key, item in value.items():
                self.add_texts(str(key))
                self.add(item)
        elif isinstance(value, Sequence) and not isinstance(value, bytes):
            self.tokens += 2
            for item in value:
                self.add(item)
        elif dataclasses.is_dataclass(value) and not isinstance(value, type):
            self.tokens += _TOKENS_PER_PART
            for field in dataclasses.fields(value):
                if field.name not in _UNSENT_FIELDS:
                    self.add(getattr(value, field.name, None))
        else:
            self.add_json(value)

    def _add_attachment(self) -> None:
        if self.media_tokens is None:
            raise _unbounded(
                "it has an image or another file, whose tokens do not follow from its bytes; say media_tokens"
            )
        self.tokens += self.media_tokens
