"""Which files of a workspace are shown to the smart model: what is ignored or holds keys is left out."""

from collections import deque

from sunwell.errors import ToolError
from sunwell.tools.ignores import IGNORE_FILES, MOST_BYTES, Ignores
from sunwell.tools.workspace import Entry, Workspace

MOST_ENTRIES = 10_000
"""Files and folders that are looked at; of a larger workspace the upper levels are listed."""

_BUILT_FOLDERS = frozenset(
    {".hg", ".svn", ".venv", "node_modules", "__pycache__", ".tox", ".nox", ".mypy_cache"}
    | {".pytest_cache", ".ruff_cache", ".hypothesis", ".ssh", ".aws", ".gnupg"}
)
_KEY_FILES = frozenset({".netrc", ".npmrc", ".pypirc", ".git-credentials", ".htpasswd"})
_KEY_ENDINGS = (".pem", ".key", ".p12", ".pfx", ".keystore", ".jks")
_KEY_BEGINNINGS = ("id_rsa", "id_ed25519", "id_ecdsa", "id_dsa")


def list_files(workspace: Workspace) -> tuple[list[Entry], bool]:
    """Return the files that may be shown, upper levels first, and whether they are all.

    Ignore files are obeyed, links are neither followed nor listed. What tools may not touch
    (``.git``, ``.sunwell``, ``.env``), files that usually hold keys and folders that tools build
    are left out whatever ignore files say. What cannot be read is passed over.
    """
    files: list[Entry] = []
    seen = 0
    waiting = deque([("", Ignores())])
    while waiting:
        folder, above = waiting.popleft()
        rules = above.below(folder, _ignore_texts(workspace, folder))
        for entry in _entries(workspace, folder):
            seen += 1
            if seen > MOST_ENTRIES:
                return files, False
            is_folder = entry.kind == "folder"
            if _is_kept_back(entry) or rules.hides(entry.path, is_folder=is_folder):
                continue
            if is_folder:
                waiting.append((entry.path, rules))
            elif entry.kind == "file":
                files.append(entry)
    return files, True


def _entries(workspace: Workspace, folder: str) -> list[Entry]:
    try:
        return workspace.entries(folder) or []
    except ToolError:  # gone, or not ours to read: the rest is still worth showing
        return []


def _ignore_texts(workspace: Workspace, folder: str) -> list[str]:
    texts = []
    for name in IGNORE_FILES:
        try:
            content = workspace.read(f"{folder}/{name}" if folder else name, MOST_BYTES)
        except ToolError:
            continue
        if content is not None:
            texts.append(content.data.decode("utf-8", "replace"))
    return texts


def _is_kept_back(entry: Entry) -> bool:
    name = entry.path.rpartition("/")[2].casefold()
    return (
        name in (_BUILT_FOLDERS if entry.kind == "folder" else _KEY_FILES)
        or name.endswith(_KEY_ENDINGS)
        or name.startswith(_KEY_BEGINNINGS)
    )
