"""One schema: an option has one name and one meaning wherever it is set, and is recorded as it was."""

from decimal import Decimal
from pathlib import Path
from typing import Any, Literal, get_args, get_origin

import attrs
import pytest

from sunwell import RunOptions
from sunwell.agent.lifecycle.model_roles import Roles
from sunwell.agent.lifecycle.run_settings import options_from, settings_of
from sunwell.agent.loop import LoopConfig
from sunwell.agent.run.loop_config import NOT_OF_A_LOOP
from sunwell.cli.run_command import run
from sunwell.cli.shared_options import typed
from sunwell.config.resolution import resolve
from sunwell.config.sources import Sources
from sunwell.context.kinds import Count, Lines, Natural, Seconds, Share, Text, without_none
from sunwell.context.options import MODEL_ROLES, OptionSpec, option_specs
from sunwell.core.task import Budget
from sunwell.errors import ConfigurationError
from sunwell.testing import ScriptedModel

SAMPLES: dict[Any, tuple[Any, str]] = {
    Count: (7, "7"),
    Natural: (7, "7"),
    Share: (0.25, "0.25"),
    Seconds: (90.0, '"90s"'),
    Decimal: (Decimal("0.7"), "0.7"),
    Text: ("haiku", '"haiku"'),
    str: ("haiku", '"haiku"'),
    tuple[Text, ...]: (("read_file",), '["read_file"]'),
    Lines: (("a, b",), '["a, b"]'),
}
"""A value of each kind that is nobody's default, and how a file writes it."""
SPECS = [pytest.param(spec, id=name) for name, spec in option_specs().items()]
WITH_MODELS = {"model": "opus", "delegation_model": "haiku"}


def sample(spec: OptionSpec) -> tuple[Any, str]:
    """Return a value other than the default, and how a file writes it."""
    kind = without_none(spec.kind)
    if kind is bool:
        value = spec.default is False and not spec.is_open  # a switch that follows from a model is set to off
        return value, str(value).lower()
    if get_origin(kind) is Literal:
        word = next(word for word in get_args(kind) if word != spec.default)
        return word, f'"{word}"'
    return SAMPLES[kind]


def value_in(options: RunOptions, spec: OptionSpec) -> Any:
    """Return the value of the option in *options*."""
    return getattr(options.budget, spec.key) if spec.section == "budget" else getattr(options, spec.name)


def resolved(folder: Path, environ: dict[str, str] | None = None, **keywords: Any) -> RunOptions:
    """Return the options of a run with the settings in *folder*, in *environ* and in *keywords*."""
    environ = {"SUNWELL_HOME": str(folder / "home"), **(environ or {})}
    given = WITH_MODELS | keywords if (folder / "sunwell.toml").exists() or environ or keywords else keywords
    loaded = Sources(folder, None, environ, trust_config=True).load(
        **{name: value for name, value in given.items() if not _is_set(name, folder, environ)}
    )
    return resolve(loaded.values, environ).options


def _is_set(name: str, folder: Path, environ: dict[str, str]) -> bool:
    file = folder / "sunwell.toml"
    written = file.exists() and file.read_text().startswith(f"{name} =")
    return written or f"SUNWELL_{name.upper()}" in environ


@pytest.mark.parametrize("spec", SPECS)
@pytest.mark.parametrize("way", ["key", "name", "variable", "keyword", "command line"])
def test_an_option_can_be_set_in_every_way(tmp_path: Path, spec: OptionSpec, way: str) -> None:
    """By its key or its name in a file, as a variable, as a keyword and on the command line."""
    value, written = sample(spec)
    if way in ("key", "name"):
        path = spec.path if way == "key" else (spec.name,)
        table = f"[{path[0]}]\n" if len(path) > 1 else ""
        (tmp_path / "sunwell.toml").write_text(f"{table}{path[-1]} = {written}\n")
        options = resolved(tmp_path)
    elif way == "variable":
        text = written.strip('[]"')
        options = resolved(tmp_path, {f"SUNWELL_{spec.name.upper()}": text})
    elif way == "keyword":
        options = resolved(tmp_path, **{spec.name: value})
    else:
        option = f"--{spec.name.replace('_', '-')}"
        words = [option, written.strip('[]"')]
        if without_none(spec.kind) is bool:
            words = [option if value else f"--no-{option[2:]}"]
        context = run.make_context("run", ["Do it", *words])
        options = resolved(tmp_path, **typed(context.params))
    assert value_in(options, spec) == value


