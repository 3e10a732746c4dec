"""Every setting there is: its name, its kind, its default. Files, variables and options share it."""

from collections.abc import Mapping
from decimal import Decimal
from typing import Literal, NewType

import attrs

from sunwell.context.options import Fallback, OnLensFailure
from sunwell.core.model import Effort
from sunwell.core.tool import Sandbox

Count = NewType("Count", int)
"""A whole number of at least 1."""
Natural = NewType("Natural", int)
"""A whole number of at least 0."""
Share = NewType("Share", float)
"""A number from 0 to 1."""
Seconds = NewType("Seconds", float)
"""A time above zero: a number of seconds, or text with a unit such as ``90s``, ``30m``, ``1h30m``."""
Address = NewType("Address", str)
"""An HTTP address without a login in it."""
Secret = NewType("Secret", str)
"""Text that is shown masked."""


@attrs.frozen
class Role:
    """A model that plays a part, and its own settings; ``None`` is not set."""

    model: str | None = None
    provider: str | None = None
    """Where ``model`` is asked; without it the reference tells."""
    max_output_tokens: Count | None = None
    effort: Effort | None = None
    thinking_tokens: Count | None = None
    """Budget of thinking, where the provider's format has one."""
    timeout_seconds: Seconds | None = None
    """Longest time of one model call."""


@attrs.frozen
class OrchestratorSettings(Role):
    """The model that only hands work out, and when it ends."""

    enabled: bool | None = None
    """``None``: on where an orchestrator's model is named."""
    max_turns: Count = Count(20)
    max_seconds: Seconds = Seconds(1800.0)
    confidence_threshold: Share = Share(0.9)


@attrs.frozen
class BudgetSettings:
    """Ceilings of a run; ``None`` is no ceiling."""

    usd: Decimal | None = None
    tokens: Natural | None = None
    calls: Natural | None = None
    turns: Natural | None = None
    seconds: Seconds | None = None


@attrs.frozen
class Workers:
    """How many workers there may be, how deep, and for how long each."""

    max_concurrent: Count = Count(4)
    max_depth: Natural = Natural(1)
    timeout_seconds: Seconds = Seconds(300.0)


@attrs.frozen
class SubCallSettings:
    """The delegation tools of single questions and batches."""

    enabled: bool | None = None
    max_per_turn: Count = Count(5)
    budget_inheritance: Share = Share(0.5)
    max_cost_per_session: Decimal = Decimal("1.0")
    max_total_tokens: Count = Count(50_000)


@attrs.frozen
class ScratchpadSettings:
    """What the workers' findings are kept in."""

    max_entries: Count = Count(1000)
    persist_decisions: bool = True


@attrs.frozen
class Explore:
    """Bounds of exploring a context that is too long to be given whole."""

    max_steps: Count = Count(20)
    max_commit_cycles: Count = Count(5)


@attrs.frozen
class ContextSourceSettings:
    """A source that workers may query for context."""

    api_key: Secret | None = None
    project_slug: str | None = None
    auto_context: bool | None = None


@attrs.frozen
class Quirks:
    """What a server understands; ``None`` is what its preset says."""

    token_limit: Literal["max_tokens", "max_completion_tokens"] | None = None
    schema: Literal["json_schema", "json_object", "none"] | None = None
    tools: bool | None = None
    strict_tools: bool | None = None
    stream_usage: bool | None = None
    effort: bool | None = None


@attrs.frozen
class ProviderSettings:
    """A named connection."""

    preset: str | None = None
    kind: Literal["anthropic", "openai"] | None = None
    api: Literal["chat", "responses"] | None = None
    base_url: Address | None = None
    api_key_env: str | None = None
    needs_key: bool | None = None
    headers: Mapping[str, Secret] = attrs.field(factory=dict, hash=False)
    timeout_seconds: Seconds | None = None
    stall_seconds: Seconds | None = None
    connect_seconds: Seconds | None = None
    requests_per_minute: Count | None = None
    tokens_per_minute: Count | None = None
    reasoning_models: tuple[str, ...] | None = None
    non_reasoning_models: tuple[str, ...] | None = None
    quirks: Quirks = Quirks()


@attrs.frozen
class ModelEntry:
    """A name of the user's own for a model, with its limits and prices."""

    model: str | None = None
    provider: str | None = None
    max_output_tokens: Count | None = None
    effort: Effort | None = None
    thinking_tokens: Count | None = None
    timeout_seconds: Seconds | None = None
    context_window: Count | None = None
    input_usd_per_million: Decimal | None = None
    output_usd_per_million: Decimal | None = None
    cached_input_usd_per_million: Decimal | None = None
    cache_write_usd_per_million: Decimal | None = None


@attrs.frozen
class Configuration:
    """All settings of a run, after files, environment and options are put together."""

    model: Role = Role()
    smart_model: Role = Role()
    delegation_model: Role = Role()
    orchestrator: OrchestratorSettings = OrchestratorSettings()
    delegate: bool | None = None
    """``None``: delegation is on where a delegation model is named."""
    delegation_threshold_tokens: Natural = Natural(2000)
    effort: Effort | None = None
    max_output_tokens: Count | None = None
    system_prompt: str | None = None
    tools: tuple[str, ...] | None = None
    on_lens_failure: OnLensFailure = "direct"
    fallback: Fallback = "fail"
    gateway: str | None = None
    """The provider that serves every model whose own provider is not configured here."""
    allow_shell: bool = False
    sandbox: Sandbox = "required"
    """``off``: commands run without a sandbox."""
    allow_python: bool = False
    dry_run: bool = False
    stream: bool = False
    verbose: bool = False
    use_nix: bool = False
    cache_dir: str | None = None
    plugins: tuple[str, ...] | None = None
    """Plugins that may be loaded; ``None``: all that are installed."""
    budget: BudgetSettings = BudgetSettings()
    workers: Workers = Workers()
    sub_calls: SubCallSettings = SubCallSettings()
    scratchpad: ScratchpadSettings = ScratchpadSettings()
    explore: Explore = Explore()
    context_source: ContextSourceSettings = ContextSourceSettings()
    providers: Mapping[str, ProviderSettings] = attrs.field(factory=dict, hash=False)
    models: Mapping[str, ModelEntry] = attrs.field(factory=dict, hash=False)
