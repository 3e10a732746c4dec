"""The configuration examples of the documents that Sunwell grew from load as they stand."""

import typing
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest

from sunwell.config.resolution import Resolved, resolve
from sunwell.config.schema import ROLES
from sunwell.config.setting import dotted
from sunwell.config.shape import leaves
from sunwell.config.sources import Loaded, Sources
from sunwell.context.kinds import Count, Lines, Natural, Seconds, Share, Text

SEEDS = Path(__file__).parent / "seeds"
KEYS = {f"{name}_API_KEY": f"key-of-{name.lower()}" for name in ("OPENAI", "XAI", "ANTHROPIC", "MOONSHOT")}


def loaded(name: str, tmp_path: Path) -> Loaded:
    environ = {"SUNWELL_HOME": str(tmp_path), **KEYS}
    return Sources(tmp_path, SEEDS / name, environ, trust_config=True).load()


def resolved(name: str, tmp_path: Path) -> Resolved:
    return resolve(loaded(name, tmp_path).values, KEYS)


def model(made: Resolved, role: str) -> Any:
    return made.registry.get(made.names[role])


@pytest.mark.parametrize(
    ("name", "parent", "child"),
    [
        pytest.param("003-openai-to-xai.yaml", ("openai", "gpt-4o"), ("xai", "grok-3"), id="openai-to-xai"),
        pytest.param("003-xai-to-openai.yaml", ("xai", "grok-2"), ("openai", "o3"), id="xai-to-openai"),
        pytest.param(
            "003-cross-provider.yaml", ("anthropic", "claude-sonnet-4"), ("openai", "o3"), id="to-openai"
        ),
        pytest.param("003-mix.yaml", ("openai", "gpt-4o"), ("xai", "grok-3"), id="mix"),
        pytest.param("003-both-compatible.yaml", ("openai", "gpt-4o"), ("xai", "grok-3"), id="both"),
        pytest.param(
            "003-custom-prices.yaml",
            ("anthropic", "claude-sonnet-4"),
            ("delegation-model-openai", "custom-reasoning-model"),
            id="custom",
        ),
        pytest.param(
            "003-same-provider.yaml",
            ("anthropic", "claude-sonnet-4"),
            ("anthropic", "claude-3-5-sonnet"),
            id="same-provider",
        ),
    ],
)
def test_parent_and_child_are_asked_where_the_example_says(name, parent, child, tmp_path):
    """A subagent goes to its own provider with that provider's key; the parent's stays the parent's."""
    made = resolved(name, tmp_path)
    got = [(model(made, role).provider, model(made, role).model_id) for role in ("model", "delegation_model")]
    assert got == [parent, child]
    for role in ("model", "delegation_model"):
        provider = model(made, role).provider
        expected = KEYS.get(f"{provider.upper()}_API_KEY")
        assert model(made, role).connection.api_key == expected


def test_openai_itself_is_asked_at_its_own_address(tmp_path):
    """``preset: openai`` under a parent that is asked elsewhere goes back to OpenAI's own host."""
    made = resolved("003-xai-to-openai.yaml", tmp_path)
    assert model(made, "model").connection.url == "https://api.x.ai/v1"
    assert model(made, "delegation_model").connection.url == "https://api.openai.com/v1"


@pytest.mark.parametrize(
    ("name", "tokens", "effort", "thinking"),
    [
        pytest.param("003-basic.yaml", 32000, "high", None, id="effort"),
        pytest.param("003-mix.yaml", 25000, "high", None, id="mix"),
        pytest.param("003-same-provider.yaml", 20000, None, 15000, id="thinking"),
        pytest.param("003-both-compatible.yaml", None, None, None, id="nothing-set"),
    ],
)
def test_only_what_is_set_overrides(name, tokens, effort, thinking, tmp_path):
    """The settings of the subagent are its own; what it does not set stays open."""
    tuning = model(resolved(name, tmp_path), "delegation_model").tuning
    assert (tuning.max_output_tokens, tuning.effort, tuning.thinking_tokens) == (tokens, effort, thinking)


def test_a_custom_provider_has_its_prices_and_window(tmp_path):
    """Prices stand in dollars for one token; no key goes to an address that names none."""
    made = resolved("003-custom-prices.yaml", tmp_path)
    child = model(made, "delegation_model")
    price = made.prices.price(child)
    assert price is not None
    assert (price.rates.input_usd, price.rates.output_usd) == (Decimal(50), Decimal(150))
    assert (price.context_window, child.context_window) == (64000, 64000)
    assert child.connection.url == "https://api.custom-ai.com/v1"
    assert child.connection.api_key is None


