"""Workers that a model asks for in one message and that begin with one prompt start as one group."""

from collections.abc import Callable, Sequence

import attrs

from sunwell.agent.batches.batch_plan import Planning, SpawnedPrompt, prompt_key
from sunwell.agent.workers.start_gate import StartGate
from sunwell.agent.workers.worker import WorkerTerms
from sunwell.core.model import Caching
from sunwell.core.span import Span
from sunwell.core.task import Task
from sunwell.core.tool import Place


@attrs.frozen
class AskedWorker:
    """A worker that a call asks for."""

    id: str
    span: Span
    task: Task
    terms: WorkerTerms


@attrs.define(eq=False)
class _Group:
    """Workers of one message that begin with one prompt, whichever of its calls asked for them."""

    spans: set[str]
    caching: Caching = Caching()
    gate: StartGate | None = None


@attrs.define(eq=False)
class PromptSharing:
    """Plans how the workers start that the model of a run asks for.

    All calls of a message are known before the first is carried out. So ten workers are planned alike if they
    come from one call or from ten, and the prompt before their tasks is written to the cache once. Workers
    with other tools have the same prompt, unless they have none at all. Which calls a message has is in the
    journal, so a resumed run makes the same groups.
    """

    planning: Planning
    _prompts: dict[tuple[str, str], SpawnedPrompt] = attrs.field(factory=dict, init=False)
    """By the path of the parent and the key of the prompt."""
    _groups: dict[tuple[str, int, str], _Group] = attrs.field(factory=dict, init=False)
    """By the span and turn of the message, and the key of the prompt."""

    def plan(
        self,
        place: Place,
        parent: Span,
        workers: Sequence[AskedWorker],
        expected: Callable[[], Sequence[AskedWorker]],
        at_once: int | None = None,
    ) -> list[tuple[Caching, StartGate | None]]:
        """Return for each of *workers*, which the call at *place* starts below *parent*, how it starts.

        *expected* returns the workers that all calls of the message ask for, as far as that is known; they
        need no ids. *at_once*: no more of *workers* than that work at the same time.
        """
        keys = [prompt_key(one.terms) for one in workers]
        for key in dict.fromkeys(keys):
            own = [one for one, its in zip(workers, keys, strict=True) if its == key]
            prompt = self._prompts.setdefault((parent.path, key), SpawnedPrompt(own[0].terms, parent))
            prompt.paths.update({one.id: one.span.path for one in own})
            spans = {one.span.path for one in own}
            prompt.spans.update(spans)
            group = self._groups.setdefault((place.span.path, place.turn, key), _Group(set()))
            is_new = not group.spans
            group.spans.update(spans)
            if is_new:
                beside = [one for one in expected() if prompt_key(one.terms) == key]
                all_of_it = beside if len(beside) > len(own) else own
                few = at_once if all_of_it is own else None
                tasks = [one.task for one in all_of_it]
                group.caching, group.gate = self.planning.plan_spawned(prompt, tasks, group.spans, few)
        groups = [self._groups[place.span.path, place.turn, key] for key in keys]
        return [(group.caching, group.gate) for group in groups]
