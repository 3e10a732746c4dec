"""What of a run's rules holds in another process."""

import pytest

from sunwell.context.options import RunOptions
from sunwell.core import Proposal
from sunwell.errors import ConfigurationError
from sunwell.testing import completion


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
