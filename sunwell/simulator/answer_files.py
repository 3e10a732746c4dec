"""Answers from files: each request is written to a folder, and its answer is read from a file beside it."""

import asyncio
import hashlib
import json
import re
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from difflib import get_close_matches
from pathlib import Path
from typing import Any, Literal, get_args

import attrs

from sunwell.core.message import Message, Part, Text, Thinking, ToolCall
from sunwell.core.model import Stop
from sunwell.errors import ConfigurationError
from sunwell.simulator.request_text import Earlier, request_text, tools_in
from sunwell.simulator.script import Asked, Posed, PosedRequest, Reply
from sunwell.simulator.wire import Refusal

# ---- The format of an answer ----


class AnswerProblem(ValueError):
    """An answer file that cannot be used; its text says what to change."""


_KEYS = ("text", "json", "tool_calls", "thinking", "stop", "output_tokens", "as_is")
_CALL_KEYS = ("name", "arguments")


def parse_text_answer(text: str, asked: Asked) -> Reply:
    """Return the answer in a text file: the text without its last line break.

    Raises :exc:`AnswerProblem` if it is empty, if the request wants JSON and the text is none, or if it
    is JSON with tool calls.
    """
    text = text.removesuffix("\n").removesuffix("\r")
    if not text.strip():
        raise AnswerProblem("the answer is empty: write a text")
    _check_unicode(text)
    if text.lstrip().startswith("{"):
        value = _loaded_or_none(text)
        if isinstance(value, dict) and "tool_calls" in value:
            raise AnswerProblem("this is an answer with tool calls: name the file .answer.json, not .txt")
    if asked.schema is not None:
        _check_is_json(text)
    return Reply((Text(text),))


def parse_json_answer(source: str, asked: Asked, number: int) -> Reply:
    """Return the answer in a JSON file; *number* is in the ids of its tool calls.

    The keys are ``text`` or ``json`` (a value that is sent as text), ``tool_calls`` (a list of objects with
    ``name`` and ``arguments``), ``thinking``, ``stop``, ``output_tokens``, and ``as_is``: with ``true``,
    tool names, arguments and the schema are not checked. Raises :exc:`AnswerProblem` for anything else.
    """
    try:
        answer = _loaded(source)
    except (ValueError, RecursionError) as error:
        raise AnswerProblem(f"this is not valid JSON: {error}") from None
    if not isinstance(answer, dict):
        raise AnswerProblem('the answer must be a JSON object, for example {"text": "Done."}')
    _check_keys(answer, _KEYS, "the answer")
    as_is = answer.get("as_is", False)
    if not isinstance(as_is, bool):
        raise AnswerProblem("as_is must be true or false")
    calls = [] if answer.get("tool_calls") is None else answer["tool_calls"]
    if not isinstance(calls, list):
        raise AnswerProblem("tool_calls must be a list")
    text = _text(answer)
    parts: list[Part] = []
    if answer.get("thinking") is not None:
        parts.append(Thinking(_string(answer["thinking"], "thinking"), "", ""))
    if text:
        parts.append(Text(text))
    parts += (_call(call, i, asked, number, as_is=as_is) for i, call in enumerate(calls, 1))
    if not text and not calls and not as_is:
        raise AnswerProblem('the answer has neither text nor tool calls: write one, or "as_is": true')
    if asked.schema is not None and not calls and not as_is:
        _check_is_json(text)
    stop, tokens = answer.get("stop"), answer.get("output_tokens")
    if stop is not None and stop not in get_args(Stop):
        raise AnswerProblem(f"stop must be one of {', '.join(get_args(Stop))}")
    if tokens is not None and (isinstance(tokens, bool) or not isinstance(tokens, int) or tokens < 0):
        raise AnswerProblem("output_tokens must be a whole number of at least 0")
    return Reply(tuple(parts), stop, tokens)


def _loaded(source: str) -> Any:
    def refuse(word: str) -> None:
        raise ValueError(f"{word} is not a JSON value")

    # Not strict: a line break within a string is accepted, so that the text of a file can be pasted.
    return json.loads(source, parse_constant=refuse, strict=False)


def _loaded_or_none(source: str) -> Any:
    try:
        return _loaded(source)
    except (ValueError, RecursionError):
        return None


