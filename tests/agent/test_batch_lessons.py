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


def lesson_of(lessons: CacheLessons, model: ScriptedModel, spans: set[str] | None = None) -> _Lesson:
    """Return what watches the workers below the batch; with *spans*, those alone."""
    return _Lesson(lessons, WorkerTerms(model, Toolset.of((), None)), BATCH, 2_000, 300.0, spans)


def test_who_goes_first_may_be_done_last():
    """Its answer wrote the prefix and read nothing: that of its sibling shows that the cache keeps it."""
    model, lessons = ScriptedModel("haiku", []), CacheLessons(lambda: 0.0)
    lesson = lesson_of(lessons, model)
    lesson.begun(1.0)
    lesson.see(attrs.evolve(HEARD, span="run/task-1/b", usage=Usage(2_100, 10, cache_read_tokens=2_000)))
    lesson.see(attrs.evolve(HEARD, span="run/task-1/a", usage=Usage(2_100, 10, cache_write_tokens=2_000)))
    assert lessons.least_tokens(model) <= 2_000


def test_workers_with_another_prompt_are_not_listened_to():
    """Nor are workers of workers, and those that started at another time say nothing of what was kept."""
    model, lessons = ScriptedModel("haiku", []), CacheLessons(lambda: 0.0)
    spans = {"run/task-1/a", "run/task-1/b", "run/task-1/c"}
    lesson = lesson_of(lessons, model, spans)
    lesson.see(attrs.evolve(HEARD, span="run/task-1/other"))
    lesson.see(attrs.evolve(HEARD, span="run/task-1/a/task-0"))
    assert lessons.call_seconds(model) is None
    least = lessons.least_tokens(model)
    lesson.judge({"run/task-1/b", "run/task-1/c"})
    lesson.begun(1.0)
    lesson.see(attrs.evolve(HEARD, span="run/task-1/a"))
    lesson.see(attrs.evolve(HEARD, span="run/task-1/b"))
    assert lessons.least_tokens(model) == least
    lesson.see(attrs.evolve(HEARD, span="run/task-1/c"))
    assert lessons.least_tokens(model) == max(least, 2_001)
