"""The part of a workspace that the smart model sees when it writes a lens: the tree and relevant files."""

import re
from collections import Counter
from collections.abc import Callable, Sequence
from os import PathLike

import attrs

from sunwell.context.workspace_files import list_files
from sunwell.core.markdown import fenced
from sunwell.core.message import FileRead
from sunwell.core.secrets import Secrets
from sunwell.errors import ToolError
from sunwell.tools.text_file import text_of
from sunwell.tools.wording import on_one_line
from sunwell.tools.workspace import FolderEntry, Workspace

LARGEST_FILE_BYTES = 500_000
"""A larger file is listed in the tree but not read."""
_BYTES_PER_TOKEN = 4
_TREE_SHARE = 4  # the tree gets at most a quarter of the space,
_FILE_SHARE = 3  # a file at most a third of the space left for files
_LEAST_FILE_BYTES = 600  # a shorter excerpt of a longer file is useless
_LEAST_LINE_BYTES = 4  # a name of one letter, its size and the line's end
_MANY_FILES = 8
_TELLING_SHARE = 3  # a word in more than a third of all paths does not distinguish them

_WORD = re.compile(r"[^\W_]+")
_CAMEL = re.compile(r"(?<=[a-z0-9])(?=[A-Z])")
_PATH_IN_TASK = re.compile(r"[\w.@+-]+(?:/[\w.@+-]+)*")
_EVERYDAY = frozenset(
    {"add", "all", "and", "are", "change", "code", "create", "each", "every", "file", "files", "fix"}
    | {"for", "from", "generate", "into", "make", "new", "not", "page", "project", "remove", "rename"}
    | {"that", "the", "this", "update", "use", "using", "which", "with", "write", "implement", "src"}
)
_GUIDES = frozenset({"readme", "contributing", "conventions", "style", "agents", "claude", "architecture"})
_MANIFESTS = frozenset(
    {"pyproject.toml", "package.json", "cargo.toml", "go.mod", "setup.py", "setup.cfg", "tsconfig.json"}
    | {"makefile", "pom.xml", "build.gradle", "gemfile", "composer.json", "requirements.txt", "deno.json"}
)
_ENTRY_POINTS = frozenset({"main", "__main__", "app", "index", "cli", "server", "lib", "routes", "models"})


def _nobody(_: FileRead) -> None:
    pass


@attrs.frozen
class _Wanted:
    """The words and paths of the task that file names are compared with."""

    paths: frozenset[str]
    words: frozenset[str]


@attrs.frozen
class Shown:
    """The text about a workspace for a model, and the files whose content is in it."""

    text: str
    reads: tuple[FileRead, ...] = ()


