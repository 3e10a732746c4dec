"""The part of a workspace that the smart model sees when it writes a lens: an outline and what is relevant."""

import re
from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from os import PathLike

import attrs

from sunwell.context.outline import Definition, definitions, imported_modules, is_code
from sunwell.context.relevance import Passage, scores, stem, wanted_words, with_neighbours, words_of
from sunwell.context.workspace_files import list_files
from sunwell.core.markdown import fenced
from sunwell.core.message import FileRead
from sunwell.core.secrets import Secrets
from sunwell.errors import ToolError
from sunwell.tools.text_file import text_of
from sunwell.tools.wording import on_one_line
from sunwell.tools.workspace import FolderEntry, Workspace

LARGEST_FILE_BYTES = 500_000
"""A larger file is listed but not read."""
_BYTES_PER_TOKEN = 4
_MOST_READ = 4_000  # files whose text is searched
_MOST_RANKED = 400  # files that are taken apart
_OUTLINE_SHARE = 0.2
_FIRST_FILE_SHARE = 0.5  # of the room that is left, the first file gets at most a half, later ones a third
_FILE_SHARE = 1 / 3
_WHOLE_BYTES = 5_000  # a relevant file up to this size is shown whole
_LEAST_BYTES = 400  # a shorter piece of a longer file is useless
_HEAD_LINES = 15
_LEAST_LINE_BYTES = 4  # a name of one letter, its size and the line's end
_WORTH_OF_BEST = 0.08  # a file that fits less than this share of the best one is not relevant

_PATH_IN_TASK = re.compile(r"[\w.@+-]+(?:/[\w.@+-]+)*")
_GUIDES = frozenset({"readme", "contributing", "conventions", "style", "agents", "claude", "architecture"})
_HISTORIES = frozenset({"changelog", "changes", "history", "news", "release", "releases", "authors", "license"})
_MANIFESTS = frozenset(
    {"pyproject.toml", "package.json", "cargo.toml", "go.mod", "setup.py", "setup.cfg", "tsconfig.json"}
    | {"makefile", "pom.xml", "build.gradle", "gemfile", "composer.json", "requirements.txt", "deno.json"}
)
_ENTRY_POINTS = frozenset({"main", "__main__", "app", "index", "cli", "server", "lib", "routes", "models"})
_TEST_FOLDERS = frozenset({"test", "tests", "testing", "spec", "specs", "__tests__"})
_SIDE_FOLDERS = frozenset({"doc", "docs", "example", "examples", "benchmarks", "bench", "scripts", "tools"})
_TEST_WORTH, _SIDE_WORTH, _PROSE_WORTH, _HISTORY_WORTH = 0.35, 0.3, 0.25, 0.03


def _nobody(_: FileRead) -> None:
    pass


@attrs.frozen
class Shown:
    """The text about a workspace for a model, and the files whose content is in it."""

    text: str
    reads: tuple[FileRead, ...] = ()


@attrs.define(eq=False)
class _File:
    """A file that was read."""

    entry: FolderEntry
    text: str
    """Without known secrets."""
    read: FileRead
    is_public: bool
    """Whether its name holds no secret."""
    rough: float = 0.0
    parts: tuple[Definition, ...] = ()
    lines: list[str] = attrs.field(factory=list)
    best: list[tuple[float, int, int]] = attrs.field(factory=list)
    """Passages as (score, first line, last line), the best first."""

    @property
    def path(self) -> str:
        return self.entry.path


def gather(
    workspace_root: str | PathLike[str],
    task: str,
    *,
    limit_tokens: int,
    secrets: Secrets | None = None,
    tell_read: Callable[[FileRead], object] = _nobody,
) -> str:
    """Return what of the workspace is relevant for *task*, as text for a prompt.

    First the files with their sizes and, of source files, what they define. Then files and parts of files:
    those named in the task, then those whose names, definitions and text fit its words, with what they import
    and what tests them, then readme and manifest files and entry points until the room is filled. Each is in a
    fence that its text cannot close. The text has at most *limit_tokens*, at 4 bytes per token, and is the same
    for the same files and task. Ignored files, ``.git``, ``.sunwell``, ``.env``, key files, links, binary
    and very large files are never read. Known *secrets* are replaced. *tell_read* is called for each
    file whose text is shown.

    Raises :exc:`~sunwell.errors.ConfigurationError` if the root is not a folder.
    """
    workspace = Workspace(workspace_root)
    entries, complete = list_files(workspace)
    kept = Secrets() if secrets is None else secrets
    limit = limit_tokens * _BYTES_PER_TOKEN
    wanted = wanted_words(task)
    files = _read(workspace, entries, wanted, kept)
    ranked = _ranked(files, task, wanted)
    listed = _listing(entries, ranked, complete, int(limit * _OUTLINE_SHARE), kept)
    if not listed:
        return ""
    blocks = [listed]
    left = limit - _size(listed)
    for path, block in _blocks(ranked, left, kept):
        blocks.append(block)
        left -= _size(block) + 2
        file = files[path]
        if file.is_public:
            tell_read(file.read)
    return "\n\n".join(blocks)


