"""What the first import costs, and what it leaves alone."""

import subprocess
import sys

import pytest

HEAVY = (
    "anthropic",
    "openai",
    "rich",
    "tiktoken",
    "pydantic",
    "genai_prices",
    "aiohttp",
    "httpx2",
    "pydantic_monty",
    "regex",
)


def loaded_after(code: str) -> list[str]:
    """Return the heavy modules that *code* loads in a fresh interpreter."""
    listing = f"print(' '.join(m for m in {HEAVY!r} if m in sys.modules))"
    done = subprocess.run(
        [sys.executable, "-c", f"import sys\n{code}\n{listing}"], capture_output=True, text=True, check=True
    )
    return done.stdout.split()


@pytest.mark.parametrize(
    "code",
    [
        pytest.param("import sunwell", id="package"),
        pytest.param("import sunwell.agent, sunwell.agent.loop, sunwell.models.registry", id="agent"),
        pytest.param("import sunwell.simulator", id="simulator"),
        pytest.param("import sunwell.testing", id="testing"),
        pytest.param("import sunwell.cli.main", id="command-line"),
    ],
)
def test_imports_only_define(code: str) -> None:
    """Importing loads no SDK and nothing else that is slow."""
    assert loaded_after(code) == []


def test_the_agent_loads_its_rooms_on_first_use() -> None:
    """``from sunwell import Agent`` imports the front door alone, and an agent without a run loads no run."""
    listing = "print(' '.join(sorted(m for m in sys.modules if m.startswith('sunwell.'))))"
    code = f"import sys\nfrom sunwell import Agent\n{listing}\nAgent()\n{listing}"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    imported, made = (set(line.split()) for line in done.stdout.splitlines())
    assert imported == {"sunwell.agent", "sunwell.agent.agent", "sunwell.agent.lazy_imports"}
    for room in ("agent.lifecycle", "agent.loop", "agent.orchestration"):
        assert f"sunwell.{room}" not in made, room


def test_help_loads_nothing_heavy() -> None:
    """``sunwell --help`` answers without the heavy libraries."""
    code = "\n".join(
        [
            "from sunwell.cli.main import main",
            "sys.argv = ['sunwell', '--help']",
            "sys.stdout, out = __import__('io').StringIO(), sys.stdout",
            "try: main()",
            "except SystemExit: pass",
            "finally: sys.stdout = out",
        ]
    )
    assert loaded_after(code) == []
