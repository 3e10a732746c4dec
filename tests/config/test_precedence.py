"""Which source wins: option, environment, project's file, user's file, default."""

import typing
from decimal import Decimal
from itertools import pairwise

import pytest

from sunwell.config import load_config
from sunwell.config.resolution import resolve
from sunwell.config.schema import ModelEntry, ProviderSettings
from sunwell.config.setting import dotted
from sunwell.config.shape import leaves, named_table
from sunwell.context.kinds import Address, Count, Lines, Natural, Seconds, Secret, Share, Text
from sunwell.errors import ConfigurationError

VALUES = [
    pytest.param("effort", '"low"', "high", "effort", ("low", "high"), id="choice"),
    pytest.param("system_prompt", '"a"', "b", "system_prompt", ("a", "b"), id="text"),
    pytest.param("delegation_threshold_tokens", "1", "2", "delegation_threshold_tokens", (1, 2), id="number"),
    pytest.param("budget.usd", "0.5", "1.25", "budget_usd", (Decimal("0.5"), Decimal("1.25")), id="money"),
    pytest.param("budget.seconds", '"30m"', "90s", "budget_seconds", (1800, 90), id="time"),
    pytest.param("tools", '["read_file"]', "a, b", "tools", (("read_file",), ("a", "b")), id="list"),
    pytest.param("allow_shell", "true", "false", "allow_shell", (True, False), id="switch-off"),
    pytest.param("sandbox", '"off"', "required", "sandbox", ("off", "required"), id="sandbox"),
    pytest.param("allow_network", "true", "false", "allow_network", (True, False), id="network"),
    pytest.param("allow_python", "true", "false", "allow_python", (True, False), id="python"),
    pytest.param(
        "allow_write", '[".envrc"]', "a\nb,c", "allow_write", ((".envrc",), ("a", "b,c")), id="lines"
    ),
    pytest.param("ignore", '["data/"]', "a\nb,c", "ignore", (("data/",), ("a", "b,c")), id="patterns"),
    pytest.param("allow_shell", "false", "true", "allow_shell", (False, True), id="switch-on"),
    pytest.param("stream", "true", "off", "stream", (True, False), id="switch-by-word"),
    pytest.param("delegate", "true", "0", "enable_delegation", (True, False), id="tri-state-off"),
    pytest.param("delegate", "false", "1", "enable_delegation", (False, True), id="tri-state-on"),
    pytest.param("model", '"opus"', "haiku", "model_model", ("opus", "haiku"), id="model"),
]


def value_of(values, flat):
    """Return the value that the flat name *flat* stands for."""
    if flat == "model_model":
        return values.model.model
    if flat.startswith("budget_"):
        return getattr(values.run.budget, flat.removeprefix("budget_"))
    return getattr(values.run, flat)


@pytest.mark.parametrize(("key", "written", "variable", "flat", "expected"), VALUES)
def test_each_source_beats_the_ones_below(project, key, written, variable, flat, expected):
    """User's file, project's file, environment and option beat one another, whatever the value is."""
    in_file, in_variable = expected
    name = "SUNWELL_" + flat.removesuffix("_model").upper()
    option = flat.removesuffix("_model")
    default = value_of(project.load().values, flat)
    project.write_user(f"{key} = {written}\n")
    assert value_of(project.load().values, flat) == in_file
    assert value_of(project.load({name: variable}).values, flat) == in_variable
    assert value_of(project.load({name: variable}, **{option: in_file}).values, flat) == in_file
    assert value_of(project.load({name: ""}).values, flat) == in_file
    assert value_of(project.load({name: variable}, **{option: None}).values, flat) == in_variable
    project.write_user("")
    project.write(f"{key} = {written}\n")
    assert value_of(project.load().values, flat) == in_file
    assert value_of(project.load({name: variable}).values, flat) == in_variable
    (project.folder / "sunwell.toml").unlink()
    assert value_of(project.load().values, flat) == default


