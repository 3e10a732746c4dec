"""One call without an event loop of one's own."""

from pathlib import Path

import pytest

from sunwell import run_sync
from sunwell.testing import ScriptedModel


def test_the_result_is_returned(tmp_path: Path) -> None:
    """Options are those of a run."""
    result = run_sync("Say hello", tmp_path, model=ScriptedModel("m", ["Hello."]))
    assert (result.status, result.answer) == ("ok", "Hello.")


async def test_inside_a_loop_it_says_what_to_await(tmp_path: Path) -> None:
    """As in a notebook: nothing is begun, and no coroutine is left that nobody awaits."""
    with pytest.raises(RuntimeError, match=r"await Agent\(\)\.result"):
        run_sync("Say hello", tmp_path, model=ScriptedModel("m", ["Hello."]))
    assert not (tmp_path / ".sunwell").exists()
