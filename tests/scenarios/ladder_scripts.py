"""Scripted models for the ladder: one that learns from evidence, and one that writes files on demand.

They prove the machinery and the money, not the skill of a model.
"""

import re
from collections.abc import Mapping

import attrs

from sunwell.core.message import Text
from sunwell.simulator import Asked, Reply
from sunwell.simulator.scripts import known_in
from sunwell.simulator.scripts.conversation_state import ScriptedConversation, Wanted, all_text
from sunwell.simulator.scripts.scripted_worker import work_on

_READS = ("shop/models.py", "shop/endpoints/category.py", "shop/routes.py")
_ITEM = re.compile(r"items/\d+\.txt")


def hasty(asked: Asked) -> Reply:
    """Answer as a cheap model does that reads the shop's conventions only after its tests have failed.

    It fails for a known reason. With the output of the failed tests in its conversation, it reads
    ``CONVENTIONS.md`` and writes the endpoints again, by all rules that it has read.
    """
    later = [message.text for message in asked.messages if message.role == "user"][1:]
    if not any("FAILED" in text for text in later):
        return work_on(asked, frozenset(), _READS)
    return work_on(asked, known_in(all_text(asked)), ("CONVENTIONS.md", *_READS))


@attrs.frozen
class FileWriter:
    """Writes the file that its task names: ``wrong`` so many times as *slips* says, and then ``right``.

    Counted are the messages of the user in its conversation: one at first, one more with each evidence.
    """

    slips: Mapping[str, int] = attrs.field(factory=dict)
    usually: int = 0
    """Slips on files that are not named."""
    writes: int = 1
    """How often it writes the file before it ends."""

    def __call__(self, asked: Asked) -> Reply:
        """Write, or end."""
        talk = ScriptedConversation.of(asked)
        path = path_in(talk.task)
        told = sum(message.role == "user" and bool(message.text) for message in asked.messages)
        word = "wrong" if told <= self.slips.get(path, self.usually) else "right"
        since = next(n for n, one in enumerate(reversed(asked.messages)) if one.role == "user" and one.text)
        written = (since + 1) // 2
        if written < self.writes:
            write = Wanted("write_file", {"path": path, "content": word + "\n" * written})
            return Reply((Text("I write it."), write.as_call(f"call_{talk.turns:03d}")))
        return Reply((Text(f"{path} is written."),))


def path_in(task: str) -> str:
    """Return the file that *task* names."""
    found = _ITEM.search(task)
    return found[0] if found else "items/00.txt"