OTHER_NAMES = {
    "threshold": "delegation_threshold_tokens",
    "max_tokens": "max_output_tokens",
    "max_usd": "budget.usd",
    "max_turns": "budget.turns",
    "max_calls": "budget.calls",
    "max_seconds": "budget.seconds",
    "max_depth": "workers.max_depth",
    "max_recursion_depth": "workers.max_depth",
    "max_concurrent": "workers.max_concurrent",
    "max_parallel": "workers.max_concurrent",
    "max_parallel_jobs": "workers.max_concurrent",
    "worker_seconds": "workers.timeout_seconds",
    "max_sub_calls": "sub_calls.max_per_turn",
    "max_explore": "explore.max_steps",
    "max_explore_steps": "explore.max_steps",
    "max_commit_cycles": "explore.max_commit_cycles",
    "rlm.token_budget": "budget.tokens",
    "rlm.max_depth": "workers.max_depth",
    "workers.timeout": "workers.timeout_seconds",
    "budget.wall_time": "budget.seconds",
    "orchestrator.max_iterations": "orchestrator.max_turns",
    "orchestrator.max_wall_time": "orchestrator.max_seconds",
    "orchestrator.max_tokens": "orchestrator.max_output_tokens",
    "subagent.max_tokens": "delegation_model.max_output_tokens",
    "subagent.max_concurrent": "workers.max_concurrent",
    "subagent.timeout": "workers.timeout_seconds",
}


@pytest.mark.parametrize(("name", "key"), OTHER_NAMES.items())
def test_each_other_name_means_what_it_has_always_meant(project, name, key):
    """In a file, and as a variable and an option if it has one part."""
    *table, last = name.split(".")
    project.write_user(f"[{table[0]}]\n{last} = 3\n" if table else f"{last} = 3\n")
    loaded = [project.load()]
    if not table:
        project.write_user("")
        loaded += [project.load({f"SUNWELL_{last.upper()}": "3"}), project.load(**{last: 3})]
    assert [[dotted(path) for path in one.settings] for one in loaded] == [[key]] * len(loaded)


SWITCHES = {
    "delegation-follows-its-model": ('delegation_model = "haiku"\n', (True, False, None)),
    "delegation-off": ('delegate = false\ndelegation_model = "haiku"\n', (False, False, None)),
    "orchestrator-follows-its-model": ('orchestrator = "opus"\n', (False, True, None)),
    "orchestrator-off": ('[orchestrator]\nmodel = "opus"\nenabled = false\n', (False, False, None)),
    "orchestrator-before-delegation": (
        'delegation_model = "haiku"\n[orchestrator]\nmodel = "opus"\n',
        (False, True, None),
    ),
    "sub-calls": ("[sub_calls]\nenabled = true\n", (False, False, "rlm")),
    "orchestrator-before-sub-calls": (
        '[orchestrator]\nmodel = "opus"\n[sub_calls]\nenabled = true\n',
        (False, True, None),
    ),
}


@pytest.mark.parametrize(("users", "expected"), SWITCHES.values(), ids=SWITCHES)
def test_a_switch_that_is_not_set_follows_the_other_settings(project, users, expected):
    """One that is set counts, whatever else is named; an orchestrator has tools of its own."""
    project.write_user(users)
    run = resolve(project.load().values, project.environ(ANTHROPIC_API_KEY="k")).options
    assert (run.enable_delegation, run.orchestrate, run.delegation_tools) == expected


@pytest.mark.parametrize("upper", [True, False])
def test_a_project_may_switch_off_what_the_user_switched_on(project, upper):
    """Booleans have three states: a written ``false`` is not the same as nothing."""
    project.write_user(f"stream = {str(not upper).lower()}\n")
    project.write(f"stream = {str(upper).lower()}\n")
    assert project.load().values.run.stream is upper


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("sunwell.toml", 'model = "sonnet"\n[budget]\nusd = 2\n'),
        ("sunwell.yaml", "model: sonnet\nbudget:\n  usd: 2\n"),
        ("pyproject.toml", '[tool.sunwell]\nmodel = "sonnet"\n[tool.sunwell.budget]\nusd = 2\n'),
    ],
)
def test_one_meaning_in_every_file(project, name, text):
    """TOML, YAML and the project's own table have the same keys."""
    project.write(text, name)
    values = project.load().values
    assert (values.model.model, values.run.budget.usd) == ("sonnet", Decimal(2))
    inner = project.folder / "src" / "deep"
    inner.mkdir(parents=True)
    assert load_config(workspace=inner, environ=project.environ(), trust_config=True) == values