def test_without_a_subagent_there_is_only_the_parent(tmp_path):
    """No section, no delegation model: absent is not empty."""
    made = resolved("003-no-subagent.yaml", tmp_path)
    assert set(made.names) == {"model"}
    assert (made.options.enable_delegation, made.options.delegation_model) == (False, None)


def test_the_orchestrator_example_is_understood_whole(tmp_path):
    """Times with units, a model id behind its maker's name, limits of orchestrator, workers, scratchpad."""
    values = loaded("004.yaml", tmp_path).values
    assert values.orchestrator.model == "anthropic/claude-sonnet-4"
    assert values.delegation_model.model == "moonshotai/kimi-k2"
    options = resolve(values, KEYS).options
    assert (options.max_concurrent, options.worker_timeout_seconds) == (5, 300)
    assert (options.orchestrate, options.smart_model) == (True, "anthropic/claude-sonnet-4")
    assert (options.delegation_model, options.orchestrator_max_seconds) == ("moonshotai/kimi-k2", 1800)
    assert (options.orchestrator_max_turns, options.orchestrator_confidence_threshold) == (20, 0.9)
    assert (options.scratchpad_max_entries, options.scratchpad_persist_decisions) == (1000, True)


def test_the_sub_call_example_is_understood_whole(tmp_path):
    """Depth, token budget and the limits of sub-calls; the context source keeps its key to itself."""
    found = loaded("002.toml", tmp_path)
    values = found.values
    assert (values.run.max_depth, values.run.budget.tokens) == (3, 50000)
    options = resolve(values, KEYS).options
    assert (options.delegation_tools, options.max_depth, options.orchestrate) == ("rlm", 3, False)
    limits = options.sub_call_limits
    assert limits.budget_inheritance == 0.5
    assert (limits.max_sub_calls_per_turn, limits.max_cost_per_session) == (5, Decimal("1.0"))
    source = values.context["snipara"]
    assert (source.api_key, source.project_slug, source.auto_context) == ("rlm_...", "my-project", True)


SHOWN_ELSEWHERE = {("verbose",), ("use_nix",), ("gateway",), ("safe",)}
"""How a run is shown, what is not carried over and said to be, and what other tests hold."""
A_VALUE = {
    Count: 7,
    Natural: 7,
    Share: 0.25,
    Seconds: 7.0,
    Decimal: Decimal("0.7"),
    bool: True,
    tuple[Text, ...]: ("x",),
    Lines: ("x",),
    Text: "haiku",
    str: "haiku",
}
SETTINGS = [
    pytest.param(path, kind, id=dotted(path)) for path, kind in leaves() if path not in SHOWN_ELSEWHERE
]


def given_to_a_run(tmp_path: Path, **options: Any) -> str:
    """Return all that a run is given under *options*, in words."""
    sources = Sources(tmp_path, None, {"SUNWELL_HOME": str(tmp_path)})
    made = resolve(sources.load(**options).values, KEYS)
    models = [(role, model(made, role).connection, model(made, role).tuning) for role in made.names]
    return repr((made.options, models, made.tool_plugins.offered))


@pytest.mark.parametrize(("path", "kind"), SETTINGS)
def test_every_other_setting_comes_to_something(path, kind, tmp_path):
    """What a run is given is different where it is set."""
    present = typing.get_args(kind)[0] if type(None) in typing.get_args(kind) else kind
    is_choice = typing.get_origin(present) is typing.Literal
    value = typing.get_args(present)[1] if is_choice else A_VALUE[present]
    base = {f"{path[0]}_model": "opus"} if len(path) == 2 and path[0] in ROLES else {}
    on_anyway = (
        "scratchpad.persist_decisions",
        "orchestrator.enabled",
        "explore.answer_memory",
        "workers.lens_gate",
    )
    if dotted(path) in (*on_anyway, "workspace_advice", "scout", "lens_store"):
        value = False
    if path[-1] == "provider":
        value = "xai"
    assert given_to_a_run(tmp_path, **{**base, "_".join(path): value}) != given_to_a_run(tmp_path, **base)


@pytest.mark.parametrize("file", sorted(SEEDS.iterdir()), ids=lambda file: file.name)
def test_every_example_loads(file, tmp_path):
    """All of them, and their models' names resolve."""
    made = resolve(loaded(file.name, tmp_path).values, KEYS)
    for name in made.names.values():
        assert made.registry.get(name).name
