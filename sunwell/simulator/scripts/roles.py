"""The two roles of the demonstration: a model that knows the rules, and one that has to be told."""

import json

from sunwell.core.message import Text
from sunwell.simulator.script import Asked, Reply
from sunwell.simulator.scripts.conventions import known_in
from sunwell.simulator.scripts.conversation import Conversation, all_text
from sunwell.simulator.scripts.entities import is_about_endpoints
from sunwell.simulator.scripts.filling import filled
from sunwell.simulator.scripts.lens_writer import lens_for
from sunwell.simulator.scripts.orchestrating import handed_out
from sunwell.simulator.scripts.working import work_on

_PARTS = 4
_STATUS = "\n\n[Status, "
_READS = ("shop/models.py", "shop/endpoints/category.py", "shop/routes.py")


def smart(asked: Asked) -> Reply:
    """Answer as a smart model does.

    With a schema: JSON that obeys it, a lens written from what stands in the prompt. With tools
    and a task about endpoints: it reads ``CONVENTIONS.md`` first and keeps to every rule that it
    has read. With tools to hand work out, it has the task done in parts. Otherwise: a sentence.
    """
    talk = Conversation.of(asked)
    if "set_answer" in asked.tools:
        return handed_out(asked, _PARTS, f"look at {_one_line(talk.task.partition(_STATUS)[0])}")
    if asked.schema is not None:
        questions = [message.text for message in asked.messages if message.role == "user"]
        lens = lens_for(all_text(asked), "\n".join(questions))
        return Reply((Text(json.dumps(filled(asked.schema, lens), ensure_ascii=False)),))
    if _is_work(asked, talk):
        return work_on(asked, known_in(all_text(asked)), ("CONVENTIONS.md", *_READS))
    return _sentence(talk)


def cheap(asked: Asked) -> Reply:
    """Answer as a cheap model does.

    With a schema: JSON that obeys it, as empty as it may be. With tools and a task about
    endpoints: it writes them from the definitions that it reads, and breaks each convention that
    its system prompt does not state. Otherwise: a sentence.
    """
    talk = Conversation.of(asked)
    if asked.schema is not None:
        return Reply((Text(json.dumps(filled(asked.schema, {}))),))
    if _is_work(asked, talk):
        return work_on(asked, known_in(asked.system), _READS)
    return _sentence(talk)


def _is_work(asked: Asked, talk: Conversation) -> bool:
    return is_about_endpoints(talk.task) and bool(asked.tools or talk.attempts)


def _one_line(task: str) -> str:
    return " ".join(task.split())[:200]


def _sentence(talk: Conversation) -> Reply:
    return Reply((Text(f"I was asked: {_one_line(talk.task)}. This needs nothing from the workspace."),))