def _text(answer: Mapping[str, Any]) -> str:
    if "json" not in answer:
        return _string(answer["text"], "text") if answer.get("text") is not None else ""
    if answer.get("text") is not None:
        raise AnswerProblem("give either text or json, not both")
    return _string(json.dumps(answer["json"], ensure_ascii=False), "json")


def _string(value: Any, where: str) -> str:
    if not isinstance(value, str):
        raise AnswerProblem(f"{where} must be a string; for a JSON value as text, use the key json")
    _check_unicode(value)
    return value


def _call(call: Any, place: int, asked: Asked, number: int, *, as_is: bool) -> ToolCall:
    where = f"tool call {place}"
    if not isinstance(call, dict):
        raise AnswerProblem(f"{where} must be an object with name and arguments")
    _check_keys(call, _CALL_KEYS, where)
    name, arguments = call.get("name"), call.get("arguments", {})
    if not isinstance(name, str) or not name:
        raise AnswerProblem(f"{where} has no name")
    if not as_is and name not in asked.tools:
        offered = ", ".join(asked.tools) or "none"
        raise AnswerProblem(
            f'{where}: no tool {name!r}; offered: {offered}. To send it anyway: "as_is": true'
        )
    if isinstance(arguments, str):
        if not as_is and not isinstance(_loaded_or_none(arguments), dict):
            raise AnswerProblem(f'{where}: arguments are no JSON object. To send them anyway: "as_is": true')
        text = arguments
    elif isinstance(arguments, dict):
        text = json.dumps(arguments, ensure_ascii=False)
    else:
        raise AnswerProblem(f"{where}: arguments must be an object")
    _check_unicode(name + text)
    return ToolCall(f"call_{number:03d}_{place}", name, text)


def _check_keys(value: Mapping[str, Any], known: Sequence[str], where: str) -> None:
    for key in value:
        if key not in known:
            near = get_close_matches(key, known, 1)
            hint = f"did you mean {near[0]}?" if near else f"known: {', '.join(known)}"
            raise AnswerProblem(f"{where} has the unknown key {key!r}; {hint}")


def _check_is_json(text: str) -> None:
    if not isinstance(_loaded_or_none(text), dict):
        raise AnswerProblem(
            "the request wants a JSON object of a schema, and this is none. To send it anyway, write an "
            '.answer.json with "text" and "as_is": true'
        )


def _check_unicode(text: str) -> None:
    try:
        text.encode()
    except UnicodeEncodeError:
        raise AnswerProblem("the answer has half of a surrogate pair, which no model can write") from None


# ---- The folder ----

Happening = Literal["asked", "asked again", "replayed", "problem", "answered", "gone", "refused"]


@attrs.frozen
class AnswerNews:
    """What has happened to a request, and how many requests now wait for an answer."""

    number: int
    """0 for a request that was refused: it gets no number."""
    what: Happening
    model: str
    file: Path
    """The file to read: the request's text, or the problem of its answer."""
    conversation: int
    pending: int
    note: str = ""


_REQUEST = re.compile(r"(\d{3,})\.request\.json")
# What a model sees. Limits, caching, streaming and names of the caller may differ in a replay.
_SEEN = ("model", "system", "messages", "input", "instructions", "tools", "response_format", "text")
_UNSEEN = ("cache_control", "prompt_cache_breakpoint")


def _seen(value: Any, patterns: Sequence[re.Pattern[str]]) -> Any:
    """Return what a model sees of a part of a body, with ``…`` for what matches one of *patterns*."""
    if isinstance(value, Mapping):
        return {key: _seen(one, patterns) for key, one in value.items() if key not in _UNSEEN}
    if isinstance(value, list | tuple):
        return [_seen(one, patterns) for one in value]
    if isinstance(value, str):
        for pattern in patterns:
            value = pattern.sub("…", value)
    return value


@attrs.define(eq=False)
class _Record:
    """One number of the folder."""

    number: int
    body: Mapping[str, Any]
    conversation: int
    digest: bytes
    """Digest of what the model sees."""
    is_taken: bool = False
    """Whether a request of this server has this number and was not given up."""


