"""A lens as a JSON file: written for people to read and change, read back strictly."""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import attrs

from sunwell.agent.lens.lens_parser import lens_tokens, unseen_characters
from sunwell.agent.lens.lens_request import RULE_PARTS
from sunwell.core.lens import EphemeralLens
from sunwell.core.markdown import one_line
from sunwell.errors import ConfigurationError
from sunwell.tools.given_files import read_given

_LONGEST_BYTES = 1 << 20
_LISTS = (*RULE_PARTS, "target_files")
_FIELDS = tuple(field.name for field in attrs.fields(EphemeralLens))
_ORIGIN = "origin"
_PARTS = (*(name for name in _FIELDS if name != "generation_prompt"), _ORIGIN)
_LONGEST_TASK = 500


@attrs.frozen
class LensOrigin:
    """Where a saved lens comes from: what a file keeps in place of the prompt that its model answered."""

    task: str = ""
    """The task that it was written for, in at most 500 characters."""
    date: str = ""
    """The ISO day on which it was written."""
    prompt_sha256: str = ""
    """SHA-256 of the user message that the model answered; the message itself is in the run's journal."""
    prompt_bytes: int = 0
    """Length of that message in UTF-8."""
    gate: str = ""
    """What running items with it and without it has shown; empty: it was not tested."""

    @classmethod
    def of(cls, lens: EphemeralLens, task: str, date: str) -> "LensOrigin":
        """Return the origin of *lens*, which was written for *task* on *date*."""
        from hashlib import sha256

        prompt = lens.generation_prompt.encode("utf-8", "surrogatepass")
        line = one_line(task)
        shown = line if len(line) <= _LONGEST_TASK else line[: _LONGEST_TASK - 1].rstrip() + "…"
        return cls(shown, date, sha256(prompt).hexdigest() if prompt else "", len(prompt))


@attrs.frozen
class SavedLens:
    """What a lens file says."""

    lens: EphemeralLens
    origin: LensOrigin = LensOrigin()


def lens_json(lens: EphemeralLens, origin: LensOrigin | None = None) -> str:
    """Return *lens* as indented JSON, its fields in their order; :func:`read_lens` gives it back.

    The prompt that its model answered is left out: it holds tens of kilobytes of sources, and the file is
    meant for version control. *origin* says which prompt it was; ``None``: its digest and size alone.
    """
    fields = attrs.asdict(lens)
    del fields["generation_prompt"]
    origin = origin or LensOrigin.of(lens, "", "")
    if origin != LensOrigin():
        fields[_ORIGIN] = attrs.asdict(origin)
        if not origin.gate:
            del fields[_ORIGIN]["gate"]
    return json.dumps(fields, ensure_ascii=False, indent=2) + "\n"


def read_lens(path: str | Path) -> EphemeralLens:
    """Return the lens in the file *path*: what ``sunwell lens -o`` saved, or written by hand.

    Raises :exc:`~sunwell.errors.ConfigurationError`, with the place in the file, if there is no such file,
    if it is not a lens, or if it contains no guidance.
    """
    return read_saved_lens(Path(path)).lens


def read_saved_lens(path: Path) -> SavedLens:
    """Return what the lens file *path* says. Files that hold the whole prompt are read, too.

    Raises what :func:`read_lens` raises.
    """
    text = text_of_file(path, "lens", "a JSON file")
    try:
        return saved_lens_of(json.loads(text, object_pairs_hook=_once), str(path))
    except _Twice as error:
        raise ConfigurationError(f"{path}: {error.args[0]!r} is there twice: keep one") from None
    except (ValueError, RecursionError) as error:
        if isinstance(error, ConfigurationError):
            raise
        raise ConfigurationError(f"{path} is no JSON: {error}") from None


