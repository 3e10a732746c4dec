"""Answers a shell that completes a command line of ``sunwell``.

The answer must come while somebody types, so nothing of Sunwell is loaded: the words of all commands are in a
file in the user's cache, made again whenever the installed commands have changed. No settings are read, so a
folder from elsewhere has nothing to say; of its runs, ids are shown, and statuses and tasks as harmless text.
"""

import json
import os
import re
import sys
from collections.abc import Iterator, Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any, NamedTuple, NoReturn

VARIABLE = "_SUNWELL_COMPLETE"
"""Set by the script in the shell, to ``bash_complete``, ``zsh_complete`` or ``fish_complete``."""
_FORMAT = 1
_MOST_RUNS = 50
_HELP_CHARACTERS = 70
_HEAD_BYTES, _TAIL_BYTES = 1 << 16, 1 << 20
_RUN_ID = re.compile(r"[0-9A-Za-z][0-9A-Za-z._-]{0,127}\Z")
_TASK = re.compile(r'"task": ?("(?:[^"\\]|\\.)*")')
_WORDS = re.compile(r"""(?:[^\s'"\\]|\\.?|'[^']*(?:'|\Z)|"(?:[^"\\]|\\.)*(?:"|\Z))+""", re.DOTALL)
_QUOTES = re.compile(r"""'([^']*)'?|"((?:[^"\\]|\\.)*)"?|\\(.?)""", re.DOTALL)


class CompletionWord(NamedTuple):
    """A word that may stand where the cursor is."""

    value: str
    help: str = ""
    kind: str = "plain"
    """``plain``, or ``file`` or ``dir``: the shell itself completes the name of one."""


def complete() -> NoReturn:
    """Print the words for the line that the shell has put into the environment, and end the process.

    Whatever goes wrong, there are only fewer words: a message would stand in the middle of what is typed.
    """
    from sunwell.cli.output import say_at_once, silence_errors

    silence_errors()
    with suppress(Exception):
        shell = os.environ[VARIABLE].partition("_")[0]
        args, typed = line_of(shell, os.environ.get("COMP_WORDS", ""), os.environ.get("COMP_CWORD", ""))
        lines = [_told(shell, word) for word in completions(known_words(), args, typed)]
        say_at_once("".join(f"{line}\n" for line in lines).encode("utf-8", "replace"), err=False)
    os._exit(0)


def line_of(shell: str, words: str, at: str) -> tuple[list[str], str]:
    """Return the whole words after the name of the command, and the one that is being typed."""
    split = [_unquoted(found[0]) for found in _WORDS.finditer(words)]
    if shell == "fish":  # it gives the line up to the cursor, and the word at it
        typed, args = _unquoted(at), split[1:]
        return (args[:-1] if typed and args and args[-1] == typed else args), typed
    place = int(at)
    return split[1:place], split[place] if place < len(split) else ""


def _unquoted(word: str) -> str:
    return _QUOTES.sub(lambda found: found[1] or found[2] or found[3] or "", word)


def completions(known: Mapping[str, Any], args: Sequence[str], typed: str) -> list[CompletionWord]:
    """Return the words for *typed* after *args*, by the words that are *known*."""
    command, options, folder, place, waits = known["tree"], True, ".", 0, None
    if typed == "=":  # bash breaks words there
        typed = ""
    for word in args:
        if waits is not None and word == "=":
            continue
        if waits is not None:
            folder = word if waits["value"] == "dir" and "--workspace" in waits["names"] else folder
            waits = None
        elif options and word == "--":
            options = False
        elif options and word.startswith("-"):
            name, has_value, value = word.partition("=")
            found = _option(command, name)
            if found is not None and found["value"] is not None:
                waits = None if has_value else found
                if has_value and "--workspace" in found["names"]:
                    folder = value
        elif word in command["commands"]:
            command = command["commands"][word]
        else:
            place += 1
    if waits is not None:
        return _values(known, waits["value"], waits["choices"], folder, typed)
    name, has_value, value = typed.partition("=")
    if options and has_value and (found := _option(command, name)) is not None:
        words = _values(known, found["value"], found["choices"], folder, value)
        return [word._replace(value=f"{name}={word.value}") for word in words if word.kind == "plain"]
    if options and typed.startswith("-"):
        return _options(command, args, typed)
    if command["commands"]:
        return [
            CompletionWord(name, each["help"])
            for name, each in command["commands"].items()
            if name.startswith(typed)
        ]
    kinds = command["arguments"]
    return _values(known, kinds[place], [], folder, typed) if place < len(kinds) else []


def _option(command: Mapping[str, Any], name: str) -> Mapping[str, Any] | None:
    return next((option for option in command["options"] if name in option["names"]), None)


