"""A model that looks into a long context with scripts, and asks a cheaper one about the parts that match."""

import re

from sunwell.core.message import Text
from sunwell.simulator.script import Asked, Reply
from sunwell.simulator.scripts.conversation_state import ScriptedConversation, Wanted

_ABOUT = re.compile(r"What is said about (.+?)\?")
_SOUGHT = re.compile(r"['\"](.{1,60}?)['\"]")


def looked_into(asked: Asked) -> Reply:
    """Answer a question about the word that is quoted in it, ``ERROR`` if none is.

    It counts the lines with the word, then asks about the parts of the context that have it, then sets what
    was answered as the answer.
    """
    talk = ScriptedConversation.of(asked)
    found = _SOUGHT.search(talk.task.partition("\n")[0])
    word = found[1] if found else "ERROR"
    look = f"hits = context.count({word!r}, True)\nprint(context.size, 'bytes,', hits, 'lines')"
    commit = (
        "about = {}\n"
        "for part in context.chunks(20000):\n"
        f"    if part.search({word!r}, 1, True):\n"
        "        about[part.start] = part\n"
        f"answers = llm_map('What is said about {_plain(word)}? One line.', list(about.values())[:8])\n"
        f"report = '\\n'.join([str(hits) + ' lines hold {_plain(word)}.'] + answers)\n"
        "print(len(answers), 'answers')"
    )
    steps = (
        Wanted("explore", {"code": look}),
        Wanted("explore", {"code": commit}),
        Wanted("set_answer", {"content": None, "variable": "report"}),
    )
    call = next((step for step in steps if talk.is_open(step, 1)), None)
    if call is None:
        return Reply((Text("I could not look into the context."),))
    return Reply((Text("I look."), call.as_call(f"call_{talk.turns:03d}")))


def read_part(asked: Asked) -> Reply | None:
    """Answer a question about a part of a long text with a line of it; ``None`` for another question."""
    if "one part of a longer text" not in asked.system:
        return None
    word = _ABOUT.search(asked.system)
    lines = [line for line in ScriptedConversation.of(asked).task.splitlines() if word and word[1] in line]
    return Reply((Text(lines[0][:200] if lines else "Nothing is said about it."),))


def _plain(word: str) -> str:
    return re.sub(r"[^\w .-]", "", word)
