"""What the answers of a batch teach about the provider's cache, and which answers are heard."""

import attrs
import pytest

from sunwell.agent.batches.batch_plan import _Lesson
from sunwell.agent.policy.cache_planner import CacheLessons
from sunwell.agent.run.toolset import Toolset
from sunwell.agent.workers.worker import WorkerTerms
from sunwell.core import Span, Usage
from sunwell.events import ModelCallFinished
from sunwell.testing import ScriptedModel

BATCH = Span("run/task-1")
HEARD = ModelCallFinished("run/task-1/a", 0, "haiku", "work", 1, usage=Usage(100, 10), duration_seconds=3.0)


@pytest.mark.parametrize(
    ("event", "is_heard"),
    [
        pytest.param(HEARD, True, id="a-siblings-answer"),
        pytest.param(attrs.evolve(HEARD, span="run/task-10/a"), False, id="another-batch-of-a-like-name"),
        pytest.param(attrs.evolve(HEARD, span="run/task-1"), False, id="the-batch-itself"),
        pytest.param(attrs.evolve(HEARD, span="run/lens"), False, id="elsewhere"),
        pytest.param(attrs.evolve(HEARD, usage=None), False, id="usage-never-came"),
        pytest.param(attrs.evolve(HEARD, span="run/lens", usage=None), False, id="elsewhere-without-usage"),
        pytest.param(attrs.evolve(HEARD, replayed=True), False, id="replayed"),
        pytest.param(attrs.evolve(HEARD, error="down"), False, id="failed"),
        pytest.param(attrs.evolve(HEARD, purpose="lens"), False, id="for-something-else"),
    ],
)
def test_a_batch_learns_from_the_answers_of_its_siblings_alone(event, is_heard):
    """Another batch has another prefix; an answer that was replayed says nothing of today's times."""
    model = ScriptedModel("haiku", [])
    lessons = CacheLessons(lambda: 0.0)
    _Lesson(lessons, WorkerTerms(model, Toolset.of((), None)), BATCH, 2_000, 300.0).see(event)
    assert lessons.call_seconds(model) == (3.0 if is_heard else None)
