"""Foreign text costs linear time: no expression and no parser goes back over what it has read.

Python's ``re`` and ``json`` hold the interpreter's lock, so that a text on which they take minutes stops the
event loop, also from a thread. Each parser runs in a process of its own, which the system ends.
"""

import os
import signal
import time
from collections.abc import Callable, Iterator
from contextlib import suppress

import pytest

from sunwell.agent.lens.lens_parser import candidates, seen_text, whole_part
from sunwell.agent.policy.estimator import estimate_output
from sunwell.agent.policy.task_kinds import kind_of as kind_of_task
from sunwell.agent.policy.task_words import groups, plain_words, split_material
from sunwell.agent.policy.wanted_changes import wanted_changes
from sunwell.checks.facts import announced_facts
from sunwell.checks.final_words import (
    admits_failure,
    announcement_in,
    passing_claim_in,
    reports_not_done,
    reports_refusal,
    says_it_cannot_run,
    says_it_was_before,
    says_nothing_was_done,
)
from sunwell.checks.shell_verdicts import kind_of as kind_of_command
from sunwell.checks.steering import programs_of, steering_kind
from sunwell.config.documents import _read_toml, _toml_lines
from sunwell.context.json_text import json_in, strict_json
from sunwell.context.kinds import Seconds, read_text
from sunwell.context.outline import outline
from sunwell.context.relevance import Sought, words_of
from sunwell.core.addresses import without_addresses
from sunwell.core.markdown import bullet_list, fenced
from sunwell.core.marks import guarded, piece_of_file, unguarded
from sunwell.core.message import ToolCall
from sunwell.core.model import ToolSpec
from sunwell.core.secrets import Secrets
from sunwell.errors import SunwellError
from sunwell.models.answers import decode, whole
from sunwell.models.learning import learned
from sunwell.models.length_refusals import length_refusal
from sunwell.models.openai_chat import LESSONS, ChatQuirks
from sunwell.models.returned import sound_arguments, sound_name
from sunwell.report.figures import one_line, printable, told_arguments
from sunwell.tools.arguments import closed, read_arguments, repaired
from sunwell.tools.arguments import text as text_schema
from sunwell.tools.edit_hints import why_not_found
from sunwell.tools.file_glob import FileGlob
from sunwell.tools.ignore_rules import Ignores
from sunwell.tools.near_names import near_names
from sunwell.tools.piece import spans
from sunwell.tools.protected import secret_of_elsewhere
from sunwell.tools.search import _Expression, _nodes, literal_in
from sunwell.tools.short_diff import first_lines
from sunwell.tools.text_file import text_of
from sunwell.tools.wording import cut, visible, without_escapes
from sunwell.tools.workspace import FolderEntry

SIZE = 8_000
SHORT = 4_000
"""For parsers that are linear, and slow."""
SLOW = {"command", "programs", "steering", "difference", "ignore file", "task", "sought"}
MOST_SECONDS = 0.000_03
"""Of computing time for a character. What goes back over thousands of characters takes many times as long."""
LEAST_SHARE = 0.35
"""Of that time, for half of a text. What goes back over all of it takes a quarter, or less."""
_SPEC = ToolSpec("note", "Note.", closed({"said": text_schema("What.")}))
_SECRETS = Secrets()
_SECRETS.add("s3cr3t-value", "KEY")
_PLACES = [FolderEntry(f"src/file{number}.py", "file", 1) for number in range(50)]


def _glob(given: str) -> None:
    FileGlob.of(given).takes("src/aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaab/file.py")


def _ignored(given: str) -> None:
    rules = Ignores().below("", [(".gitignore", given.encode("utf-8", "replace"))])
    rules.hides("src/" + "a" * 200 + "b", is_folder=False)


def _own_name(given: str) -> None:
    Ignores().below("", [(".gitignore", b"*a*a*a*a*a*a*a*b\n**/a/**/a/**/b\n")]).hides(
        given.replace("\0", " "), is_folder=False
    )