@attrs.define(eq=False)
class AnswerFiles:
    """A simulated model whose answers are files in a folder; made by :func:`answers_from`."""

    folder: Path = attrs.field(converter=Path)
    wait: bool = True
    ignoring: tuple[str, ...] = attrs.field(default=())
    tell: Callable[[AnswerNews], object] = attrs.field(default=lambda news: None, repr=False)
    poll_seconds: float = 0.2
    settle_seconds: float = 1.0
    clock: Callable[[], float] = attrs.field(default=time.time, repr=False)
    _patterns: tuple[re.Pattern[str], ...] = attrs.field(init=False, repr=False)
    _records: dict[int, _Record] = attrs.field(factory=dict, init=False, repr=False)
    _posed: list[tuple[_Record, Earlier]] = attrs.field(factory=list, init=False, repr=False)
    _pending: int = attrs.field(default=0, init=False)

    def __attrs_post_init__(self) -> None:
        try:
            self._patterns = tuple(re.compile(pattern) for pattern in self.ignoring)
        except re.error as error:
            raise ConfigurationError(f"{error.pattern!r} is not a regular expression: {error}") from None
        try:
            self.folder.mkdir(parents=True, exist_ok=True)
            names = sorted(path.name for path in self.folder.iterdir())
        except OSError as error:
            raise ConfigurationError(f"{self.folder} cannot be used for answers: {error.strerror}") from error
        for name in names:
            if found := _REQUEST.fullmatch(name):
                number = int(found[1])
                self._records[number] = self._record(number, self._recorded(self.folder / name))

    def _recorded(self, path: Path) -> Mapping[str, Any]:
        try:
            body = json.loads(path.read_text("utf-8"))
        except (OSError, ValueError) as error:
            raise ConfigurationError(f"{path} is no recorded request ({error}): remove it") from error
        if not isinstance(body, dict):
            raise ConfigurationError(f"{path} is no recorded request (not a JSON object): remove it")
        return body

    @property
    def pending(self) -> int:
        """Number of requests that wait for an answer."""
        return self._pending

    def pose(self, posed: Posed) -> PosedRequest:
        """Write the request, or find the number under which the same request is recorded."""
        record, note = self._known(posed.body), ""
        was_known = record is not None
        if record is None:
            note = self._difference(posed.body)
            if not self.wait:
                raise self._refusal(
                    posed, f"no recorded request in {self.folder} is the same as this one. {note}".strip()
                )
            number = max(self._records, default=0) + 1
            record = self._records[number] = self._record(number, posed.body)
        recorded = None if self.wait else self._recorded_reply(record, posed)
        earlier = self._earlier(posed.asked)
        if earlier is not None:
            record.conversation = earlier[0].conversation
        self._remember(record, posed, earlier[1] if earlier else None)
        if not was_known:
            self._write_request(record, posed, earlier[1] if earlier else None, note)
        record.is_taken = True
        self._pending += 1
        waiting = _Waiting(self, record, posed.asked, recorded)
        replayed = self._answer_path(record.number) is not None
        waiting.news("replayed" if replayed else "asked again" if was_known else "asked", note)
        return waiting

    def _recorded_reply(self, record: _Record, posed: Posed) -> Reply:
        """Return the recorded answer; a recording is complete, so nothing is waited for."""
        path = self._answer_path(record.number)
        if path is None:
            raise self._refusal(posed, f"request {record.number:03d} in {self.folder} has no recorded answer")
        try:
            return _parsed(path, posed.asked, record.number)
        except (AnswerProblem, OSError) as problem:
            raise self._refusal(posed, f"{path}: {problem}") from problem

    def _refusal(self, posed: Posed, text: str) -> Refusal:
        self.tell(AnswerNews(0, "refused", posed.asked.model, self.folder, 0, self.pending, text))
        return Refusal(400, text)  # clients do not repeat a request that gets 400

    def path(self, number: int, kind: str) -> Path:
        """Return the path of a file of request *number*, for example of kind ``request.txt``."""
        return self.folder / f"{number:03d}.{kind}"

    def write(self, path: Path, text: str) -> None:
        """Write a whole file at once: under another name, then renamed."""
        draft = path.with_name(f".{path.name}.draft")
        draft.write_bytes(text.encode("utf-8", "backslashreplace"))
        draft.replace(path)

    def _answer_path(self, number: int) -> Path | None:
        paths = [self.path(number, "answer.txt"), self.path(number, "answer.json")]
        return next((path for path in paths if path.exists()), None)

    def _write_request(self, record: _Record, posed: Posed, earlier: Earlier | None, note: str) -> None:
        name = f"{record.number:03d}"
        text = request_text(posed, name, f"{record.conversation:03d}", earlier)
        raw = json.dumps(posed.body, ensure_ascii=False, indent=1)
        # The text comes last: if it is there, so is the other file.
        self.write(self.path(record.number, "request.json"), raw + "\n")
        self.write(self.path(record.number, "request.txt"), f"{text}\n{note}\n" if note else text)

    def _remember(self, record: _Record, posed: Posed, earlier: Earlier | None) -> None:
        file, tools = f"{record.number:03d}.request.txt", tools_in(posed.body)
        same_system = earlier is not None and earlier.asked.system == posed.asked.system
        same_tools = earlier is not None and earlier.tools == tools
        known = Earlier(
            file,
            posed.asked,
            tools,
            earlier.system_file if earlier and same_system else file,
            earlier.tools_file if earlier and same_tools else file,
        )
        self._posed.append((record, known))

    def _earlier(self, asked: Asked) -> tuple[_Record, Earlier] | None:
        """Return the longest earlier request whose messages begin this one; of equal ones, the latest."""
        best: tuple[_Record, Earlier] | None = None
        for record, known in self._posed:
            size = len(known.asked.messages)
            fits = (
                known.asked.model == asked.model
                and size < len(asked.messages)
                and _readable(asked.messages[:size]) == _readable(known.asked.messages)
                and _answered_by(record.number, asked.messages[size])
            )
            if fits and (best is None or size >= len(best[1].asked.messages)):
                best = (record, known)
        return best

    # ---- The same request again ----

    def _canonical(self, body: Mapping[str, Any]) -> str:
        seen = {key: _seen(body[key], self._patterns) for key in _SEEN if key in body}
        config = body.get("output_config")
        if isinstance(config, Mapping) and "format" in config:  # beside the effort, which is not compared
            seen["format"] = _seen(config["format"], self._patterns)
        return json.dumps(seen, ensure_ascii=False, sort_keys=True)

    def _record(self, number: int, body: Mapping[str, Any]) -> _Record:
        return _Record(number, body, number, self._digest(body))

    def _digest(self, body: Mapping[str, Any]) -> bytes:
        return hashlib.sha256(self._canonical(body).encode("utf-8", "surrogatepass")).digest()

    def _known(self, body: Mapping[str, Any]) -> _Record | None:
        wanted = self._digest(body)
        free = (record for _, record in sorted(self._records.items()) if not record.is_taken)
        return next((record for record in free if record.digest == wanted), None)

    def _difference(self, body: Mapping[str, Any]) -> str:
        """Return how the request differs from the most similar recorded one that was not asked yet."""
        now = self._canonical(body)
        best: tuple[int, int, str] | None = None
        for number, record in sorted(self._records.items()):
            if record.is_taken or self._answer_path(number) is None:
                continue
            before = self._canonical(record.body)
            same = _common_length(before, now)
            if best is None or same > best[0]:
                best = (same, number, before)
        if best is None:
            return ""
        same, number, before = best
        start = max(0, same - 40)
        return (
            f"The most similar recorded request is {number:03d}. The first difference: it had "
            f"{before[start : same + 60]!r}, and this one has {now[start : same + 60]!r}."
        )