def text_of_file(path: Path, what: str, kind: str) -> str:
    """Return the text of the *what* at *path*, without a byte order mark; *kind* is what to name instead.

    Raises :exc:`~sunwell.errors.ConfigurationError` if it is no file of at most 1 MiB, no UTF-8 text, or one
    that no tool reads.
    """
    try:
        if path.exists() and not path.is_file():
            raise ConfigurationError(f"the {what} {path} is not a file: name {kind}")
        if path.stat().st_size > _LONGEST_BYTES:
            raise ConfigurationError(f"{path} is not a {what}: it has more than {_LONGEST_BYTES:,} bytes")
        return read_given(path, f"the {what}", _LONGEST_BYTES).decode("utf-8-sig")
    except OSError as error:
        raise ConfigurationError(f"the {what} {path} cannot be read: {error.strerror or error}") from None
    except UnicodeDecodeError:
        raise ConfigurationError(f"the {what} {path} is not UTF-8 text") from None


class _Twice(Exception):
    """A name occurs twice in an object."""


def _once(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    made = dict(pairs)
    if len(made) < len(pairs):  # Python keeps the last: rules would be gone without a word
        names = [name for name, _ in pairs]
        raise _Twice(next(name for name in names if names.count(name) > 1))
    return made


def lens_of(value: Any, where: str) -> EphemeralLens:
    """Return the lens that the JSON *value* describes; *where* names it in what is raised."""
    return saved_lens_of(value, where).lens


def saved_lens_of(value: Any, where: str) -> SavedLens:
    """Return what the JSON *value* of a lens file says; *where* names it in what is raised."""
    if not isinstance(value, dict):
        raise ConfigurationError(f"{where} is not a lens: write an object with {', '.join(_PARTS)}")
    unknown = [name for name in value if name not in _FIELDS and name != _ORIGIN]
    if unknown:
        raise ConfigurationError(f"{where}: a lens has no {unknown[0]!r}; its parts: {', '.join(_PARTS)}")
    for name in _LISTS:
        _require_texts(value.get(name, []), name, where)
    for name in ("task_scope", "generated_by", "generation_prompt"):
        _require(value.get(name, ""), str, name, where)
    origin = _origin_of(value.get(_ORIGIN, {}), where)
    lens = EphemeralLens(**{name: value[name] for name in value if name != _ORIGIN})
    if lens.is_empty:
        raise ConfigurationError(f"{where} is empty: give at least one rule")
    return SavedLens(lens, origin)


def _require_texts(value: Any, name: str, where: str) -> None:
    if not isinstance(value, list):
        raise ConfigurationError(f"{where}: {name} must be a list of strings, got {_shown(value)}")
    for number, item in enumerate(value, 1):
        _require(item, str, f"{name}, item {number}", where)


def _origin_of(value: Any, where: str) -> LensOrigin:
    texts = ("task", "date", "prompt_sha256", "gate")
    kinds: Mapping[str, type] = dict.fromkeys(texts, str) | {"prompt_bytes": int}
    _require(value, dict, _ORIGIN, where)
    for name, found in value.items():
        if name not in kinds:
            raise ConfigurationError(f"{where}: {_ORIGIN} has no {name!r}; its parts: {', '.join(kinds)}")
        _require(found, kinds[name], f"{name} of {_ORIGIN}", where)
    return LensOrigin(**value)


def _require(value: Any, kind: type, name: str, where: str) -> None:
    if type(value) is not kind:
        wanted = {str: "a string", int: "a number", dict: "an object"}[kind]
        raise ConfigurationError(f"{where}: {name} must be {wanted}, got {_shown(value)}")


def _shown(value: Any) -> str:
    text = json.dumps(value, ensure_ascii=False)
    return text if len(text) <= 60 else f"{text[:59]}…"


def lens_remarks(lens: EphemeralLens, max_tokens: int = 1500) -> tuple[str, ...]:
    """Return a sentence for each thing that is worth a second look; none where all is well."""
    remarks = []
    size = lens_tokens(lens)
    if size > max_tokens:
        remarks.append(f"it is about {size:,} tokens long, and every turn of every worker reads it again")
    if not lens.task_scope.strip():
        remarks.append("it has no task_scope: nobody sees what it is for")
    if not lens.heuristics:
        remarks.append("it has no heuristics: workers are not told how to go about it")
    texts = [lens.task_scope, *(text for name in _LISTS for text in getattr(lens, name))]
    if unseen := sum(map(unseen_characters, texts)):
        remarks.append(f"it has {unseen:,} characters that nobody sees and that a model reads")
    return tuple(remarks)
