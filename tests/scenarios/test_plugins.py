"""Plugins of other packages: installed as packages are, found without an import, and never fatal."""

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import attrs
import pytest
from click.testing import CliRunner

from sunwell.agent import Agent
from sunwell.agent.lifecycle.sent_requests import sent_calls
from sunwell.cli.main import cli
from sunwell.config import Loaded, Sources
from sunwell.config.preflight import findings, plugin_rows
from sunwell.config.resolution import resolve
from sunwell.context.options import RunOptions
from sunwell.context.session import SessionContext
from sunwell.core.message import ToolCall
from sunwell.errors import ConfigurationError, PluginError, UnknownModelError
from sunwell.events import Event, RunFinished, Warned
from sunwell.journal import read_records
from sunwell.models.registry import ModelRegistry
from sunwell.plugins import Plugins
from sunwell.testing import ScriptedModel, completion
from sunwell.tools import Toolbox
from sunwell.tools.tool_plugins import BUILT_IN, ToolPlugins
from tests.scenarios.plugin_packages import imported, install, install_documented

TOOL = "from sunwell import tool\n@tool\ndef {name}() -> str:\n    '''Say so.'''\n    return 'so'\n"
MODEL = "from sunwell.testing import ScriptedModel\nmodel = ScriptedModel('mine', ['yes'])\n"
BAD_SPEC = """
class it:
    parallel = repeatable = True
    async def run(self, arguments): return ''
    @property
    def spec(self): raise ValueError('not today')
"""
BROKEN = {
    "raises": ("raise RuntimeError('no such luck')\n", "RuntimeError: no such luck"),
    "exits": ("import sys; sys.exit(3)\n", "SystemExit: 3"),
    "imports-nothing": ("import no_such_module_at_all\n", "ModuleNotFoundError"),
    "lacks-it": ("", "AttributeError"),
    "number": ("it = 7\n", "TypeError"),
    "empty": ("it = []\n", "it returns no tool"),
    "call-raises": ("def it(): raise OSError('offline')\n", "OSError: offline"),
    "no-tool-in-list": ("it = ['no tool']\n", "it returns no tool"),
    "bad-spec": (BAD_SPEC, "ValueError: not today"),
    "two-of-one-name": (
        TOOL.format(name="twin") + "it = [twin, twin]\n",
        "two of its tools have the same name",
    ),
}


@attrs.frozen
class Place:
    """A folder with packages, a project, and a user."""

    site: Path
    project: Path
    user: Path

    def configure(self, text: str) -> None:
        """Put the user's own file down."""
        (self.user / "config.toml").write_text(text)

    def load(self, **options: Any) -> Loaded:
        """Load what holds in the project."""
        return Sources(self.project, environ={"SUNWELL_HOME": str(self.user)}).load(**options)

    def sunwell(self, *arguments: str) -> "subprocess.CompletedProcess[str]":
        """Run a command in the project, in a fresh interpreter that has the packages."""
        environ = {**os.environ, "PYTHONPATH": str(self.site), "SUNWELL_HOME": str(self.user)}
        command = [sys.executable, "-m", "sunwell", *arguments]
        return subprocess.run(
            command, cwd=self.project, env=environ, capture_output=True, text=True, stdin=subprocess.DEVNULL
        )


@pytest.fixture
def place(tmp_path: Path) -> Place:
    """Return a place where nothing is installed, for commands in an interpreter of their own."""
    made = Place(tmp_path / "site", tmp_path / "project", tmp_path / "user")
    for folder in (made.site, made.project, made.user):
        folder.mkdir()
    return made


@pytest.fixture
def here(place: Place, monkeypatch: pytest.MonkeyPatch) -> Iterator[Place]:
    """Return a place whose packages this interpreter has, too."""
    monkeypatch.syspath_prepend(place.site)
    before = set(sys.modules)
    yield place
    for name in set(sys.modules) - before:
        if str(place.site) in str(getattr(sys.modules[name], "__file__", "")):
            del sys.modules[name]


def install_broken(site: Path, kind: str) -> None:
    """Put a package with a plugin ``bad`` down that is broken in one way, and one with a sound one."""
    text, _ = BROKEN[kind]
    install(site, "bad-package", {"sunwell.tools": {"bad": "badly_made:it"}}, {"badly_made": text})
    install(
        site,
        "good-package",
        {"sunwell.tools": {"good": "well_made:good"}},
        {"well_made": TOOL.format(name="good")},
    )


