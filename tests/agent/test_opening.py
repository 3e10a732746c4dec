"""What of a run's rules holds in another process."""

import pytest

from sunwell.context.options import RunOptions
from sunwell.core import Proposal, ToolResult
from sunwell.errors import ConfigurationError
from sunwell.testing import ScriptedModel, completion


def test_a_run_that_asked_is_not_taken_up_without_somebody_to_ask(story, call) -> None:
    """Nothing is written unasked, however the recorded answers are kept; with somebody, they are asked."""
    asked: list[str] = []

    def approve(proposal: Proposal) -> bool:
        asked.append(proposal.summary)
        return False

    story.options = RunOptions(approve=approve)
    story.run(completion(call.writing("a.txt", "1\n")), stop_at=3)
    asked.clear()
    for accept in (False, True):
        with pytest.raises(ConfigurationError, match="approve="):
            story.resume("Never said.", accept_changes=accept)
    done = story.resume("Done.", options=story.options)
    assert done.answer == "Done."
    assert asked == ["make a.txt"]
    assert not (story.workspace / "a.txt").exists()


def test_a_dry_run_that_is_taken_up_still_sees_what_it_planned(story, call) -> None:
    """What was only planned is read and edited as if it were there, in whatever process."""
    story.options = RunOptions(dry_run=True)
    story.run(completion(call.writing("a.txt", "one\n")), completion(call.reading("a.txt")), stop_at=7)
    model = ScriptedModel("opus-x", [completion(call.reading("a.txt")), "Done."])
    assert story.resume(model=model).answer == "Done."
    seen = [part for part in model.calls[-1].messages[-1].parts if isinstance(part, ToolResult)]
    assert ["one" in part.content for part in seen] == [True]
    assert not (story.workspace / "a.txt").exists()
