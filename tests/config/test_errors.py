"""What is wrong in a configuration is said once, in one sentence, before anything is asked."""

import os
import string

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sunwell.config.resolution import resolve
from sunwell.config.sources import Sources
from sunwell.errors import ConfigurationError, SunwellError

CASES = [
    pytest.param(
        "sunwell.toml", "modle = 'x'", r":1: modle is not a setting; did you mean model\?", id="nearest"
    ),
    pytest.param(
        "sunwell.toml", "\n[budget]\nusdd = 1", r":3: budget\.usdd .* did you mean usd\?", id="nested"
    ),
    pytest.param("sunwell.toml", "[budget]\nusd = nan", "usd is nan: it must be an amount", id="nan"),
    pytest.param("sunwell.toml", "[budget]\nusd = -1", "usd is -1: it must be an amount", id="negative"),
    pytest.param("sunwell.toml", "[budget]\ntokens = 1.5", "a whole number", id="fraction"),
    pytest.param(
        "sunwell.toml", "[budget]\ntokens = true", "tokens is true: .*whole number", id="true-is-no-1"
    ),
    pytest.param("sunwell.toml", "stream = 1", "stream is 1: it must be true or false", id="1-is-not-true"),
    pytest.param("sunwell.toml", "stream = 'yes'", "true or false", id="text-is-no-switch"),
    pytest.param(
        "sunwell.toml", "tools = 'read'", "tools is 'read': it must be a list", id="text-is-no-list"
    ),
    pytest.param("sunwell.toml", "model = ''", "model is '': it must be text", id="empty"),
    pytest.param("sunwell.toml", "budget = 3", "budget is 3: it must be a table", id="no-table"),
    pytest.param("sunwell.toml", "effort = 'huge'", "one of none, minimal, low, medium", id="choice"),
    pytest.param("sunwell.toml", "[budget]\nseconds = '5 parsecs'", "30m", id="unit"),
    pytest.param("sunwell.toml", "a = 1\na = 2", "not valid TOML", id="doubled-toml"),
    pytest.param(
        "sunwell.yaml",
        "workers:\n  max_depth: 1\nmax_depth: 2",
        ":3: max_depth is set already, as workers.max_depth: keep one",
        id="two-spellings",
    ),
    pytest.param(
        "sunwell.toml",
        "delegation_tools = 'delegate'\n[sub_calls]\nenabled = false",
        ":3: sub_calls.enabled is set already, as delegation_tools: keep one",
        id="option-and-switch",
    ),
    pytest.param(
        "sunwell.toml", '"a\\nb\\u001b[31m" = 1', r':1?.*"a\\nb\\x1b\[31m" is not a setting', id="key"
    ),
    pytest.param("sunwell.toml", "[budget]\ntokens = " + "9" * 6000, "not valid TOML", id="digits-toml"),
    pytest.param(
        "sunwell.yaml",
        "max_depth: 0x" + "f" * 9000,
        "a number of very many digits: it must be",
        id="digits-yaml",
    ),
    pytest.param(
        "sunwell.yaml", "max_depth: " + ":".join(["59"] * 3000), "max_depth is '59:59:59", id="base-60"
    ),
    pytest.param("sunwell.toml", "[budget]\nusd = 1e400", "usd is inf: it must be an amount", id="infinite"),
    pytest.param(
        "sunwell.toml",
        "[providers.x]\nbase_url = 'lab.example'",
        "'lab.example': it must be an address",
        id="address",
    ),
    pytest.param(
        "sunwell.toml",
        '[providers.x.headers]\nA = "b\\r\\nEvil: 1"',
        ":1: .*a table of texts",
        id="header-value",
    ),
    pytest.param("sunwell.toml", "[providers.x.headers]\n'A:' = 'b'", "a table of texts", id="header-name"),
    pytest.param("sunwell.toml", "a = [" * 500, "TOML|nested deeper", id="deep-toml"),
    pytest.param("sunwell.toml", "[" + ".".join("a" * 40) + "]", "nested deeper", id="deep-tables"),
    pytest.param("sunwell.toml", "x = '" + "y" * 2_000_000, "longer than", id="huge"),
    pytest.param("sunwell.yaml", "model: a\nmodel: b", ":2: the key 'model' is used twice", id="doubled"),
    pytest.param("sunwell.yaml", "model: !!python/object/apply:os.system [x]", ":1: the tag", id="tag"),
    pytest.param("sunwell.yaml", "a: &a [x]\nb: [*a, *a]", ":1: anchors", id="anchor"),
    pytest.param("sunwell.yaml", "[" * 3000, ":1: it is nested deeper than 32 levels", id="deep-yaml"),
    pytest.param("sunwell.yaml", "- a\n- b", "a table of settings", id="list"),
    pytest.param("sunwell.yaml", "? [a, b]\n: c", "a key must be text", id="key"),
    pytest.param("sunwell.yaml", "model: 'x", "not valid YAML", id="open-quote"),
    pytest.param("sunwell.yaml", "budget:\n  usd: .nan", ":2: budget.usd is nan", id="yaml-nan"),
    pytest.param("sunwell.yaml", "subagent:\n  openai:\n    prest: x", "did you mean preset", id="block"),
    pytest.param(
        "sunwell.yaml", "subagent:\n  openai:\n    preset: x", ":3: .*one of anthropic", id="preset"
    ),
    pytest.param("sunwell.yaml", "subagent:\n  modle: x", ":2: .*did you mean model", id="subagent"),
    pytest.param(
        "sunwell.yaml",
        "subagent:\n  openai:\n    base_url: http://x\n    pricing:\n      m:\n        input: cheap",
        ":6: .*for one token",
        id="price",
    ),
]