def test_a_plugins_model_and_tool_do_the_work_of_a_run_and_of_workers(place: Place) -> None:
    """The documented package, installed; the user's own file names its tool, the caller its model."""
    install_documented(place.site)
    place.configure('plugins = ["forecast", "oracle"]\n')
    done = place.sunwell("run", "What will the weather be?", "-m", "oracle", "--json")
    assert done.returncode == 0, done.stderr
    package = "(sunwell-weather 1.0)"
    assert f"sunwell: plugins in use: oracle {package}, forecast {package}\n" in done.stderr
    told = json.loads(done.stdout)
    assert told["answer"] == "I foresee rain in Turin"
    (place.project / "tasks.jsonl").write_text(
        '"What in Turin?"\n{"text": "And so?", "tools": ["forecast"]}\n'
    )
    done = place.sunwell("batch", "tasks.jsonl", "-m", "oracle")
    results = [json.loads(line) for line in done.stdout.splitlines()]
    assert [one["answer"] for one in results] == ["I foresee rain in Turin"] * 2, done.stderr


def test_nothing_of_a_plugin_is_imported_before_it_is_named(place: Place) -> None:
    """A run on a plugin's model imports that one; a tool that nobody named is not even offered."""
    install_documented(place.site)
    install(place.site, "evil", {"sunwell.tools": {"evil": "evil:it"}, "sunwell.models": {"vile": "evil:it"}},
            {"evil": TOOL.format(name="it")})  # fmt: skip
    for arguments in (("models",), ("config", "check")):
        assert place.sunwell(*arguments).returncode == 0
    assert imported(place.site) == set()
    done = place.sunwell("run", "What will the weather be?", "-m", "oracle", "--json")
    assert json.loads(done.stdout)["answer"] == "I foresee nothing"
    assert "plugins in use: oracle (sunwell-weather 1.0)\n" in done.stderr
    assert imported(place.site) == {"sunwell_weather"}


def test_the_commands_say_what_plugins_there_are(here: Place) -> None:
    """What is used and sound, what is broken and why, what is merely installed, what is missing."""

    def said(*arguments: str) -> str:
        runner = CliRunner(env={"SUNWELL_HOME": str(here.user)})
        return runner.invoke(cli, [*arguments, "-w", str(here.project)]).stdout

    install_documented(here.site)
    install_broken(here.site, "raises")
    here.configure('model = "oracle"\nplugins = ["forecast", "oracle", "bad", "absent"]\n')
    for told in (said("config", "check"), said("doctor")):
        assert "plugin   oracle (sunwell.models, from sunwell-weather 1.0): can be used" in told
        assert "plugin   forecast (sunwell.tools, from sunwell-weather 1.0): gives forecast" in told
        assert "warning  the plugin bad (sunwell.tools) is left out: RuntimeError: no such luck" in told
    assert "plugins: absent is not installed" in said("config", "check")
    here.configure('model = "oracle"\n')
    told = said("doctor")
    assert "plugin   good (sunwell.tools, from good-package 1.0): not used here" in told
    assert "bad (sunwell.tools, from bad-package 1.0): not used here" in told
    assert "Installed plugins: oracle." in CliRunner().invoke(cli, ["models"]).stdout


async def run_with(model: ScriptedModel, place: Place, loaded: Loaded) -> list[Event]:
    """Run a task in the project as it is configured, and return the events."""
    made = resolve(loaded.values)
    session = SessionContext.build(place.project, "Say so", options=made.options)
    agent = Agent(model=model, registry=made.registry, prices=made.prices, tool_plugins=made.tool_plugins)
    return [event async for event in agent.run(session)]


def calling(name: str) -> ScriptedModel:
    """Return a model that calls one tool and ends."""
    return ScriptedModel("scripted", [completion(ToolCall("1", name, "{}")), "done"])


@pytest.mark.parametrize("kind", BROKEN)
@pytest.mark.parametrize("setting", ['plugins = ["bad", "good"]\n', 'tools = ["bad", "good", "read_file"]\n'])
async def test_a_broken_plugin_is_named_and_left_out(here: Place, kind: str, setting: str) -> None:
    """One warning with the reason, and the run goes on with all other tools."""
    install_broken(here.site, kind)
    here.configure(setting)
    model = calling("good")
    events = await run_with(model, here, here.load())
    warnings = [event.message for event in events if isinstance(event, Warned)]
    assert [w for w in warnings if "the plugin bad (sunwell.tools) is left out" in w and BROKEN[kind][1] in w]
    finished = events[-1]
    assert isinstance(finished, RunFinished)
    assert (finished.result.status, finished.result.tools_called) == ("ok", (("good", 1),))
    offered = {spec.name for spec in model.calls[0].tools}
    assert {"good", "read_file"} <= offered
    assert "bad" not in offered