def test_two_files_in_one_folder_are_refused(project):
    """Which of them holds would be a guess."""
    project.write("", "sunwell.toml")
    project.write("", "sunwell.yaml")
    with pytest.raises(ConfigurationError, match=r"sunwell\.toml and sunwell\.yaml"):
        project.load()


def test_nothing_above_the_repository_is_read(project):
    """A file outside of the repository is not the project's."""
    (project.folder.parent / "sunwell.toml").write_text('model = "opus"\n')
    assert project.load().values.model.model is None


def test_a_named_file_takes_the_place_of_the_projects(project):
    """``--config`` reads that file, and the user's own below it."""
    project.write('model = "opus"\n')
    project.write_user('effort = "low"\n')
    other = project.write('model = "haiku"\n', "other.toml")
    values = project.load(config=other).values
    assert (values.model.model, values.run.effort) == ("haiku", "low")


def test_a_model_takes_its_provider_with_it(project):
    """A model that is named higher up is not asked at the provider of the one below."""
    project.write('[model]\nprovider = "xai"\nmodel = "grok-3"\neffort = "high"\n')
    role = project.load(model="haiku").values.model
    assert (role.provider, role.model, role.effort) == (None, "haiku", "high")
    assert project.load(model_provider="groq").values.model.provider == "groq"


RLM = {
    "RLM_MODEL": ("one", lambda v: v.model.model, "one"),
    "RLM_CHILD_MODEL": ("two", lambda v: v.delegation_model.model, "two"),
    "RLM_MAX_EXPLORE_STEPS": ("7", lambda v: v.run.max_explore, 7),
    "RLM_MAX_COMMIT_CYCLES": ("8", lambda v: v.run.max_commit_cycles, 8),
    "RLM_MAX_RECURSION_DEPTH": ("9", lambda v: v.run.max_depth, 9),
    "RLM_MAX_PARALLEL_JOBS": ("10", lambda v: v.run.max_concurrent, 10),
    "RLM_CACHE_DIR": ("/tmp/c", lambda v: v.run.cache_dir, "/tmp/c"),
    "RLM_USE_NIX": ("true", lambda v: v.use_nix, True),
    "RLM_VERBOSE": ("true", lambda v: v.verbose, True),
    "RLM_SUB_CALLS_MAX_PER_TURN": ("3", lambda v: v.run.sub_calls_max_per_turn, 3),
}


@pytest.mark.parametrize("name", RLM)
def test_the_variables_of_the_seed_are_read(project, name):
    """Each stands for its setting, below the variable of Sunwell's own name."""
    text, read, expected = RLM[name]
    default = read(project.load().values)
    assert default != expected
    assert read(project.load({name: text}).values) == expected


def test_defaults_are_the_seeds(project):
    """20 steps, 5 commits, depth 1, 4 jobs; no child model."""
    values = project.load().values
    assert (values.run.max_explore, values.run.max_commit_cycles) == (20, 5)
    assert (values.run.max_depth, values.run.max_concurrent) == (1, 4)
    assert (values.delegation_model.model, values.use_nix, values.verbose) == (None, False, False)


def test_the_seeds_loading_function(project):
    """Overrides beat variables; ``None`` leaves the variable; so the seed's own six tests have it."""
    environ = project.environ(RLM_CHILD_MODEL="env-model")

    def child(**overrides):
        read = load_config(workspace=project.folder, environ=environ, **overrides)
        return read.delegation_model.model

    assert child(child_model="cli-model") == "cli-model"
    assert child(child_model=None) == "env-model"
    assert child() == "env-model"
    assert load_config(workspace=project.folder, environ=environ, max_explore_steps=3).run.max_explore == 3
    both = environ | {"SUNWELL_DELEGATION_MODEL": "sunwell-model"}
    assert load_config(workspace=project.folder, environ=both).delegation_model.model == "sunwell-model"