def _options(command: Mapping[str, Any], args: Sequence[str], typed: str) -> list[CompletionWord]:
    given = {word.partition("=")[0] for word in args}
    return [
        CompletionWord(name, option["help"])
        for option in command["options"]
        if option["repeats"] or not given.intersection(option["names"])
        for name in option["names"]
        if name.startswith(typed) and (name.startswith("--") or typed == name)
    ]


def _values(
    known: Mapping[str, Any], kind: str | None, choices: Sequence[str], folder: str, typed: str
) -> list[CompletionWord]:
    found: Iterator[CompletionWord] | list[CompletionWord] = []
    if kind in ("file", "dir"):
        return [CompletionWord(typed, kind=kind)]
    if kind == "choice":
        found = [CompletionWord(choice) for choice in choices]
    elif kind == "model":
        found = [CompletionWord(name, said) for name, said in known["models"]]
    elif kind == "run":
        found = recorded_runs(Path(folder).expanduser())
    return [word for word in found if word.value.startswith(typed)]


def recorded_runs(root: Path) -> Iterator[CompletionWord]:
    """Yield the ids of the newest runs under *root*, with status and task; no link is followed."""
    way = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW
    kept = folder = -1
    with suppress(OSError):
        kept = os.open(root / ".sunwell", way)
        folder = os.open("runs", way, dir_fd=kept)
        names = sorted((one.name for one in os.scandir(folder) if _RUN_ID.match(one.name)), reverse=True)
        for name in names[:_MOST_RUNS]:
            with suppress(OSError, ValueError):
                status, task = _read_run(name, folder)
                yield CompletionWord(name, f"{status}: {task}")
    for number in (kept, folder):
        if number >= 0:
            os.close(number)


def _read_run(name: str, folder: int) -> tuple[str, str]:
    """Return the status and the task of a run, from the ends of its journal."""
    inside = os.open(name, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW, dir_fd=folder)
    try:
        # Without O_NONBLOCK, a pipe in the place of a journal would hold the shell up.
        number = os.open("journal.jsonl", os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK, dir_fd=inside)
    finally:
        os.close(inside)
    with os.fdopen(number, "rb") as journal:
        found = _TASK.search(journal.read(_HEAD_BYTES).decode("utf-8", "replace"))
        size = journal.seek(0, os.SEEK_END)
        journal.seek(max(0, size - _TAIL_BYTES))
        last = journal.read(_TAIL_BYTES).rstrip(b"\n").rpartition(b"\n")[2]
    task = "" if found is None else str(json.loads(found[1]))
    try:
        record = json.loads(last)
        status = record["status"] if record["kind"] == "closed" else "open"
    except (ValueError, LookupError, TypeError):
        status = "open"
    return str(status), task


def harmless(text: str) -> str:
    """Return *text* as one short line in which a terminal finds nothing to act on."""
    line = " ".join("".join(sign if sign.isprintable() else " " for sign in text[:1_000]).split())
    return line if len(line) <= _HELP_CHARACTERS else f"{line[: _HELP_CHARACTERS - 1]}…"


def _told(shell: str, word: CompletionWord) -> str:
    """Return *word* as the script of the shell reads it."""
    said = harmless(word.help)
    if shell == "zsh":
        value = word.value.replace(":", r"\:") if said else word.value
        return f"{word.kind}\n{value}\n{said or '_'}"
    if shell == "fish":
        return f"{word.kind},{word.value}" + (f"\t{said}" if said else "")
    return f"{word.kind},{word.value}"  # bash would put a help text into the line itself


def known_words() -> Mapping[str, Any]:
    """Return the words of all commands: from the cache, or from the commands if they have changed since."""
    key, place = _key(), cache_file()
    with suppress(OSError, ValueError):
        kept = json.loads(place.read_bytes())
        if isinstance(kept, dict) and kept.get("key") == key:
            return kept
    from sunwell.cli.completion_command import all_words

    made = {"key": key, **all_words()}
    with suppress(OSError):  # without a cache it is only slower
        place.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
        beside = place.with_name(f"{place.name}.{os.getpid()}")
        beside.write_text(json.dumps(made), "utf-8")
        beside.replace(place)
    return made


def cache_file() -> Path:
    """Return where the words are kept: in ``SUNWELL_HOME``, or in the user's cache."""
    if own := os.environ.get("SUNWELL_HOME", "").strip():
        return Path(own) / "completion.json"
    chosen = os.environ.get("XDG_CACHE_HOME", "")
    default = Path.home() / ("Library/Caches" if sys.platform == "darwin" else ".cache")
    return (Path(chosen) if chosen.startswith("/") else default) / "sunwell" / "completion.json"


def _key() -> str:
    """Return what changes when other commands are installed: of the modules with options and models."""
    package = Path(__file__).parents[1]
    times = [
        entry.stat().st_mtime_ns
        for room in ("cli", "context", "models")
        for entry in os.scandir(package / room)
        if entry.name.endswith(".py")
    ]
    return f"{_FORMAT} {package} {len(times)} {max(times)}"