@pytest.mark.parametrize("name", ["read_file", "run_command", "delegate", "set_answer", "rlm_sub_complete"])
async def test_a_plugin_cannot_take_the_name_of_a_tool_that_is_built_in(here: Place, name: str) -> None:
    """The built-in one stays, on or off; the plugin's is named and left out."""
    install(
        here.site, "clash", {"sunwell.tools": {"clash": "clash:" + name}}, {"clash": TOOL.format(name=name)}
    )
    here.configure('plugins = ["clash"]\n')
    model = ScriptedModel("scripted", ["done"])
    events = await run_with(model, here, here.load())
    (warning,) = [event.message for event in events if isinstance(event, Warned)]
    assert warning == f"the tool {name} of the plugin clash is left out: the name is taken"
    specs = {spec.name: spec for spec in model.calls[0].tools}
    assert specs.keys() == BUILT_IN - {"run_command", "execute_python"}
    assert all(spec.description != "Say so." for spec in specs.values())


def test_the_names_that_are_taken_are_those_of_the_toolbox(tmp_path: Path) -> None:
    """All of them, the shell's included."""
    assert {spec.name for spec in Toolbox(tmp_path, allow_shell=True, allow_python=True).specs()} == BUILT_IN


async def test_a_tool_is_found_that_is_called_unlike_its_plugin(here: Place) -> None:
    """In Python, too, without any configuration; a name that no plugin has stays an error."""
    text = TOOL.format(name="one") + TOOL.format(name="two") + "def tools(): return [one, two]\n"
    install(here.site, "several", {"sunwell.tools": {"several": "several:tools"}}, {"several": text})
    model = calling("two")
    session = SessionContext.build(here.project, "Say so", options=RunOptions(tools=("two",)))
    result = await Agent(model=model).result(session)
    assert (result.status, result.tools_called) == ("ok", (("two", 1),))
    assert [spec.name for spec in model.calls[0].tools] == ["two"]
    wrong = SessionContext.build(here.project, "Say so", options=RunOptions(tools=("three",)))
    with pytest.raises(ConfigurationError, match="no tool is called 'three'"):
        await Agent(model=model).result(wrong)


async def test_a_run_with_a_plugins_tool_is_resumed_and_replayed(here: Place) -> None:
    """The tool is found again by its name; where it is gone, the run says so and asks nobody."""
    install(here.site, "good", {"sunwell.tools": {"good": "good:good"}}, {"good": TOOL.format(name="good")})
    session = SessionContext.build(here.project, "Say so", options=RunOptions(tools=("good",)))
    first = await Agent(model=calling("good")).result(session)
    assert first.journal is not None
    run_id = Path(first.journal).parent.name
    again = [event async for event in Agent().replay(run_id, workspace=here.project)]
    assert isinstance(again[-1], RunFinished)
    assert again[-1].result.answer == first.answer
    (here.site / "good-1.0.dist-info" / "entry_points.txt").write_text("")
    with pytest.raises(ConfigurationError, match="no tool is called 'good'"):
        [event async for event in Agent().replay(run_id, workspace=here.project)]


async def test_what_was_sent_is_made_again_without_a_plugin(here: Place) -> None:
    """A journal, perhaps somebody else's, has nothing imported; what its calls came to is in it."""
    install(here.site, "good", {"sunwell.tools": {"good": "good:good"}}, {"good": TOOL.format(name="good")})
    session = SessionContext.build(here.project, "Say so", options=RunOptions(tools=("good", "read_file")))
    first = await Agent(model=calling("good")).result(session)
    assert first.journal is not None
    records = list(read_records(Path(first.journal)))
    (here.site / "good.py.imported").unlink()
    del sys.modules["good"]
    sent = await sent_calls(records)
    assert imported(here.site) == set()
    assert sent.missing == (
        "2 of 2 requests differ from what was sent. Known reasons: the tools good are gone."
    )
    assert sent.calls["run/direct", 1].request.messages[-1].parts[0].content == "so"
    whole = await sent_calls(records, Agent().equipment)
    assert (whole.missing, imported(here.site)) == ("", {"good"})