def _read(
    workspace: Workspace, entries: Sequence[FolderEntry], wanted: Mapping[str, float], secrets: Secrets
) -> dict[str, _File]:
    """Return the files that can be shown, by path; of many, those that seem to fit best by their paths."""
    readable = [entry for entry in entries if 0 < entry.size_bytes <= LARGEST_FILE_BYTES]
    if len(readable) > _MOST_READ:
        by_path = sorted(readable, key=lambda one: (-_path_hits(one.path, wanted), not is_code(one.path)))
        readable = by_path[:_MOST_READ]
    found = {}
    for entry in readable:
        try:
            content = workspace.read(entry.path, LARGEST_FILE_BYTES)
            if content is None:
                continue
            whole = text_of(entry.path, content.data).text
        except ToolError:
            continue
        # Redacted before it is cut: half a secret could not be found.
        text, is_public = secrets.redact(whole).strip("\n"), secrets.redact(content.path) == content.path
        if text:
            read = FileRead(content.path, content.sha256)
            found[entry.path] = _File(entry, text, read, is_public)
    return found


def _path_hits(path: str, wanted: Mapping[str, float]) -> float:
    return sum(wanted[word] for word in set(words_of(path)) if word in wanted)


def _ranked(files: Mapping[str, _File], task: str, wanted: Mapping[str, float]) -> list[_File]:
    """Return the files, the most relevant first, with their passages scored."""
    for file in files.values():
        file.rough = _rough(file, wanted)
    candidates = sorted(files.values(), key=lambda one: (-one.rough, one.path))[:_MOST_RANKED]
    passages: list[Passage] = []
    places: list[tuple[_File, int, int]] = []
    for file in candidates:
        file.lines = file.text.splitlines()
        file.parts = definitions(file.path, file.text)
        for name, first, last in _pieces(file):
            passages.append(Passage(file.path, name, "\n".join(file.lines[first - 1 : last])))
            places.append((file, first, last))
    for score, (file, first, last) in zip(scores(wanted, passages), places, strict=True):
        if score > 0:
            file.best.append((score, first, last))
    own = {}
    for file in candidates:
        file.best.sort(key=lambda one: (-one[0], one[1]))
        top = [score for score, _, _ in file.best[:4]]
        fit = sum(score * share for score, share in zip(top, (1.0, 0.3, 0.15, 0.1), strict=False))
        own[file.path] = fit * _worth(file.path)
    named = _named(files, task)
    tied = with_neighbours(own, _edges(candidates))
    best = max(tied.values(), default=0.0)
    rest = _usual(files)

    def order(file: _File) -> tuple[float, float, float, str]:
        score = tied.get(file.path, 0.0)
        relevant = score if score > best * _WORTH_OF_BEST else 0.0
        return (-named.get(file.path, 0), -relevant, -rest.get(file.path, 0), file.path)

    return [
        file
        for file in sorted(files.values(), key=order)
        if file.path in named or file.path in rest or tied.get(file.path, 0.0) > 0
    ]


def _rough(file: _File, wanted: Mapping[str, float]) -> float:
    folded = file.text.lower()
    hits = sum(weight for word, weight in wanted.items() if word in folded)
    return (hits + 2 * _path_hits(file.path, wanted)) * _worth(file.path) + (0.01 if is_code(file.path) else 0)


def _pieces(file: _File) -> Iterator[tuple[str, int, int]]:
    """Yield name, first and last line of each passage: definitions, and what stands between them."""
    covered = 0
    owner = ""
    for at, part in enumerate(file.parts):
        if part.depth == 0:
            owner = part.name
            if part.first_line > covered + 1:
                yield "", covered + 1, part.first_line - 1
            inner = [one for one in file.parts[at + 1 :] if one.depth > 0 and one.last_line <= part.last_line]
            last = inner[0].first_line - 1 if inner else part.last_line
            yield part.name, part.first_line, max(part.first_line, last)
            covered = part.last_line
        else:
            yield f"{owner} {part.name}", part.first_line, part.last_line
    if covered < len(file.lines):
        for first in range(covered + 1, len(file.lines) + 1, 60):
            yield "", first, min(len(file.lines), first + 59)