def _common_length(one: str, other: str) -> int:
    """Return how many characters at the beginning of two texts are the same."""
    low, high = 0, min(len(one), len(other))
    while low < high:  # bisection: the texts may be megabytes
        middle = (low + high + 1) // 2
        low, high = (middle, high) if one[:middle] == other[:middle] else (low, middle - 1)
    return low


def _readable(messages: Iterable[Message]) -> list[Any]:
    """Return what a model reads of *messages*: signatures and other hidden data may change on the way."""
    return [
        (message.role, [attrs.astuple(part)[:3] for part in message.parts if not isinstance(part, Thinking)])
        for message in messages
    ]


def _answered_by(number: int, message: Message) -> bool:
    """Whether *message* can be the answer to request *number*: the ids of its tool calls name the request."""
    return all(call.id.startswith(f"call_{number:03d}_") for call in message.tool_calls)


@attrs.define(eq=False)
class _Waiting:
    """A request that waits for its answer file."""

    files: AnswerFiles
    record: _Record
    asked: Asked
    recorded: Reply | None = None
    """The answer, if it was known at once."""
    is_answered: bool = attrs.field(default=False, init=False)
    _looks: dict[Path, tuple[object, float]] = attrs.field(factory=dict, init=False)
    """What each answer file looked like, and since when."""
    _refused: dict[Path, object] = attrs.field(factory=dict, init=False)

    async def reply(self) -> Reply:
        while True:
            reply = self.recorded or self._look()
            if reply is not None:
                self.is_answered = True
                self.files.path(self.record.number, "problem.txt").unlink(missing_ok=True)
                return reply
            await asyncio.sleep(self.files.poll_seconds)

    def close(self) -> None:
        self.files._pending -= 1
        # The same request may be asked again, after a time limit or in another run: then it keeps its number.
        self.record.is_taken = self.is_answered
        self.news("answered" if self.is_answered else "gone")

    def news(self, what: Happening, note: str = "") -> None:
        kind = "problem.txt" if what == "problem" else "request.txt"
        file = self.files.path(self.record.number, kind)
        record, pending = self.record, self.files.pending
        self.files.tell(
            AnswerNews(record.number, what, self.asked.model, file, record.conversation, pending, note)
        )

    def _look(self) -> Reply | None:
        number = self.record.number
        for kind in ("answer.txt", "answer.json"):
            path = self.files.path(number, kind)
            try:
                state, modified = _state(path)
            except OSError:
                self._looks.pop(path, None)
                continue
            if self._refused.get(path) == state or not state[1]:
                continue
            is_settled = self._is_settled(path, state, modified)
            if kind == "answer.txt" and not is_settled:
                continue
            try:
                reply = _parsed(path, self.asked, number)
                if _state(path)[0] == state:  # else a program began to write it anew while it was read
                    return reply
            except OSError:
                continue  # removed between two steps
            except AnswerProblem as problem:
                if is_settled:  # else it may be half of the file
                    self._refused[path] = state
                    self._report(path, problem)
        return None

    def _is_settled(self, path: Path, state: object, modified: float) -> bool:
        now = self.files.clock()
        if self._looks.get(path, (None, 0.0))[0] != state:
            self._looks[path] = (state, now)
        quiet = now - min(modified, self._looks[path][1])
        return quiet >= self.files.settle_seconds

    def _report(self, path: Path, problem: AnswerProblem) -> None:
        text = f"{path.name}: {problem}\nChange the file; it is read again.\n"
        self.files.write(self.files.path(self.record.number, "problem.txt"), text)
        self.news("problem", str(problem))


