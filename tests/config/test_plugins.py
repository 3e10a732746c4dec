"""Plugins of other packages: found by entry point, named where they are broken, and never fatal."""

from importlib.metadata import EntryPoint

import pytest

from sunwell.config.plugins import load_plugins, register_models
from sunwell.errors import UnknownModelError
from sunwell.models.registry import ModelRegistry
from sunwell.testing import ScriptedModel

MODEL = ScriptedModel("mine", [])


def factory():
    """Return the model of a plugin."""
    return MODEL


several = {"first": factory, "second": MODEL}
no_model = 7


def points(**targets):
    """Return a finder of entry points, each leading to a name of this module."""

    def find(group):
        return [EntryPoint(name, f"{__name__}:{target}", group) for name, target in targets.items()]

    return find


@pytest.fixture(autouse=True)
def _importable(monkeypatch):
    """Let entry points find this module."""
    import sys

    monkeypatch.setitem(sys.modules, __name__, sys.modules.get(__name__) or _module())


def _module():
    import types

    module = types.ModuleType(__name__)
    module.__dict__.update(globals())
    return module


def test_models_of_plugins_can_be_named():
    """One factory under the plugin's name, or several under names of their own."""
    registry = ModelRegistry()
    plugins = load_plugins("sunwell.models", find=points(mine="factory", more="several"))
    assert register_models(plugins, registry) == ()
    assert [registry.get(name) for name in ("mine", "first", "second")] == [MODEL, MODEL, MODEL]


@pytest.mark.parametrize(
    "target", [pytest.param("missing", id="no-such-name"), pytest.param("no_model", id="no-model")]
)
def test_a_broken_plugin_is_named_and_left_out(target):
    """The others are there all the same."""
    registry = ModelRegistry()
    plugins = load_plugins("sunwell.models", find=points(broken=target, mine="factory"))
    (warning,) = register_models(plugins, registry)
    assert "the plugin broken (sunwell.models) is left out" in warning
    assert registry.get("mine") is MODEL
    with pytest.raises(UnknownModelError):
        registry.get("broken")


def test_a_plugin_whose_package_fails_is_left_out():
    """Whatever its import raises is in the warning."""
    (plugin,) = load_plugins(
        "sunwell.tools", find=lambda group: [EntryPoint("gone", "no_such_package:tool", group)]
    )
    assert "ModuleNotFoundError" in plugin.problem


def test_only_allowed_plugins_are_loaded():
    """``plugins = []`` loads none: code that nobody wants does not run."""
    find = points(mine="factory", more="several")
    assert load_plugins("sunwell.models", (), find=find) == ()
    assert [plugin.name for plugin in load_plugins("sunwell.models", ("more",), find=find)] == ["more"]