@pytest.mark.parametrize(("name", "text", "sentence"), CASES)
def test_an_error_names_the_place_and_what_is_allowed(project, name, text, sentence):
    """File, line where known, key, value, what would be right."""
    file = project.write(text, name)
    with pytest.raises(ConfigurationError, match=sentence) as caught:
        project.load()
    assert str(caught.value).startswith(str(file))
    assert "\n" not in str(caught.value)


def _folder(file):
    file.mkdir()


def _dangling(file):
    file.symlink_to("nowhere.toml")


def _pipe(file):
    os.mkfifo(file)


def _circle(file):
    file.symlink_to(file.name)


@pytest.mark.parametrize("make", [_folder, _dangling, _pipe, _circle])
@pytest.mark.parametrize("name", ["sunwell.toml", "sunwell.yaml", "config.toml", "named.toml"])
def test_what_is_no_file_is_refused_by_name(project, make, name):
    """A folder, a link that leads nowhere, a pipe: said at once, and never taken for no settings at all."""
    project.user.mkdir()
    place = (project.user if name == "config.toml" else project.folder) / name
    make(place)
    named = place if name == "named.toml" else None
    with pytest.raises(ConfigurationError, match=f"{name} is not a file|{name} cannot be read"):
        project.load(config=named)


def test_a_file_that_may_not_be_read_is_refused_by_name(project):
    """With the reason that the system gives."""
    file = project.write('model = "opus"\n')
    file.chmod(0)
    if os.access(file, os.R_OK):
        pytest.skip("this user may read everything")
    with pytest.raises(ConfigurationError, match=r"sunwell\.toml cannot be read: Permission denied"):
        project.load()


@pytest.mark.parametrize(
    ("text", "sentence"),
    [
        pytest.param(
            "[tool.sunwell]\nmodle = 'x'\n", r":2: modle is not a setting; did you mean model\?", id="key"
        ),
        pytest.param("[tool.sunwell.budget]\nusd = 0.5\n[oops\n", "is not valid TOML", id="no-toml"),
        pytest.param("[tool]\nsunwell = 3\n", "tool.sunwell takes a table", id="no-table"),
        pytest.param("[[tool.sunwell]]\nmodel = 'x'\n", "tool.sunwell takes a table", id="list"),
    ],
)
def test_settings_of_a_pyproject_are_never_passed_over(project, text, sentence):
    """A ceiling in a file that cannot be read would otherwise be no ceiling."""
    project.write(text, "pyproject.toml")
    with pytest.raises(ConfigurationError, match=sentence):
        project.load()


@pytest.mark.parametrize("text", ["[oops\n", "tool = 3\n", "[tool.other]\nsunwell = 1\n", "# sunwell\n"])
def test_a_pyproject_without_settings_is_nobodys_trouble(project, text):
    """However broken it is."""
    project.write(text, "pyproject.toml")
    assert project.load().settings == {}


@pytest.mark.parametrize("name", ["sunwell.toml", "sunwell.yaml", "pyproject.toml"])
def test_a_mark_of_the_byte_order_is_no_part_of_the_text(project, name):
    """Editors of other systems put one there."""
    text = {"sunwell.yaml": "model: opus\n", "pyproject.toml": '[tool.sunwell]\nmodel = "opus"\n'}
    project.write("\ufeff" + text.get(name, 'model = "opus"\n'), name)
    assert project.load().values.model.model == "opus"


def test_two_files_of_the_user_are_refused(project):
    """Which of them holds would be a guess."""
    project.write_user("")
    (project.user / "config.yaml").write_text("")
    with pytest.raises(ConfigurationError, match=r"config\.toml and config\.yaml"):
        project.load()


@pytest.mark.parametrize(
    ("variables", "sentence"),
    [
        pytest.param({"SUNWELL_MODLE": "x"}, "did you mean SUNWELL_MODEL", id="unknown"),
        pytest.param(
            {"SUNWELL_STREAM": "perhaps"}, "SUNWELL_STREAM is 'perhaps': it must be true", id="switch"
        ),
        pytest.param({"SUNWELL_BUDGET_USD": "much"}, "SUNWELL_BUDGET_USD is 'much'", id="money"),
        pytest.param({"RLM_MAX_EXPLORE_STEPS": "0"}, "at least 1", id="rlm"),
    ],
)
def test_a_wrong_variable_is_named(project, variables, sentence):
    """The environment is held to the same schema."""
    with pytest.raises(ConfigurationError, match=sentence):
        project.load(variables)