def _state(path: Path) -> tuple[tuple[int, int, int], float]:
    """Return what changes with a file's content (inode, size, time), and the time in seconds."""
    stat = path.stat()
    return (stat.st_ino, stat.st_size, stat.st_mtime_ns), stat.st_mtime


def _parsed(path: Path, asked: Asked, number: int) -> Reply:
    try:
        text = path.read_bytes().decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise AnswerProblem(f"the file is not UTF-8: {error}") from None
    if path.suffix == ".txt":
        return parse_text_answer(text, asked)
    return parse_json_answer(text, asked, number)


def answers_from(
    folder: Path | str,
    *,
    wait: bool = True,
    ignoring: Iterable[str] = (),
    tell: Callable[[AnswerNews], object] = lambda news: None,
    poll_seconds: float = 0.2,
    settle_seconds: float = 1.0,
    clock: Callable[[], float] = time.time,
) -> AnswerFiles:
    """Return a model for :class:`~sunwell.simulator.Simulator` whose answers are files in *folder*.

    Request 7 is written to ``007.request.txt``, for people, and ``007.request.json``, as it was sent. The
    answer is ``007.answer.txt``, a text, or ``007.answer.json``, text and tool calls. One object can serve
    several models. A request that is recorded in the folder gets its recorded answer.

    Args:
        wait: Whether to wait for a new answer. With ``False``, a request without a recorded answer gets
            status 400 with the difference to the most similar recorded request.
        ignoring: Regular expressions. What they match does not matter if two requests are compared; for
            example temporary paths and dates.
        tell: Called with an :class:`AnswerNews` whenever something happens to a request.
        poll_seconds: Time between two looks at the folder.
        settle_seconds: A text is complete once its file has not changed for this long. JSON is complete as
            soon as it is valid.
        clock: The time in seconds, as for the times of files.
    """
    if isinstance(ignoring, str):
        raise TypeError(f"expected several regular expressions, got the single string {ignoring!r}")
    return AnswerFiles(Path(folder), wait, tuple(ignoring), tell, poll_seconds, settle_seconds, clock)
