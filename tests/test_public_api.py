"""The names that do not move: each works as the first import of a fresh interpreter."""

import subprocess
import sys

import pytest

import sunwell

NAMES = (
    "sunwell.core.lens:EphemeralLens",
    "sunwell.agent:Agent",
    "sunwell.agent.loop:AgentLoop",
    "sunwell.agent.loop:LoopConfig",
    "sunwell.agent.request:RunOptions",
    "sunwell.agent.ephemeral_lens:create_ephemeral_lens",
    "sunwell.agent.ephemeral_lens:should_use_delegation",
    "sunwell.context.session:SessionContext",
    "sunwell.models.registry:ModelRegistry",
    "sunwell.models.registry:get_registry",
    "sunwell.models.registry:resolve_model",
    "sunwell.events:DELEGATION_STARTED",
    "sunwell.events:EPHEMERAL_LENS_CREATED",
    "sunwell.core:ModelProtocol",
    "sunwell.core:ToolExecutor",
    "sunwell.tools:tool",
    "sunwell.testing:ScriptedModel",
    "sunwell.simulator:Simulator",
    "sunwell:Agent",
    "sunwell:run",
    "sunwell:run_sync",
)


@pytest.mark.parametrize("name", NAMES)
def test_name_is_the_first_import(name: str) -> None:
    """No name needs another to be imported before it."""
    module, attribute = name.split(":")
    subprocess.run([sys.executable, "-c", f"from {module} import {attribute}"], check=True, timeout=60)


def test_names_can_be_found_by_looking() -> None:
    """What is loaded on first use is listed all the same: in a shell, a notebook, an editor."""
    assert set(sunwell.__all__) <= set(dir(sunwell))