def gather(
    workspace_root: str | PathLike[str],
    task: str,
    *,
    limit_tokens: int,
    secrets: Secrets | None = None,
    tell_read: Callable[[FileRead], object] = _nobody,
) -> str:
    """Return the tree of the workspace and the files relevant for *task*, as text for a prompt.

    Files come in this order: files named in the task, files whose names contain words of the task, readme
    and manifest files, entry points, tests. Each is in a fence that its text cannot close, and is cut
    with a note if it is long. The text has at most *limit_tokens*, at 4 bytes per token, and is the same
    for the same files and task. Ignored files, ``.git``, ``.sunwell``, ``.env``, key files, links, binary
    and very large files are never read. Known *secrets* are replaced. *tell_read* is called for each
    file whose text is shown.

    Raises :exc:`~sunwell.errors.ConfigurationError` if the root is not a folder.
    """
    workspace = Workspace(workspace_root)
    files, complete = list_files(workspace)
    kept = Secrets() if secrets is None else secrets
    left = limit_tokens * _BYTES_PER_TOKEN
    tree = _tree(files, complete, left // _TREE_SHARE, kept)
    if not tree:
        return ""
    blocks = [tree]
    left -= _size(tree)
    worth = _by_worth(files, task)
    names = [on_one_line(entry.path) for entry in worth]
    titles = [kept.redact(f"File {name}") for name in names]
    for entry, title in zip(worth, titles, strict=True):
        room = min(left, max(_LEAST_FILE_BYTES, left // _FILE_SHARE)) - 2
        block = _shown(workspace, entry, title, room, kept, tell_read)
        if block is not None:
            blocks.append(block)
            left -= _size(block) + 2
        if left < _LEAST_FILE_BYTES:
            break
    return "\n\n".join(blocks)


def _tree(files: Sequence[FolderEntry], complete: bool, room: int, secrets: Secrets) -> str:
    """Return the paths of *files*, as many as fit into *room* bytes; empty if none fits."""
    title = "Files of the workspace, with their sizes in bytes:"
    note = "(… and {:,} more files)"
    room -= _size(title) + _size(note) + 12
    most = max(0, room) // _LEAST_LINE_BYTES
    names = [on_one_line(entry.path) for entry in files[:most]]
    sized = [f"{name} {entry.size_bytes}" for name, entry in zip(names, files[:most], strict=True)]
    lines: list[str] = []
    for line in [secrets.redact(line) for line in sized]:
        room -= _size(line) + 1
        if room < 0:
            break
        lines.append(line)
    if not lines:
        return ""
    if len(lines) < len(files):
        lines.append(note.format(len(files) - len(lines)))
    elif not complete:
        lines.append("(… and more files)")
    return "\n".join([title, *lines])


def _by_worth(files: Sequence[FolderEntry], task: str) -> list[FolderEntry]:
    """Return the files relevant for *task*, most important first."""
    wanted = _Wanted(
        frozenset(path.strip(".").lower() for path in _PATH_IN_TASK.findall(task)),
        _telling({_stem(word) for word in _words(task)}, files),
    )
    scored = [(_score(entry.path, wanted), entry) for entry in files]
    worth = [(-score, entry.path, entry) for score, entry in scored if score > 0]
    return [entry for _, _, entry in sorted(worth, key=lambda item: item[:2])]


def _telling(words: set[str], files: Sequence[FolderEntry]) -> frozenset[str]:
    """Return those of *words* that distinguish some of *files* from the others."""
    counts = Counter(word for entry in files for word in {_stem(part) for part in _words(entry.path)} & words)
    common = max(_MANY_FILES, len(files) // _TELLING_SHARE)
    return frozenset(word for word in words if counts[word] <= common)


def _score(path: str, wanted: _Wanted) -> int:
    folded = path.lower()
    name = folded.rpartition("/")[2]
    stem = name.partition(".")[0]
    if folded in wanted.paths:
        return 2_000
    depth = path.count("/")
    if name in wanted.paths:
        return 1_500 - depth
    matches = len(wanted.words & {_stem(word) for word in _words(path)})
    if matches:
        own = wanted.words & {_stem(word) for word in _words(path.rpartition("/")[2].partition(".")[0])}
        return 300 * min(matches, 3) + (100 if own else 0) - depth
    if stem in _GUIDES:
        return 200 - 20 * depth
    if name in _MANIFESTS:
        return 150 - 20 * depth
    if stem in _ENTRY_POINTS:
        return 100 - 10 * depth
    is_test = stem.startswith("test_") or stem.endswith(("_test", "-test")) or ".test." in name
    return 40 - depth if is_test else 0


def _words(text: str) -> list[str]:
    """Return the words of *text* in lower case, names split into their parts, without common words."""
    words = [word.lower() for word in _WORD.findall(_CAMEL.sub(" ", text.replace("_", " ")))]
    return [word for word in words if len(word) > 2 and word not in _EVERYDAY]


def _stem(word: str) -> str:
    """Return *word* without a plural ending (approximate)."""
    if word.endswith("ies") and len(word) > 4:
        return word[:-3] + "y"
    return word[:-1] if word.endswith("s") and not word.endswith("ss") and len(word) > 3 else word


def _shown(
    workspace: Workspace,
    entry: FolderEntry,
    title: str,
    room: int,
    secrets: Secrets,
    tell_read: Callable[[FileRead], object],
) -> str | None:
    """Return the file under its *title*, in at most *room* bytes; ``None`` if it cannot be shown."""
    if not 0 < entry.size_bytes <= LARGEST_FILE_BYTES:
        return None
    try:
        content = workspace.read(entry.path, LARGEST_FILE_BYTES)
        if content is None:
            return None
        read = FileRead(content.path, content.sha256)
        whole = text_of(entry.path, content.data).text
    except ToolError:
        return None
    # Redacted before it is cut: half a secret could not be found.
    text, is_public = secrets.redact(whole).strip("\n"), secrets.redact(content.path) == content.path
    fitted = _fitted(title, text, room)
    if fitted is not None and is_public:
        tell_read(read)
    return fitted


def _fitted(title: str, text: str, room: int) -> str | None:
    """Return *text* under *title* in a fence, cut at the end of a line if it is too long."""
    whole = f"{title}:\n{fenced(text)}"
    if _size(whole) <= room:
        return whole
    longest_fence = _size(fenced(text)) - _size(text)
    note = f", its first {{:,}} of {_size(text):,} bytes:"
    space = room - _size(title) - _size(note) - longest_fence - 12
    cut = text.encode("utf-8", "replace")[: max(0, space)].decode("utf-8", "ignore")
    cut = cut[: cut.rfind("\n")] if "\n" in cut else ""
    if _size(cut) < _LEAST_FILE_BYTES // 2:
        return None
    return f"{title}{note.format(_size(cut))}\n{fenced(cut)}"


def _size(text: str) -> int:
    return len(text.encode("utf-8", "replace"))
