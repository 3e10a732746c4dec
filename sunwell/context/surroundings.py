"""Where work takes place: the folder, its upper files and its own advice to agents, as text for a model."""

import datetime
import platform
from collections.abc import Iterable, Sequence
from pathlib import Path

import attrs

from sunwell.context.workspace_files import list_files
from sunwell.core.marks import guarded
from sunwell.core.secrets import Secrets
from sunwell.errors import ToolError
from sunwell.tools.text_file import text_of
from sunwell.tools.wording import on_one_line
from sunwell.tools.workspace import Workspace

ADVICE_FILES = ("AGENTS.md", "CLAUDE.md")
"""Files in which a project tells agents how its code is written, built and tested; both are shown."""
ADVICE_BYTES = 8_000
"""Most bytes of these files together."""
_MOST_ADVICE_BYTES = 500_000
"""A larger file is not read."""
_LISTED_BYTES = 400
_MOST_ENTRIES = 120  # listing takes longer than anything else when a run opens
_MOST_IN_FOLDER = 8
_UNUSUAL_FILE_CHARACTERS = 60


@attrs.frozen
class Advice:
    """What one file of the workspace tells agents."""

    name: str
    text: str
    is_cut: bool = False


@attrs.frozen
class Surroundings:
    """What is the same for all work of one run, taken once when the run opens."""

    folder: str
    system: str
    """Operating system and machine, such as ``Linux x86_64``."""
    date: str
    """The day on which the run began, in ISO form."""
    files: str = ""
    """The upper files of the workspace on one line; empty if there are none."""
    advice: tuple[Advice, ...] = ()


def look_around(
    place: Path | Workspace,
    *,
    secrets: Secrets,
    reads_advice: bool = True,
    today: datetime.date | None = None,
    ignore: Iterable[str] = (),
) -> Surroundings:
    """Return the surroundings of work in the folder *place*. Known *secrets* are replaced.

    The upper files are listed in at most 400 bytes, without what ignore files or the patterns *ignore* hide.
    Advice is read from ``AGENTS.md`` and ``CLAUDE.md`` of the folder itself; a file that is hidden or not
    text, or a link that leads out of the workspace, is left out.
    """
    workspace = place.hiding(ignore) if isinstance(place, Workspace) else Workspace(place, ignore=ignore)
    folder = place.root if isinstance(place, Workspace) else place
    return Surroundings(
        secrets.redact(on_one_line(str(folder))),
        f"{platform.system()} {platform.machine()}".strip(),
        (today or datetime.datetime.now(datetime.UTC).astimezone().date()).isoformat(),
        secrets.redact(_listed(workspace)),
        _advice(workspace, secrets) if reads_advice else (),
    )


def _listed(workspace: Workspace) -> str:
    files, complete = list_files(workspace, _MOST_ENTRIES)
    folders: dict[str, list[str]] = {}
    for entry in files:
        folder, _, name = entry.path.rpartition("/")
        folders.setdefault(folder, []).append(on_one_line(name)[:_UNUSUAL_FILE_CHARACTERS])
    parts: list[str] = []
    room = _LISTED_BYTES
    for folder, names in sorted(folders.items(), key=lambda one: one[0].startswith(".")):
        part = _folder_listed(folder, sorted(names, key=_dots_last))
        room -= len(part.encode("utf-8", "replace")) + 2
        if room < 0:
            break
        parts.append(part)
    if parts and (room < 0 or not complete):
        parts.append("…")
    return "; ".join(parts)


def _dots_last(name: str) -> tuple[bool, str]:
    return name.startswith("."), name  # what tools leave says least


def _folder_listed(folder: str, names: Sequence[str]) -> str:
    more = ["…"] if len(names) > _MOST_IN_FOLDER else []
    shown = ", ".join([*names[:_MOST_IN_FOLDER], *more])
    return f"{on_one_line(folder)}/: {shown}" if folder else shown


def _advice(workspace: Workspace, secrets: Secrets) -> tuple[Advice, ...]:
    found: list[Advice] = []
    room = ADVICE_BYTES
    for name in ADVICE_FILES:
        text = _text(workspace, name)
        if text is None or text == "@AGENTS.md" or any(text == other.text for other in found):
            continue
        text = secrets.redact(text)  # before it is cut: half a secret could not be found
        cut = text.encode("utf-8", "replace")[: max(0, room)].decode("utf-8", "ignore")
        room -= len(cut.encode("utf-8", "replace"))
        if cut.strip():
            found.append(Advice(name, guarded(cut), is_cut=len(cut) < len(text)))
    return tuple(found)


def _text(workspace: Workspace, name: str) -> str | None:
    if not workspace.may_have(name):
        return None
    try:
        content = workspace.read(name, _MOST_ADVICE_BYTES)
        return None if content is None else text_of(name, content.data).text.strip()
    except ToolError:
        return None
