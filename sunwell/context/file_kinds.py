"""What the path of a file says about it: a test, prose, a guide, where a program begins."""

from sunwell.context.outline import is_code

_GUIDES = frozenset({"contributing", "conventions", "style", "agents", "claude", "architecture"})
_HISTORIES = frozenset(
    {"changelog", "changes", "history", "news", "release", "releases", "authors", "license"}
)
_MANIFESTS = frozenset(
    {"pyproject.toml", "package.json", "cargo.toml", "go.mod", "setup.py", "setup.cfg", "tsconfig.json"}
    | {"makefile", "pom.xml", "build.gradle", "gemfile", "composer.json", "requirements.txt", "deno.json"}
)
_ENTRY_POINTS = frozenset({"main", "__main__", "app", "index", "cli", "server", "lib", "routes", "models"})
_TEST_FOLDERS = frozenset({"test", "tests", "spec", "specs", "__tests__"})
_SIDE_FOLDERS = frozenset({"doc", "docs", "example", "examples", "benchmarks", "bench", "scripts", "tools"})
"""Counts only at the top: deeper, ``tools`` may be a part of the program."""
_TEST_WORTH, _SIDE_WORTH, _PROSE_WORTH, _HISTORY_WORTH = 0.35, 0.3, 0.25, 0.03


def worth_of(path: str) -> float:
    """Return how much a match in the file counts: source 1, tests, examples, prose and histories less."""
    folders, name = _folded(path)
    if is_test(path):
        return _TEST_WORTH
    if not is_code(path):
        return _HISTORY_WORTH if name.partition(".")[0] in _HISTORIES else _PROSE_WORTH
    return _SIDE_WORTH if folders[:1] and folders[0] in _SIDE_FOLDERS else 1.0


def is_test(path: str) -> bool:
    """Whether the file holds tests, in the usual spellings of several languages."""
    folders, name = _folded(path)
    stem = name.partition(".")[0]
    return (
        stem.startswith("test_")
        or stem.endswith(("_test", "-test", "_spec"))
        or stem == "conftest"
        or ".test." in name
        or ".spec." in name
        or not _TEST_FOLDERS.isdisjoint(folders)
    )


def tested_name(path: str) -> str:
    """Return the name, without folder and endings, of what the test file *path* is named after."""
    stem = path.rpartition("/")[2].lower().partition(".")[0]
    for ending in ("_test", "-test", "_spec"):
        stem = stem.removesuffix(ending)
    return stem.removeprefix("test_").strip("_")


def guide_rank(path: str) -> float | None:
    """Return how early the file is shown if nothing else decides, the highest first; ``None``: not at all.

    First the rules of the house and the readme, then the manifest, then where a program begins.
    """
    depth, name = path.count("/"), path.rpartition("/")[2].lower()
    stem = name.partition(".")[0]
    if stem in _GUIDES and not is_code(path):
        rank = 4 - 0.3 * depth
    elif stem == "readme":
        rank = 3 - 0.6 * depth
    elif name in _MANIFESTS:
        rank = 2 - 0.6 * depth
    elif stem in _ENTRY_POINTS and not is_test(path):
        rank = 1 - 0.1 * depth
    else:
        return None
    return rank if rank > 0 else None


def is_guide(path: str) -> bool:
    """Whether the file tells how to work here: a readme, conventions and the like."""
    rank = guide_rank(path)
    return rank is not None and rank > 2


def _folded(path: str) -> tuple[list[str], str]:
    *folders, name = path.lower().split("/")
    return folders, name
