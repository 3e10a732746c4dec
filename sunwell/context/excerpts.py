"""The part of a workspace that the smart model sees when it writes a lens: outline and relevant source."""

import re
from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from os import PathLike

import attrs

from sunwell.context.file_kinds import guide_rank, is_guide, is_test, tested_name, worth_of
from sunwell.context.outline import Definition, is_code, outline
from sunwell.context.relevance import Passage, Sought, ranked_passages, with_neighbours
from sunwell.context.workspace_files import list_files
from sunwell.core.markdown import fenced
from sunwell.core.marks import guarded
from sunwell.core.message import FileRead
from sunwell.core.secrets import Secrets
from sunwell.errors import ToolError
from sunwell.tools.text_file import text_of
from sunwell.tools.wording import on_one_line
from sunwell.tools.workspace import FolderEntry, Workspace

LARGEST_FILE_BYTES = 500_000
"""A larger file is listed but not read."""
_BYTES_PER_TOKEN = 4
_MOST_READ = 4_000  # files whose text is searched,
_MOST_READ_BYTES = 25_000_000  # and what is searched of them
_MOST_RANKED = 400  # files that are taken apart,
_MOST_RANKED_BYTES = 1_500_000  # and what is parsed of them
_OUTLINE_SHARE = 0.2
_FILE_SHARE = 0.5  # before the room is filled, a file gets at most half of it,
_TESTS_SHARE = 0.12  # all tests so much,
_GUIDE_SHARE = 0.08  # and a guide so much
_WHOLE_BYTES = 5_000  # a relevant file up to this size is shown whole
_MOSTLY = 0.7  # a file of which so much is shown is shown whole
_GAP_LINES = 3  # fewer lines between two passages are shown, too: a heading would be as long
_LEAST_BYTES = 300  # a shorter piece of a longer file is useless
_PIECE_LINES = 60
_LEAST_LINE_BYTES = 4  # a name of one letter, its size and the line's end
_LEAST_SHARE = 0.08  # a passage that fits less than this share of the best one is not relevant

_PATH_IN_TASK = re.compile(r"[\w.@+-]+(?:/[\w.@+-]+)*")