def _worth(path: str) -> float:
    folders = {part.lower() for part in path.split("/")[:-1]}
    name = path.rpartition("/")[2].lower()
    if name.partition(".")[0] in _HISTORIES:
        return _HISTORY_WORTH
    if _is_test(path):
        return _TEST_WORTH
    if folders & _SIDE_FOLDERS:
        return _SIDE_WORTH
    return 1.0 if is_code(path) else _PROSE_WORTH


def _is_test(path: str) -> bool:
    name = path.rpartition("/")[2].lower()
    name_stem = name.partition(".")[0]
    folders = {part.lower() for part in path.split("/")[:-1]}
    return (
        name_stem.startswith("test_") or name_stem.endswith(("_test", "-test", "_spec"))
        or name_stem == "conftest" or ".test." in name or ".spec." in name or bool(folders & _TEST_FOLDERS)
    )  # fmt: skip


def _named(files: Mapping[str, _File], task: str) -> dict[str, int]:
    """Return the files that the task names: 2 for a path, 1 for the name of a file."""
    said = {word.strip(".").lower() for word in _PATH_IN_TASK.findall(task)}
    found = {}
    for path in files:
        folded = path.lower()
        if folded in said:
            found[path] = 2
        elif folded.rpartition("/")[2] in said:
            found[path] = 1
    return found


def _usual(files: Mapping[str, _File]) -> dict[str, float]:
    """Return the files that tell about any task: readme, manifest, entry points."""
    found = {}
    for path in files:
        depth, name = path.count("/"), path.rpartition("/")[2].lower()
        name_stem = name.partition(".")[0]
        if name_stem in _GUIDES:
            found[path] = 3 - 0.3 * depth
        elif name in _MANIFESTS:
            found[path] = 2 - 0.3 * depth
        elif name_stem in _ENTRY_POINTS and not _is_test(path):
            found[path] = 1 - 0.1 * depth
    return {path: worth for path, worth in found.items() if worth > 0}


def _edges(files: Iterable[_File]) -> Iterator[tuple[str, str]]:
    """Yield pairs of files of which the first imports the second."""
    modules: dict[str, str] = {}
    imports: dict[str, frozenset[str]] = {}
    for file in files:
        if not file.path.endswith(".py"):
            continue
        dotted = file.path[:-3].replace("/", ".").removesuffix(".__init__")
        parts = dotted.split(".")
        for at in range(len(parts)):  # "src/shop/cart.py" is imported as "shop.cart"
            modules.setdefault(".".join(parts[at:]), file.path)
        imports[file.path] = imported_modules(file.path, file.text)
    for path, names in imports.items():
        for name in names:
            other = modules.get(name)
            if other is not None and other != path:
                yield path, other