@pytest.mark.parametrize("spec", SPECS)
def test_an_option_is_recorded_and_read_again(spec: OptionSpec) -> None:
    """As JSON values, from which the same options come back."""
    value, _ = sample(spec)
    options = (
        RunOptions(budget=Budget(**{spec.key: value}))
        if spec.section == "budget"
        else RunOptions(**{spec.name: value})
    )
    model = ScriptedModel("any", [])
    settings = settings_of(options, Roles(model, None, None), "")
    assert options_from(settings) == options
    assert options != RunOptions() or value == spec.default


@pytest.mark.parametrize(
    ("chosen", "turns", "seconds"),
    [
        pytest.param({}, 50, None, id="alone"),
        pytest.param({"budget": Budget(turns=3)}, 3, None, id="named"),
        pytest.param({"delegation_tools": "rlm"}, None, None, id="hands-out"),
        pytest.param({"split": True}, None, None, id="splits"),
        pytest.param({"orchestrate": True}, None, 1800.0, id="orchestrates"),
        pytest.param({"orchestrate": True, "budget": Budget(seconds=9)}, None, 9, id="orchestrates-named"),
    ],
)
def test_a_run_has_default_ceilings(chosen: dict[str, Any], turns: int | None, seconds: float | None) -> None:
    """Of turns if one model works alone, and of time if it hands out all work."""
    ceilings = LoopConfig(**chosen).ceilings
    assert (ceilings.turns, ceilings.seconds) == (turns, seconds)


def test_an_older_record_means_what_it_meant() -> None:
    """Before 2026-11-28 the options of runs that hand work out stood in tables of their own."""
    sub_calls = {
        "max_depth": 1,
        "max_sub_calls_per_turn": 2,
        "max_total_tokens": 3,
        "max_cost_per_session": "0.04",
        "budget_inheritance": 0.05,
    }
    orchestration = {
        "max_iterations": 6,
        "confidence_threshold": 0.07,
        "share": 0.08,
        "max_entries": 9,
        "persist_decisions": False,
        "sub_calls": sub_calls,
        "earlier_runs": ["10"],
    }
    budget = {"usd": "0.11", "tokens": 12, "calls": 13, "turns": 14, "seconds": 15.0}
    options = options_from({"options": {"budget": budget, "orchestration": orchestration}})
    assert options == RunOptions(
        budget=Budget(Decimal("0.11"), 12, 13, 14, 15.0),
        orchestrator_max_turns=6,
        orchestrator_confidence_threshold=0.07,
        worker_share=0.08,
        scratchpad_max_entries=9,
        scratchpad_persist_decisions=False,
        earlier_runs=("10",),
        sub_calls_max_depth=1,
        sub_calls_max_per_turn=2,
        sub_calls_max_total_tokens=3,
        sub_calls_max_cost_per_session=Decimal("0.04"),
        sub_calls_budget_inheritance=0.05,
    )


def test_a_loop_has_the_options_of_the_run() -> None:
    """All but those that are given to the loop itself, to its executor or to its run."""
    chosen = {spec.name: sample(spec)[0] for spec in option_specs().values() if spec.section != "budget"}
    options = RunOptions(budget=Budget(usd=1), estimator=len, **chosen)
    config = LoopConfig.of(options)
    for field in attrs.fields(RunOptions):
        expected = field.default if field.name in NOT_OF_A_LOOP else getattr(options, field.name)
        assert getattr(config, field.name) == expected, field.name


@pytest.mark.parametrize("name", [*MODEL_ROLES, "system_prompt"])
def test_a_loop_config_refuses_what_a_loop_is_given_otherwise(name: str) -> None:
    """An option that would be ignored is an error."""
    with pytest.raises(ConfigurationError, match=f"does not take {name}: give it to the AgentLoop"):
        LoopConfig(**{name: "haiku"})
