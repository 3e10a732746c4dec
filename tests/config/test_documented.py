"""The documents name every setting, every other spelling and every preset."""

import re
from pathlib import Path

import attrs
import pytest

from sunwell.config.schema import ModelEntry, ProviderSettings, Quirks, Role
from sunwell.config.shape import leaves
from sunwell.config.spellings import RLM_VARIABLES, SPELLINGS
from sunwell.models.catalog import PRESETS

DOCS = Path(__file__).parents[2] / "docs"
CONFIGURATION = (DOCS / "configuration.md").read_text()
PROVIDERS = (DOCS / "providers.md").read_text()
OF_ROLES = {field.name for field in attrs.fields(Role)}


def test_every_setting_is_documented():
    """By its key; settings of roles once for all of them."""
    missing = []
    for path, _ in leaves():
        key = path[0] if path[0] in ("model", "smart_model", "delegation_model") else ".".join(path)
        if path[0] == "orchestrator" and path[1] in OF_ROLES:
            key = path[1]
        if not re.search(rf"`{re.escape(key)}`", CONFIGURATION) and f"{key} =" not in CONFIGURATION:
            missing.append(key)
    assert missing == []


@pytest.mark.parametrize("name", [*RLM_VARIABLES, *sorted({path[-1] for path in SPELLINGS})])
def test_every_other_spelling_is_documented(name):
    """Each word that somebody else's file may hold."""
    assert name in CONFIGURATION


@pytest.mark.parametrize("kind", [ProviderSettings, ModelEntry])
def test_every_key_of_an_entry_is_documented(kind):
    """Of providers and models."""
    own = {field.name for field in attrs.fields(kind)} - {"headers", "quirks", "provider"} - OF_ROLES
    assert [name for name in sorted(own) if name not in PROVIDERS] == []


def test_every_preset_is_documented():
    """With its address or variable."""
    for name, provider in PRESETS.items():
        assert f"| `{name}`" in PROVIDERS
        assert provider.key_variable is None or provider.key_variable in PROVIDERS
        if provider.base_url and not provider.needs_key:
            assert provider.base_url in PROVIDERS


def test_every_quirk_is_documented():
    """What a server may not understand."""
    assert [f.name for f in attrs.fields(Quirks) if f"{f.name} =" not in PROVIDERS] == []


@pytest.mark.parametrize("document", [CONFIGURATION, PROVIDERS], ids=["configuration", "providers"])
def test_every_toml_example_loads(document, project):
    """As it stands there."""
    for number, text in enumerate(re.findall(r"^```toml\n(.*?)^```", document, re.MULTILINE | re.DOTALL)):
        file = project.write(text, f"example-{number}.toml")
        assert project.load(config=file, trust=True).settings