def _listing(
    entries: Sequence[FolderEntry], ranked: Sequence[_File], complete: bool, room: int, secrets: Secrets
) -> str:
    """Return the paths of *entries*, with what files define as far as there is room; empty if none fits."""
    title = "Files of the workspace, with their sizes in bytes and what they define:"
    note = "(… and {:,} more files)"
    room -= _size(title) + _size(note) + 12
    order = {file.path: at for at, file in enumerate(ranked)}
    first = sorted(entries, key=lambda entry: (order.get(entry.path, len(order)), 0))
    chosen: set[str] = set()
    names: dict[str, str] = {}
    for entry in first[: max(0, room) // _LEAST_LINE_BYTES]:
        line = secrets.redact(f"{on_one_line(entry.path)} {entry.size_bytes}")
        if room < _size(line) + 1:
            break
        room -= _size(line) + 1
        chosen.add(entry.path)
        names[entry.path] = line
    if not chosen:
        return ""
    outlines: dict[str, list[str]] = {}
    for full in (False, True):
        for file in ranked:
            if file.path not in chosen or not file.parts or _is_test(file.path):
                continue
            lines = _outline(file, full)
            cost = sum(_size(line) + 1 for line in lines) - sum(
                _size(line) + 1 for line in outlines.get(file.path, ())
            )
            if 0 < cost <= room:
                room -= cost
                outlines[file.path] = lines
    lines = [title]
    for entry in entries:
        if entry.path in chosen:
            lines += [names[entry.path], *outlines.get(entry.path, ())]
    if len(chosen) < len(entries):
        lines.append(note.format(len(entries) - len(chosen)))
    elif not complete:
        lines.append("(… and more files)")
    return "\n".join(lines)


def _outline(file: _File, full: bool) -> list[str]:
    """Return a line for each definition at the top of *file*: names, or *full* signatures."""
    lines: list[str] = []
    methods: dict[int, list[str]] = defaultdict(list)
    tops: list[Definition] = []
    for part in file.parts:
        if part.depth == 0:
            tops.append(part)
        elif tops:
            methods[len(tops) - 1].append(part.name)
    for at, part in enumerate(tops):
        inner = [name for name in methods[at] if not name.startswith("__")]
        said = part.signature if full else part.name
        lines.append(f"  {said}" + (f": {', '.join(inner)}" if inner else ""))
    if full:
        return lines
    return [f"  {'; '.join(line.strip() for line in lines)}"]


def _blocks(ranked: Sequence[_File], room: int, secrets: Secrets) -> Iterator[tuple[str, str]]:
    """Yield path and text of what is shown, in at most *room* bytes: one round for what fits best, one to fill."""
    shown: dict[str, set[int]] = defaultdict(set)
    for is_last in (False, True):
        for at, file in enumerate(ranked):
            if room < _LEAST_BYTES:
                return
            if is_last and len(shown[file.path]) >= len(file.text.splitlines()):
                continue
            share = 1.0 if is_last else _FIRST_FILE_SHARE if at == 0 else _FILE_SHARE
            most = min(room, max(_WHOLE_BYTES, int(room * share))) - 2
            block = _shown(file, most, shown[file.path], secrets, fills=is_last)
            if block is not None:
                room -= _size(block) + 2
                yield file.path, block


def _shown(file: _File, room: int, shown: set[int], secrets: Secrets, *, fills: bool) -> str | None:
    """Return the file, or what of it fits best, in at most *room* bytes; ``None`` if nothing does."""
    title = secrets.redact(f"File {on_one_line(file.path)}")
    lines = file.lines or file.text.splitlines()
    whole = f"{title}:\n{fenced(file.text)}"
    if not shown and _size(whole) <= room and (fills or not file.best or _size(file.text) <= _WHOLE_BYTES):
        shown.update(range(1, len(lines) + 1))
        return whole
    wanted = _chosen_lines(file, lines, room - 200, shown, fills=fills)
    if not wanted:
        return None
    if len(wanted) == len(lines) and _size(whole) <= room:
        shown.update(wanted)
        return whole
    blocks = []
    for first, last in _runs(wanted):
        text = "\n".join(lines[first - 1 : last])
        block = f"{title}, lines {first}-{last} of {len(lines)}:\n{fenced(text)}"
        if _size(block) + 2 > room:
            continue
        room -= _size(block) + 2
        shown.update(range(first, last + 1))
        blocks.append(block)
    return "\n\n".join(blocks) or None


def _chosen_lines(file: _File, lines: Sequence[str], room: int, shown: set[int], *, fills: bool) -> set[int]:
    """Return the numbers of the lines to show: the passages that fit best, and the head of the file."""
    wanted: set[int] = set()
    best = file.best[0][0] if file.best else 0.0
    head = (1.0, 1, min(_HEAD_LINES, len(lines)))
    passages = [one for one in file.best if fills or one[0] >= 0.2 * best]
    rest = [(0.0, first, last) for _, first, last in _pieces(file)] if fills else []
    for _, first, last in [*passages[:1], head, *passages[1:], *rest] if passages else [head, *rest]:
        new = [n for n in range(first, last + 1) if n not in wanted and n not in shown]
        cost = sum(_size(lines[n - 1]) + 1 for n in new)
        if cost + 80 > room:
            if wanted or room < _LEAST_BYTES:
                continue
            while new and cost + 80 > room:
                cost -= _size(lines[new.pop() - 1]) + 1
        room -= cost + 80 if new else 0
        wanted.update(new)
    return wanted


def _runs(numbers: set[int]) -> Iterator[tuple[int, int]]:
    """Yield first and last of each run of *numbers*."""
    ordered = sorted(numbers)
    first = last = ordered[0]
    for number in ordered[1:]:
        if number > last + 1:
            yield first, last
            first = number
        last = number
    yield first, last


def _size(text: str) -> int:
    return len(text.encode("utf-8", "replace"))