def unfinished(run: str) -> None:
    """Take the end of a run out of its journal, as a kill would."""
    path = Path(run)
    path.write_bytes(b"".join(path.read_bytes().splitlines(keepends=True)[:-1]))


async def test_a_record_loads_no_tool_of_a_plugin(here: Place) -> None:
    """It is refused before anything is imported; the name given again, or the plugin allowed, loads it."""
    install(here.site, "good", {"sunwell.tools": {"good": "good:good"}}, {"good": TOOL.format(name="good")})
    session = SessionContext.build(here.project, "Say so", options=RunOptions(tools=("good",)))
    first = await Agent(model=calling("good")).result(session)
    assert first.journal is not None
    unfinished(first.journal)
    with pytest.raises(
        ConfigurationError, match=r"the tool good of a plugin.*--plugin NAME \(installed: good\)"
    ):
        [event async for event in Agent(model=calling("good")).resume("", workspace=here.project)]
    own = ToolPlugins(Plugins("sunwell.tools", ("good",)))
    for agent, given in (
        (Agent(model=calling("good")), {"tools": ("good",)}),
        (Agent(calling("good"), tool_plugins=own), {}),
    ):
        events = [event async for event in agent.resume("", workspace=here.project, given=given)]
        assert isinstance(events[-1], RunFinished)
        unfinished(first.journal)


async def test_a_record_starts_no_model_of_a_plugin(here: Place) -> None:
    """A model's name in a record runs no code of an installed package; the caller's own choice does."""
    install(here.site, "models", {"sunwell.models": {"mine": "m:model"}}, {"m": MODEL})
    session = SessionContext.build(here.project, "Say so", options=RunOptions(model="mine"))
    first = await Agent(registry=ModelRegistry()).result(session)
    assert first.journal is not None
    unfinished(first.journal)
    before = Path(first.journal).read_bytes()
    with pytest.raises(ConfigurationError, match=r"the model mine of the plugin mine.*\(--plugin mine"):
        [event async for event in Agent(registry=ModelRegistry()).resume("", workspace=here.project)]
    for agent, given in (
        (Agent(registry=ModelRegistry()), {"model": "mine"}),
        (Agent("mine", registry=ModelRegistry()), {}),
    ):
        Path(first.journal).write_bytes(before)
        events = [event async for event in agent.resume("", workspace=here.project, given=given)]
        assert isinstance(events[-1], RunFinished)


def test_models_of_plugins_go_by_their_names(here: Place) -> None:
    """A model, a callable, a class, several by PLUGIN/NAME; each made once; built-in names stay built in."""
    text = MODEL + "def make(): return ScriptedModel('made', [])\nmany = {'a': model, 'b/c': make}\n"
    points = {"mine": "m:model", "made": "m:make", "many": "m:many", "opus": "m:model", "openai": "m:many"}
    install(here.site, "models", {"sunwell.models": points}, {"m": text})
    registry = ModelRegistry()
    names = ["mine", "made", "many/a", "many/b/c"]
    assert [registry.get(name).name for name in names] == ["mine", "made", "mine", "made"]
    assert registry.get("made") is registry.get("made")
    for name in ("many", "many/z", "mine/x"):
        with pytest.raises(PluginError, match=r"it has: many/a, many/b/c|call it mine"):
            registry.get(name)
    with pytest.raises(UnknownModelError, match="many, mine"):
        registry.get("nobody")
    loaded = here.load(model="opus", smart_model="openai/a")
    made = resolve(loaded.values, {"ANTHROPIC_API_KEY": "k", "OPENAI_API_KEY": "k"})
    assert [made.registry.get(name).name for name in ("opus", "openai/a")] == ["claude-opus-5-5", "a"]