@attrs.frozen
class Shown:
    """The text about a workspace for a model, and what is in it."""

    text: str
    reads: tuple[FileRead, ...] = ()
    """The files whose content is in the text."""
    whole: tuple[str, ...] = ()
    """Paths of files that are shown whole, the most relevant first."""
    partly: tuple[str, ...] = ()
    """The same of files that are shown in part."""
    not_shown: tuple[str, ...] = ()
    """Files that fit the task and of which nothing is shown, for want of room, the most relevant first."""
    partly_bytes: int = 0
    """Size of what is left out of the files that are shown in part."""
    files: int = 0
    """How many files the workspace has, those without text included."""
    unlisted: int = 0
    """How many of them the outline does not name."""
    fit: float = 0.0
    """How much of the task the best passage holds, 0 to 1: the share of its words, rare ones counting most.
    1 if the task names a file that is there."""
    fitting: tuple[str, ...] = ()
    """Paths of the shown files that fit the task, the most relevant first; the others fill the room."""
    parts: tuple[tuple[str, str], ...] = ()
    """What is in the text of each shown file, by its path, in order."""

    @property
    def tokens(self) -> int:
        """Size of the text, at 4 bytes per token."""
        return -(-_size(self.text) // _BYTES_PER_TOKEN)


@attrs.define(eq=False)
class _Piece:
    """Lines of a file that belong together: a definition, or what stands between two."""

    first: int
    last: int
    name: str = ""
    score: float = 0.0


@attrs.define(eq=False)
class _File:
    """A file that was read."""

    entry: FolderEntry
    text: str
    """Without known secrets."""
    read: FileRead
    is_public: bool
    """Whether its name holds no secret."""
    title: str
    rough: float = 0.0
    score: float = 0.0
    lines: list[str] = attrs.field(factory=list)
    parts: tuple[Definition, ...] = ()
    imports: frozenset[str] = frozenset()
    pieces: list[_Piece] = attrs.field(factory=list)
    runs: list[tuple[int, int]] = attrs.field(factory=list)
    """What is shown: first and last lines, in order."""
    size_bytes: int = 0
    heading_bytes: int = 0
    """What a run takes besides its lines, at most."""
    _ends: list[int] = attrs.field(factory=list)

    @property
    def path(self) -> str:
        return self.entry.path

    def split(self) -> None:
        """Take the text apart into lines; done only for files that may be shown."""
        if self.lines:
            return
        text = guarded(self.text)
        self.lines = text.split("\n")
        self.size_bytes = _size(text)
        at, self._ends = 0, [0]
        for line in self.lines:
            at += _size(line) + 1
            self._ends.append(at)
        fence = _size(fenced(text)) - self.size_bytes
        digits = len(str(len(self.lines)))
        self.heading_bytes = _size(self.title) + len(", lines - of :\n\n\n") + 3 * digits + fence

    @property
    def whole(self) -> tuple[int, int]:
        return (1, len(self.lines))

    @property
    def is_whole(self) -> bool:
        return self.runs == [self.whole]

    def bytes_of(self, first: int, last: int) -> int:
        return self._ends[last] - self._ends[first - 1]

    def with_run(self, first: int, last: int) -> list[tuple[int, int]]:
        """Return the runs with one more; runs that nearly touch become one."""
        merged: list[tuple[int, int]] = []
        for begin, end in sorted([*self.runs, (first, last)]):
            if merged and begin <= merged[-1][1] + _GAP_LINES + 1:
                merged[-1] = (merged[-1][0], max(end, merged[-1][1]))
            else:
                merged.append((begin, end))
        return merged

    def cost(self, runs: Sequence[tuple[int, int]]) -> int:
        """Return how many bytes *runs* take when they are shown: never fewer than :meth:`blocks` has."""
        return sum(self.bytes_of(first, last) + self.heading_bytes for first, last in runs)

    def blocks(self) -> Iterator[str]:
        """Yield what is shown, each run under a heading, in a fence that it cannot close."""
        for run in self.runs:
            text = "\n".join(self.lines[run[0] - 1 : run[1]])
            which = "" if run == self.whole else f", lines {run[0]}-{run[1]} of {len(self.lines)}"
            yield f"{self.title}{which}:\n{fenced(text)}"


def gather(
    workspace_root: str | PathLike[str],
    task: str,
    *,
    limit_tokens: int,
    secrets: Secrets | None = None,
    ignore: Iterable[str] = (),
) -> Shown:
    """Return what of the workspace is relevant for *task*, as text for a prompt.

    First the files with their sizes and, of source files, what they define. Then files and parts of files:
    those named in the task, then those whose names, definitions and text fit its words, with what they import
    and what tests them, then guides and the rest of the source until the room is filled. Each is in a
    fence that its text cannot close. The text has at most *limit_tokens*, at 4 bytes per token, and is the
    same for the same files and task. Ignored files, those that the patterns *ignore* match, protected ones
    (see :mod:`~sunwell.tools.protected`), links, binary and very large files are never read. Known *secrets*
    are replaced.

    Raises :exc:`~sunwell.errors.ConfigurationError` if the root is not a folder.
    """
    workspace = Workspace(workspace_root, ignore=ignore)
    entries, complete = list_files(workspace)
    kept = Secrets() if secrets is None else secrets
    limit = limit_tokens * _BYTES_PER_TOKEN
    sought = Sought.of(task)
    files = _read(workspace, entries, sought, kept)
    named = _named(files, task)
    ranked, fit = _ranked(files, sought, named)
    listed, chosen = _listing(entries, ranked, complete, int(limit * _OUTLINE_SHARE), kept)
    if not listed:
        return Shown("", files=len(entries), unlisted=len(entries))
    _choose(ranked, limit - _size(listed), named)
    shown = [file for file in ranked if file.runs]
    parts = tuple((file.path, "\n\n".join(file.blocks())) for file in shown)
    return Shown(
        "\n\n".join([listed, *(text for _, text in parts)]),
        tuple(file.read for file in shown if file.is_public),
        tuple(file.path for file in shown if file.is_whole),
        tuple(file.path for file in shown if not file.is_whole),
        tuple(file.path for file in ranked if not file.runs and file.score > 0),
        sum(
            file.size_bytes - sum(file.bytes_of(*run) for run in file.runs)
            for file in shown
            if not file.is_whole
        ),
        len(entries),
        len(entries) - chosen,
        1.0 if named else fit,
        tuple(file.path for file in shown if file.score > 0 or file.path in named),
        parts,
    )


def outline_of(workspace: Workspace, task: str, *, limit_bytes: int, secrets: Secrets) -> str:
    """Return the files of *workspace* with their sizes and what source files define, as :func:`gather` does.

    What fits *task* comes first if not all have room. The text has at most *limit_bytes*; it is empty
    if there are no files.
    """
    entries, complete = list_files(workspace)
    files = _read(workspace, entries, Sought.of(task), secrets)
    ranked, _ = _ranked(files, Sought.of(task), _named(files, task))
    return _listing(entries, ranked, complete, limit_bytes, secrets)[0]


def _read(
    workspace: Workspace, entries: Sequence[FolderEntry], sought: Sought, secrets: Secrets
) -> dict[str, _File]:
    """Return the files that can be shown, by path; of many, those that seem to fit best by their paths."""
    readable = [entry for entry in entries if 0 < entry.size_bytes <= LARGEST_FILE_BYTES]
    if len(readable) > _MOST_READ or sum(entry.size_bytes for entry in readable) > _MOST_READ_BYTES:
        readable.sort(key=lambda one: (-sought.hits(one.path) * worth_of(one.path), not is_code(one.path)))
    found = {}
    left = _MOST_READ_BYTES
    for entry in readable[:_MOST_READ]:
        left -= entry.size_bytes
        if left < 0:
            break
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
            title = secrets.redact(f"File {on_one_line(entry.path)}")
            read = FileRead(content.path, content.sha256)
            found[entry.path] = _File(entry, text, read, is_public, title)
    return found


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


def _ranked(
    files: Mapping[str, _File], sought: Sought, named: Mapping[str, int]
) -> tuple[list[_File], float]:
    """Return the files in the order in which they are shown, with their pieces scored, and the best fit."""
    candidates = _candidates(files, sought)
    passages: list[Passage] = []
    pieces: list[_Piece] = []
    for file in candidates:
        made = outline(file.path, file.text)
        file.parts, file.imports = made.definitions, made.imports
        file.split()
        file.pieces = list(_pieces(file))
        for piece in file.pieces:
            text = "\n".join(file.lines[piece.first - 1 : piece.last])
            passages.append(Passage(file.path, piece.name, text, worth_of(file.path)))
        pieces += file.pieces
    scores, fit = ranked_passages(sought, passages)
    for piece, score in zip(pieces, scores, strict=True):
        piece.score = score
    own: dict[str, float] = {}
    for file in candidates:
        top = sorted((piece.score for piece in file.pieces), reverse=True)
        own[file.path] = sum(score * share for score, share in zip(top, (1.0, 0.3, 0.15, 0.1), strict=False))
    tied = with_neighbours(own, _edges(candidates))
    best = max(tied.values(), default=0.0)
    for file in candidates:
        share = tied[file.path] / best if best else 0.0
        file.score = tied[file.path] if share >= _LEAST_SHARE else 0.0
        for piece in file.pieces:
            piece.score *= 0.4 + 0.6 * share

    def order(file: _File) -> tuple[object, ...]:
        rank = guide_rank(file.path)
        rest = (rank is None, -(rank or 0), -worth_of(file.path), file.path)
        return (-named.get(file.path, 0), -file.score, *rest)

    return _with_tests(sorted(files.values(), key=order), named), fit


def _candidates(files: Mapping[str, _File], sought: Sought) -> list[_File]:
    """Return the files that are worth taking apart."""
    for file in files.values():
        worth = worth_of(file.path)
        file.rough = (sought.in_text(file.text) + 2 * sought.hits(file.path)) * worth
    found: list[_File] = []
    left = _MOST_RANKED_BYTES
    for file in sorted(files.values(), key=lambda one: (-one.rough, not is_code(one.path), one.path)):
        left -= len(file.text)
        if left >= 0:
            found.append(file)
        if len(found) == _MOST_RANKED:
            break
    return sorted(found, key=lambda one: one.path)


def _with_tests(ordered: Sequence[_File], named: Mapping[str, int]) -> list[_File]:
    """Return the files with each test after the file that it is named after, and never before source."""
    tests: dict[str, list[_File]] = defaultdict(list)
    for file in ordered:
        if is_test(file.path) and file.path not in named:
            tests[tested_name(file.path)].append(file)
    out: list[_File] = []
    for file in ordered:
        if is_test(file.path) and file.path not in named:
            continue
        out.append(file)
        if is_code(file.path) and file.score > 0:
            out += tests.pop(file.path.rpartition("/")[2].partition(".")[0].lower().strip("_"), ())
    left = {one.path for group in tests.values() for one in group}
    rest = [file for file in ordered if file.path in left]
    at = next((n for n, file in enumerate(out) if file.score <= 0 and file.path not in named), len(out))
    relevant = [file for file in rest if file.score > 0]
    return [*out[:at], *relevant, *out[at:], *(file for file in rest if file.score <= 0)]


def _pieces(file: _File) -> Iterator[_Piece]:
    """Yield the definitions and what stands between them, without pieces of blank lines alone."""
    for piece in _all_pieces(file):
        if any(line.strip() for line in file.lines[piece.first - 1 : piece.last]):
            yield piece


def _all_pieces(file: _File) -> Iterator[_Piece]:
    covered = 0
    owner = ""
    for at, part in enumerate(file.parts):
        if part.depth == 0:
            owner = part.name
            if part.first_line > covered + 1:
                yield _Piece(covered + 1, part.first_line - 1)
            inner = next((one for one in file.parts[at + 1 : at + 2] if one.depth > 0), None)
            last = part.last_line
            if inner is not None and inner.first_line <= last:
                last = inner.first_line - 1
            yield _Piece(part.first_line, max(part.first_line, last), part.name)
            covered = max(covered, part.last_line)
        else:
            yield _Piece(part.first_line, part.last_line, f"{owner} {part.name}")
            covered = max(covered, part.last_line)
    for first in range(covered + 1, len(file.lines) + 1, _PIECE_LINES):
        yield _Piece(first, min(len(file.lines), first + _PIECE_LINES - 1))


def _edges(files: Sequence[_File]) -> Iterator[tuple[str, str]]:
    """Yield pairs of files of which the first imports the second."""
    modules: dict[str, str] = {}
    for file in files:
        if file.path.endswith((".py", ".pyi")):
            parts = file.path.rpartition(".")[0].replace("/", ".").removesuffix(".__init__").split(".")
            for at in range(len(parts)):  # "src/shop/cart.py" is imported as "shop.cart"
                modules.setdefault(".".join(parts[at:]), file.path)
    for file in files:
        for name in sorted(file.imports):
            other = modules.get(name)
            if other is not None and other != file.path:
                yield file.path, other


def _listing(
    entries: Sequence[FolderEntry], ranked: Sequence[_File], complete: bool, room: int, secrets: Secrets
) -> tuple[str, int]:
    """Return the paths of *entries*, with what files define as far as there is room, and how many paths."""
    title = "Files with their sizes in bytes and, if there is room, what they define:"
    note = "(… and {:,} more files)"
    room -= _size(title) + _size(note) + 12
    order = {file.path: at for at, file in enumerate(ranked) if file.score > 0}
    first = sorted(entries, key=lambda entry: order.get(entry.path, len(order)))
    names: dict[str, str] = {}
    for entry in first[: max(0, room) // _LEAST_LINE_BYTES]:
        line = secrets.redact(f"{on_one_line(entry.path)} {entry.size_bytes}")
        if room < _size(line) + 1:
            break
        room -= _size(line) + 1
        names[entry.path] = line
    if not names:
        return "", 0
    outlines: dict[str, list[str]] = {}
    for full in (False, True):
        for file in ranked:
            if file.path not in names or not file.parts or is_test(file.path):
                continue
            lines = _outline(file, full)
            cost = sum(_size(line) + 1 for line in lines)
            cost -= sum(_size(line) + 1 for line in outlines.get(file.path, ()))
            if cost <= room:
                room -= cost
                outlines[file.path] = lines
    lines = [title]
    for entry in entries:
        if entry.path in names:
            lines += [names[entry.path], *outlines.get(entry.path, ())]
    if len(names) < len(entries):
        lines.append(note.format(len(entries) - len(names)))
    elif not complete:
        lines.append("(… and more files)")
    return "\n".join(lines), len(names)


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


@attrs.define
class _Room:
    """Bytes that are left, and the ways to spend them."""

    left: int

    def show(self, file: _File, first: int, last: int, most_of_file: int | None = None) -> int:
        """Show these lines if there is room, and nothing else; return what it cost."""
        runs = file.with_run(first, last)
        before, after = file.cost(file.runs), file.cost(runs)
        if after - before > self.left or (most_of_file is not None and after > most_of_file):
            return 0
        whole = file.cost([file.whole])
        covered = sum(file.bytes_of(*run) for run in runs)
        if covered >= _MOSTLY * file.size_bytes and whole - before <= self.left:
            runs, after = [file.whole], whole
        file.runs = runs
        self.left -= after - before
        return after - before

    def show_head(self, file: _File, most: int) -> int:
        """Show as many lines as fit from the first one that is not shown."""
        file.split()
        first = 1 if not file.runs or file.runs[0][0] > 1 else file.runs[0][1] + 1
        end = next((run[0] - 1 for run in file.runs if run[0] > first), len(file.lines))
        room = min(most, self.left) - file.heading_bytes
        last = first - 1
        while last < end and file.bytes_of(first, last + 1) <= room:
            last += 1
        if last < first or (last < end and file.bytes_of(first, last) < _LEAST_BYTES):
            return 0
        return self.show(file, first, last)


def _choose(ranked: Sequence[_File], room_bytes: int, named: Mapping[str, int]) -> None:
    """Decide which lines of the files are shown, in at most *room_bytes*: what fits best, then the rest."""
    room = _Room(room_bytes)
    most = int(room_bytes * _FILE_SHARE)
    for file in [file for file in ranked if file.path in named]:
        file.split()
        if file.cost([file.whole]) <= most:
            room.show(file, *file.whole)
    for file in [file for file in ranked if is_guide(file.path)][:2]:
        room.show_head(file, int(room_bytes * _GUIDE_SHARE))
    scored = [(piece.score, file, piece) for file in ranked for piece in file.pieces if piece.score > 0]
    scored.sort(key=lambda one: -one[0])
    least = scored[0][0] * _LEAST_SHARE if scored else 0.0
    tests_left = int(room_bytes * _TESTS_SHARE)
    for score, file, piece in scored:
        if score < least or room.left < _LEAST_BYTES:
            break
        if is_test(file.path) and file.path not in named:
            if file.bytes_of(piece.first, piece.last) < tests_left:
                tests_left -= room.show(file, piece.first, piece.last)
            continue
        if file.size_bytes <= _WHOLE_BYTES and not file.runs:
            room.show(file, *file.whole)
        room.show(file, piece.first, piece.last, most)
    is_aside = {file.path: is_test(file.path) and file.path not in named for file in ranked}
    for aside in (False, True):
        _fill([file for file in ranked if is_aside[file.path] is aside], room)


def _fill(ranked: Sequence[_File], room: _Room) -> None:
    """Show more of what is shown already and of other files, in their order, as long as there is room."""
    for file in ranked:
        if file.score > 0:
            for piece in sorted(file.pieces, key=lambda one: -one.score):
                if room.left < _LEAST_BYTES:
                    return
                room.show(file, piece.first, piece.last)
    for file in ranked:
        if room.left < _LEAST_BYTES:
            return
        if file.score > 0 or file.runs or is_code(file.path) or guide_rank(file.path) is not None:
            room.show_head(file, room.left)


def _size(text: str) -> int:
    return len(text.encode("utf-8", "replace"))