TWO_OF_A_KIND = {
    Text: (('"one"', "one", "one"), ('"two"', "two", "two")),
    str: (('"one"', "one", "one"), ('"two"', "two", "two")),
    Secret: (('"one"', "one", "one"), ('"two"', "two", "two")),
    Address: (('"http://a.test"', "", "http://a.test"), ('"http://b.test"', "", "http://b.test")),
    bool: (("true", "true", True), ("false", "false", False)),
    Count: (("3", "3", 3), ("5", "5", 5)),
    Natural: (("0", "0", 0), ("5", "5", 5)),
    Share: (("0.25", "0.25", 0.25), ("1", "1", 1.0)),
    Seconds: (('"2m"', "2m", 120.0), ("7", "7", 7.0)),
    Decimal: (("0", "0", Decimal(0)), ("1.5", "1.5", Decimal("1.5"))),
    Lines: (('["a, b"]', "a, b", ("a, b",)), ('["b", "c"]', "b\nc", ("b", "c"))),
    tuple[Text, ...]: (('["a"]', "a", ("a",)), ('["b", "c"]', "b, c", ("b", "c"))),
}
"""For each kind of value two, as a file and as a variable writes them, and what they mean."""
NAMED = [
    (path, kind)
    for table, name in ((ProviderSettings, "providers"), (ModelEntry, "models"))
    for path, kind in leaves(table, (name, "lab"))
    if named_table(kind) is None
]


def named(one):
    """Return the name of a case by its path alone."""
    return dotted(one) if isinstance(one, tuple) and one and isinstance(one[0], str) else ""


def two_of(kind):
    """Return two values of *kind*, both of which can be set."""
    present = next((one for one in typing.get_args(kind) if one is not type(None)), kind)
    if type(None) not in typing.get_args(kind):
        present = kind
    if typing.get_origin(present) is typing.Literal:
        return [(f'"{one}"', one, one) for one in typing.get_args(present)[:2]]
    return TWO_OF_A_KIND[present]


def put(project, level, path, written):
    """Set one value at a level; return the variables and the options that this takes."""
    *tables, key = path
    text = (f"[{dotted(tuple(tables))}]\n" if tables else "") + f"{key} = {written[0]}\n"
    if level == "user":
        project.write_user(text)
    elif level == "project":
        project.write(text)
    elif level == "environment":
        return {"SUNWELL_" + "_".join(path).upper(): written[1]}, {}
    else:
        return {}, nested(path, written[2])
    return {}, {}


def nested(path, value):
    """Return keyword arguments that set *path*."""
    if len(path) > 1 and path[0] in ("providers", "models"):
        for name in reversed(path[1:]):
            value = {name: value}
        return {path[0]: value}
    return {"_".join(path): value}


@pytest.mark.parametrize(("path", "kind"), [*leaves(), *NAMED], ids=named)
def test_every_setting_obeys_the_order_of_the_sources(project, path, kind):
    """Whichever way round two sources have it: the higher one holds, and is named as the origin."""
    levels = ["user", "project", "environment", "option"]
    if path == ("safe",):
        levels = ["user"]  # ``test_file_owners.py`` holds that nobody else may set it
    if path[0] in ("providers", "models"):
        levels.remove("environment")  # its name is the user's own: no variable can be called so
    for lower, higher in pairwise(levels):
        for one, other in (two_of(kind), two_of(kind)[::-1]):
            project.write_user("")
            project.write("")
            (first, over), (second, options) = (
                put(project, level, path, written) for level, written in ((lower, one), (higher, other))
            )
            loaded = project.load({**first, **second}, **{**over, **options})
            assert loaded.settings[path].value == other[2], (lower, higher)
            assert type(loaded.settings[path].value) is type(other[2])
            rank = loaded.settings[path].origin.rank
            assert rank == 1 + ["user", "project", "environment", "option"].index(higher)