def test_a_wrong_option_is_named(project):
    """So are keyword arguments."""
    with pytest.raises(ConfigurationError, match="option budget_usd is 'x'"):
        project.load(budget_usd="x")
    with pytest.raises(ConfigurationError, match="did you mean model"):
        project.load(modle="x")


@pytest.mark.parametrize(
    "text",
    [
        '[providers.lab]\napi_key = "sk-very-secret"\n',
        '[providers.lab]\nheaders = ["sk-very-secret"]\n',
        '[providers.lab]\nneeds_key = "sk-very-secret"\n',
        '[context.snipara]\napi_key = ["sk-very-secret"]\n',
    ],
)
def test_a_secret_in_the_wrong_place_is_not_repeated(project, text):
    """What looks like a key does not get into an error."""
    project.write(text)
    with pytest.raises(ConfigurationError) as caught:
        project.load()
    assert "sk-very-secret" not in str(caught.value)


def one_sentence(error: Exception) -> bool:
    """Whether an error is one line of a length that can be read."""
    return "\n" not in str(error) and len(str(error)) < 3000


KEYS = st.sampled_from(
    ["model", "smart_model", "budget", "usd", "providers", "models", "rlm", "subagent", "openai", "pricing",
     "headers", "tools", "stream", "base_url", "preset", "timeout", "max_depth",
     "workers", "x", "", "é", "a.b"]
)  # fmt: skip
SCALARS = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(-5, 10**20),
    st.floats(),
    st.sampled_from(["", "5m", "opus", "x", "\x00"]),
)
TREES = st.recursive(
    SCALARS, lambda kids: st.lists(kids, max_size=3) | st.dictionaries(KEYS, kids, max_size=4), max_leaves=20
)


@settings(max_examples=50)
@given(st.dictionaries(KEYS, TREES, max_size=5))
def test_any_tree_loads_or_is_refused_in_one_sentence(tmp_path_factory, tree):
    """Whatever stands where: a configuration, or one error of the house."""
    folder = tmp_path_factory.getbasetemp()
    sources = Sources(folder / "nowhere", None, {"SUNWELL_HOME": str(folder / "none")}, trust_config=True)
    try:
        resolve(sources.load(**tree).values, {})
    except SunwellError as error:
        assert one_sentence(error)  # noqa: PT017


@settings(max_examples=150)
@given(
    st.sampled_from(["sunwell.toml", "sunwell.yaml"]),
    st.one_of(
        st.binary(max_size=200),
        st.text(string.printable, max_size=200).map(str.encode),
        st.lists(
            st.sampled_from(
                ["model", ":", " ", "\n", "  ", "- ", "[", "]", "{", "}", "=", '"', "&a", "*a", "!!int", "<<",
                 "1e999", "nan", ".inf", "2026-01-01", "#", "|", ">", "'", "budget",
                 "usd", "\t", "?", "0x1", "1:2"]
            ),
            max_size=30,
        ).map(lambda parts: "".join(parts).encode()),
    ),
)  # fmt: skip
def test_any_bytes_load_or_are_refused_in_one_sentence(tmp_path_factory, name, data):
    """A file of anything at all never does more than give one error."""
    folder = tmp_path_factory.mktemp("fuzz")
    (folder / ".git").mkdir()
    (folder / name).write_bytes(data)
    try:
        Sources(folder, None, {"SUNWELL_HOME": str(folder / "none")}).load()
    except ConfigurationError as error:
        assert one_sentence(error) and str(folder / name) in str(error)  # noqa: PT017, PT018


@pytest.mark.parametrize(
    ("text", "meant"),
    [
        pytest.param("dollars = 1", "budget.usd", id="dollars"),
        pytest.param("[budget]\nmax_usd = 1", "budget.usd", id="own-name-in-the-table"),
        pytest.param("[workers]\nusd = 1", "budget.usd", id="wrong-table"),
        pytest.param("[budget]\nmax_concurrent = 1", "workers.max_concurrent", id="other-wrong-table"),
        pytest.param("weak_model = 'x'", "delegation_model", id="another-tool's"),
        pytest.param("[workers]\nparallelism = 2", "workers.max_concurrent", id="another-tool's-in-a-table"),
        pytest.param("maxIterations = 2", "budget.turns", id="camel-case"),
        pytest.param("[budget]\nust = 2", "usd", id="misspelt"),
    ],
)
def test_a_suggestion_goes_by_meaning(project, text, meant):
    """Words of other tools, and settings in the wrong table, lead to the setting that is meant."""
    project.write(text)
    with pytest.raises(ConfigurationError, match=f"did you mean {meant}\\?"):
        project.load()


@pytest.mark.parametrize("text", ["[budget]\ntemperature = 2", "colour = 'red'", "[workers]\nbudgie = 1"])
def test_no_suggestion_without_likeness(project, text):
    """A guess across unrelated words helps nobody: the known keys are listed instead."""
    project.write(text)
    with pytest.raises(ConfigurationError, match="known here: "):
        project.load()
