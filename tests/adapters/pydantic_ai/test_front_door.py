"""What the room loads, and what it says where pydantic-ai is missing."""

import subprocess
import sys
from pathlib import Path

import pytest

BEFORE = "import sys\nsys.modules['pydantic_ai'] = None\n"


def printed(code: str) -> str:
    """Run *code* in an interpreter of its own and return what it prints."""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    return done.stdout.strip()


def test_without_pydantic_ai_one_sentence_says_what_to_install() -> None:
    """It is an import that fails."""
    code = (
        f"{BEFORE}try: from sunwell.adapters.pydantic_ai import Delegation\n"
        "except ImportError as error: print(error)\n"
    )
    assert printed(code) == "pydantic-ai is not installed: pip install 'sunwell[pydantic-ai]'"


@pytest.mark.parametrize("code", ["import sunwell", "import sunwell.adapters, sunwell.adapters.otel"])
def test_nothing_loads_it_unless_asked(code: str) -> None:
    """Who does not use it does not pay for its import."""
    assert printed(f"import sys\n{code}\nprint('pydantic_ai' in sys.modules)") == "False"


def test_runs_load_it_not_either() -> None:
    """A run of ours, with all that it loads, does without."""
    code = (
        f"{BEFORE}import asyncio, tempfile\n"
        "from sunwell import run\n"
        "from sunwell.testing import ScriptedModel\n"
        "model = ScriptedModel('model', ['Done.'])\n"
        "with tempfile.TemporaryDirectory() as folder:\n"
        "    print(asyncio.run(run('Say that it is done.', folder, model=model)).answer)\n"
    )
    assert printed(code) == "Done."


def test_these_tests_are_skipped_by_its_name() -> None:
    """On a machine without it, pytest says which extra is missing."""
    files = [str(Path(__file__).with_name(f"test_{name}.py")) for name in ("lent_models", "shared_budget")]
    code = f"{BEFORE}import pytest\npytest.main(['-q', '-rs', '-p', 'no:cacheprovider', *{files!r}])"
    assert printed(code).count("sunwell[pydantic-ai] is not installed") == len(files)