@pytest.mark.parametrize(
    ("target", "said"),
    [("m:missing", "AttributeError"), ("m:seven", "it returns int, which is not a model"),
     ("m:fails", "OSError: offline"), ("m:wrong", "it returns str, which is not a model"),
     ("gone:x", "ModuleNotFoundError")],
)  # fmt: skip
def test_a_broken_model_is_named(here: Place, target: str, said: str) -> None:
    """Who asks for it is told why, before anything is spent; nobody else notices."""
    text = MODEL + "seven = 7\ndef fails(): raise OSError('offline')\ndef wrong(): return 'opus'\n"
    install(here.site, "models", {"sunwell.models": {"bad": target, "mine": "m:model"}}, {"m": text})
    made = resolve(here.load(model="mine", delegation_model="bad").values)
    (found,) = findings(made)
    assert (found.role, found.is_error) == ("delegation_model", True)
    assert "the plugin bad (sunwell.models) is left out" in found.sentence
    assert said in found.sentence
    spared = resolve(here.load(model="mine", delegation_model="bad", fallback="parent").values)
    assert [finding.is_error for finding in findings(spared)] == [False]
    assert [f for f in findings(resolve(here.load(model="mine").values)) if f.is_error] == []


def test_a_name_that_two_packages_offer_is_nobodys(here: Place) -> None:
    """Which of them runs would be a guess."""
    for package in ("one", "two"):
        points = {"sunwell.models": {"mine": f"{package}_module:model"}}
        install(here.site, package, points, {f"{package}_module": MODEL})
    with pytest.raises(PluginError, match=r"two packages offer it: \w+ 1\.0 and \w+ 1\.0"):
        ModelRegistry().get("mine")
    assert imported(here.site) == set()


def test_a_package_whose_list_cannot_be_read_takes_no_other_with_it(here: Place) -> None:
    """Its entry points are none; those of all others are there."""
    install(here.site, "models", {"sunwell.models": {"mine": "m:model"}}, {"m": MODEL})
    install(here.site, "junk", {}, {})
    (here.site / "junk-1.0.dist-info" / "entry_points.txt").write_text(
        "[sunwell.models]\nno equals sign here\n"
    )
    assert ModelRegistry().get("mine").name == "mine"


@pytest.mark.parametrize("allowed", [(), ("other",)])
def test_what_the_settings_do_not_allow_is_not_there(here: Place, allowed: tuple[str, ...]) -> None:
    """``plugins = []`` loads none, and a list loads no other."""
    install(here.site, "models", {"sunwell.models": {"mine": "m:model"}}, {"m": MODEL})
    loaded = here.load(plugins=allowed, model="mine")
    made = resolve(loaded.values)
    with pytest.raises(UnknownModelError):
        made.registry.get("mine")
    assert plugin_rows(made, loaded.values) == ()
    assert imported(here.site) == set()


@pytest.mark.parametrize(
    "text",
    ['model = "mine"\n', '[smart_model]\nmodel = "mine"\n', 'delegation_model = "many/a"\n',
     '[models.fast]\nmodel = "mine"\n', 'tools = ["read_file", "good"]\n', "plugins = []\n"],
)  # fmt: skip
def test_a_cloned_repository_starts_no_plugin(here: Place, text: str) -> None:
    """Its file may not choose which of the installed code runs, until it is trusted."""
    points = {"sunwell.models": {"mine": "m:model", "many": "m:many"}, "sunwell.tools": {"good": "m:good"}}
    install(here.site, "models", points, {"m": MODEL + "many = {'a': model}\n" + TOOL.format(name="good")})
    (here.project / "sunwell.toml").write_text(text)
    with pytest.raises(ConfigurationError, match="sunwell config trust"):
        here.load().require_trust()
    assert imported(here.site) == set()
    (here.project / "sunwell.toml").write_text('tools = ["read_file"]\n')
    assert here.load().untrusted == ()


def test_a_plugins_model_has_prices_of_the_users_and_settings_of_its_own(here: Place) -> None:
    """Prices and a window stand in [models]; effort and limits of it cannot be set from outside."""
    install(here.site, "models", {"sunwell.models": {"mine": "m:model"}}, {"m": MODEL})
    prices = "[models.mine]\ninput_usd_per_million = 1\noutput_usd_per_million = 2\ncontext_window = 9000\n"
    here.configure('model = "mine"\n' + prices)
    made = resolve(here.load().values)
    price = made.prices.price(made.registry.get(made.names["model"]))
    assert price is not None
    assert (price.rates.output_usd, price.context_window) == (2, 9000)
    here.configure('model = "mine"\n[models.mine]\ncontext_window = 9000\n')
    made = resolve(here.load().values)
    assert made.prices.room(made.registry.get(made.names["model"])).window_tokens == 9000
    here.configure('[model]\nmodel = "mine"\neffort = "low"\n')
    (found,) = findings(resolve(here.load().values))
    assert "mine is a plugin's model: its effort, limits and time-outs are the plugin's own" in found.sentence