def _refusal(given: str) -> None:
    for start in ("", "maximum context length is 1", "Request too large for ", "prompt contains 1 tokens "):
        length_refusal(400, {}, start + given)


def _expression(given: str) -> None:
    _nodes(given[:1000])
    literal_in(given[:1000])
    _Expression(given[:1000], lambda: None)


def _call(given: str) -> None:
    for arguments in (given, f'{{"said": {given}', f'{{"said": "{given}"}}'):
        call = ToolCall("1", "note", arguments)
        read_arguments(repaired(call, _SPEC), _SPEC)


PARSERS: dict[str, Callable[[str], object]] = {
    "tool call": _call,
    "arguments of a model": sound_arguments,
    "name of a tool": lambda given: sound_name(given, 64),
    "answer": lambda given: decode(given.encode("utf-8", "replace")),
    "whole characters": whole,
    "file with an unknown name": lambda given: secret_of_elsewhere(given.encode("utf-8", "replace")),
    "lens": lambda given: list(candidates(given)),
    "cut lens": lambda given: list(candidates(given, cut=True)),
    "shown lens": whole_part,
    "text of a lens": seen_text,
    "fenced JSON": json_in,
    "JSON": strict_json,
    "announcement": announcement_in,
    "claim": passing_claim_in,
    "failure": admits_failure,
    "refusal in an answer": reports_refusal,
    "what is not done": lambda given: reports_not_done(given, "a.py"),
    "no tools": says_it_cannot_run,
    "before": says_it_was_before,
    "nothing done": says_nothing_was_done,
    "facts": announced_facts,
    "command": kind_of_command,
    "programs": programs_of,
    "steering": lambda given: steering_kind(given, given),
    "task": wanted_changes,
    "groups": lambda given: groups(given, {"endpoint": "endpoints"}),
    "words of a task": plain_words,
    "material": split_material,
    "kind of a task": kind_of_task,
    "size of a task": estimate_output,
    "TOML": lambda given: _read_toml("a.toml", given),  # type: ignore[arg-type]
    "long TOML": lambda given: _read_toml("a.toml", given * 20),  # type: ignore[arg-type]
    "lines of TOML": _toml_lines,
    "time": lambda given: read_text(given, Seconds),
    "outline": lambda given: outline("a.py", given),
    "outline of prose": lambda given: outline("a.md", given),
    "sought": Sought.of,
    "relevance": words_of,
    "fence": fenced,
    "list": lambda given: bullet_list([given]),
    "marks": lambda given: unguarded(guarded(given)),
    "piece": lambda given: piece_of_file(given, given),
    "secrets": _SECRETS.redact,
    "provider's refusal": _refusal,
    "lesson": lambda given: learned(ChatQuirks(), given, LESSONS),
    "report": lambda given: (one_line(given), printable(given), told_arguments(given)),
    "difference": lambda given: why_not_found(given, given[: len(given) // 2] + "!"),
    "spans": lambda given: list(spans(given, given[:100] + "!")),
    "glob": _glob,
    "ignore file": _ignored,
    "ignored name": _own_name,
    "near names": lambda given: near_names(_PLACES, given, "any"),
    "file": lambda given: text_of("a", given.encode("latin-1", "replace")),
    "file with a declaration": lambda given: text_of("a", f"-*-{given}".encode("latin-1", "replace")),
    "page": lambda given: text_of("a", f"<html>{given}".encode("latin-1", "replace") + b"\xe9"),
    "terminal": lambda given: (visible(given), without_escapes(given), cut(given, 1000)),
    "expression": _expression,
    "error": lambda given: (without_addresses(given), first_lines(given)),
}
_PIECES = (
    *" a1\n\t\r`'\"[]{}()\\-._/,:;*#~<>|&$=!?é\u2014",
    "a ", " \n", "a\n", "\\\"", "[a", "a.", "1,", "1.", "[[", "{\"a\":", "[1,", "a-", "a/", "./", "../",
    "**/", "*a", "`a", "~~~a\n", "```\n", "(a", "x(", "$(", "<<a\n", "&& ", "; ", "\x1b[", "\x1b]", "-*-",
    "coding: ", "<meta ", "my next step is ", "now ", "i'll now ", "all the ", "1 tests ", "let me ",
    "and then ", "up to 5 ", "5 files ", "tokens per min", "tool_call", "# ", "- ", "1. ", "a = 1\n",
    "a.b.", "[a.", "'''", "\"\"\"", "</think>", "<think>", "def f(", "class A(", "import a\n",
    "https://a:b@", "key=", "?(", "[^", "{1,", "a{9}", "\\Q", "(?:", "!(", "[a,b]",
)  # fmt: skip


_ENDS = (("", ""), ("", "\0"), ("my next step is", "!\n"), ("a", "b"))


def hostile_texts(size: int, first: int, *, all_ends: bool) -> Iterator[str]:
    """Yield texts of about *size* characters that repeat one piece, with starts and ends that do not fit.

    Each piece has one start and end, by turns from the *first* on, or all of them.
    """
    for number, piece in enumerate(_PIECES, first):
        body = piece * (size // len(piece))
        for start, end in _ENDS if all_ends else (_ENDS[number % len(_ENDS)],):
            yield start + body + end


def _seconds(parse: Callable[[str], object], given: str, size: int) -> float:
    """Return the computing time of *parse*; the system ends this process if it is far too long."""
    signal.setitimer(signal.ITIMER_VIRTUAL, 30 * MOST_SECONDS * size)
    begun = time.process_time()
    with suppress(SunwellError, ValueError, OverflowError):  # it may be refused
        parse(given)
    return time.process_time() - begun


def _is_slow(parse: Callable[[str], object], given: str, size: int) -> bool:
    """Whether *parse* takes too long, each time, and more than twice as long as for half of the text.

    On a busy machine, computing takes longer now and then. No text is the same as one before, which might be
    remembered.
    """
    took = _seconds(parse, given, size)
    for number in range(1, 4):
        if took <= MOST_SECONDS * size:
            return False
        took = min(took, _seconds(parse, given + " " * number, size))
    half = min(_seconds(parse, given[: len(given) // 2] + " " * number, size) for number in range(3))
    return half < LEAST_SHARE * took


def slow_text(name: str, *, all_ends: bool = False) -> str:
    """Return how a text begins on which a parser is slow; empty if there is none."""
    parse, size = PARSERS[name], SHORT if name in SLOW else SIZE
    reading, writing = os.pipe()
    child = os.fork()
    if child == 0:
        signal.signal(signal.SIGVTALRM, signal.SIG_DFL)
        for given in hostile_texts(size, list(PARSERS).index(name), all_ends=all_ends):
            os.write(writing, f"{given[:40]!r} … {given[-5:]!r}\n".encode("utf-8", "replace"))
            try:
                if _is_slow(parse, given, size):
                    os._exit(1)
            except BaseException as error:
                os.write(writing, f"{type(error).__name__}: {error}"[:200].encode("utf-8", "replace"))
                os._exit(2)
        os._exit(0)
    os.close(writing)
    with os.fdopen(reading, "rb") as said:
        lines = said.read().decode("utf-8", "replace").splitlines()
    code = os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
    return "" if code == 0 else f"{lines[-1]} ({code})"


@pytest.mark.parametrize("name", PARSERS)
def test_a_parser_reads_hostile_text_in_linear_time(name: str) -> None:
    """Texts that make an expression go back over them, nested brackets, marks that are never closed."""
    assert slow_text(name) == ""


if __name__ == "__main__":  # each parser with each start and end, which takes a minute
    for parser in PARSERS:
        print(f"{parser}: {slow_text(parser, all_ends=True) or 'linear'}")
