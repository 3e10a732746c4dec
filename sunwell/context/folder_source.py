"""A folder as a source of context: its texts are indexed, and a query finds their sections."""

import hashlib
import os
import sqlite3
import threading
import time
from collections.abc import Sequence
from pathlib import Path

import attrs

from sunwell.context.section_index import Connect, FileState, Hit, SectionIndex, told_errors
from sunwell.context.sections import Section, sections_of
from sunwell.context.workspace_files import list_files
from sunwell.core.markdown import fenced
from sunwell.core.secrets import Secrets
from sunwell.core.threads import in_thread
from sunwell.core.user_folders import cache_folder
from sunwell.errors import ConfigurationError, ToolError
from sunwell.models.tokens import estimate_tokens
from sunwell.tools.text_file import text_of
from sunwell.tools.wording import on_one_line, quoted
from sunwell.tools.workspace import FileReader, FolderEntry, Workspace

MOST_FILE_BYTES = 1_000_000
"""A larger file is not indexed."""
MOST_BYTES = 64_000_000
"""Text that is indexed of one folder, upper levels first."""
_REFRESH_SECONDS = 12.0
"""How long one query may index; it then answers from what is there, and the next one goes on."""
_SEARCH_SECONDS = 5.0
_BATCH = 100  # files that are written in one step: a process that is killed loses no more
_RACY_NS = 2_000_000_000
"""A file that changed so shortly before it was read may have changed again within one tick of its clock."""
_LEAST_CUT_TOKENS = 60
_DAMAGED = ("SQLITE_CORRUPT", "SQLITE_NOTADB", "SQLITE_CORRUPT_VTAB")


@attrs.frozen
class FolderPlace:
    """A folder that is searched, and how its files are called."""

    workspace: Workspace
    """Its rules say which files may be shown."""
    below: str = ""
    """The folder, relative to the workspace's root, without links; empty for the root."""

    ignore: tuple[str, ...] = ()
    """The patterns that *workspace* hides."""

    @classmethod
    def of(cls, path: str, root: Path, ignore: tuple[str, ...] = ()) -> "FolderPlace":
        """Return the folder *path*, relative to the workspace *root* or absolute; *ignore* hides files in it.

        A relative path that leads out of the workspace, by ``..`` or a link, is refused, and so is a folder
        that tools may not open. Raises :exc:`~sunwell.errors.ConfigurationError`.
        """
        try:
            workspace = Workspace(root, ignore=ignore)
            where = workspace.inside(os.path.expanduser(path))  # noqa: PTH111 - it may be relative
            if where.startswith("/"):
                where = os.path.realpath(where)
                # As a path below "/", so that all names above it count: nothing of ~/.ssh is shown.
                Workspace("/").locate(where.lstrip("/"))
                if Path(where).is_dir():
                    return cls(Workspace(where, ignore=ignore), "", ignore)
            elif workspace.exists(where) and not workspace.is_file(where):
                return cls(workspace, workspace.locate(where), ignore)
        except ToolError as error:
            raise ConfigurationError(f"the context folder {quoted(path)}: {error.sentence}") from None
        raise ConfigurationError(f"there is no context folder {quoted(path)}: name an existing one")

    @property
    def key(self) -> str:
        """What the index of exactly these files is called."""
        told = "\n".join([str(self.workspace.root), self.below, *self.ignore])
        return hashlib.sha256(told.encode("utf-8", "surrogatepass")).hexdigest()[:32]


@attrs.define(eq=False)
class FolderSource:
    """Searches the texts of a folder: a :class:`~sunwell.core.context_source.DocumentSource`.

    Before each query the index is brought up to date: a file that has another size or time is read, and one
    with another content is indexed anew. Protected and ignored files, files that may hold keys, build folders
    and what is larger than 1 MB are never in it, and known secrets are replaced. The index is a file in the
    user's cache folder, for this user alone; if that cannot be used it is in memory.
    """

    name: str
    place: FolderPlace
    secrets: Secrets = attrs.field(factory=Secrets)
    cache: Path | None = None
    """Where the index is kept; ``None``: in the user's cache folder."""
    connect: Connect = sqlite3.connect
    _index: SectionIndex = attrs.field(init=False)
    # One thread at a time; who waited while another brought the index up to date need not do it again.
    _turn: threading.Lock = attrs.field(factory=threading.Lock, init=False)
    _fresh_since: float = attrs.field(default=-1.0, init=False)
    _left: int = attrs.field(default=0, init=False)
    """How many files still have to be indexed."""

    def __attrs_post_init__(self) -> None:
        self._index = SectionIndex(self._file(), self.connect)

    async def context_query(self, query: str, most_tokens: int) -> str:
        """Return the sections that fit *query* best, each with path and lines, in at most *most_tokens*.

        Empty if nothing fits. Raises :exc:`~sunwell.errors.ToolError` if the folder cannot be searched.
        """
        return await in_thread(self._answer, query, most_tokens, time.monotonic())

    async def load_document(self, name: str) -> str:
        """Return the text of the file *name*, a path as a query returns it, without known secrets."""
        return await in_thread(self._load, name)

    async def aclose(self) -> None:
        """Close the index."""
        await in_thread(self._close)

    def _close(self) -> None:
        with self._turn:
            self._index.close()

    def _file(self) -> Path | None:
        try:
            folder = cache_folder() if self.cache is None else self.cache
        except ConfigurationError:  # this user has no home
            return None
        return folder / "context" / f"{self.place.key}.sqlite3"

    def _answer(self, query: str, most_tokens: int, asked: float) -> str:
        with self._turn, told_errors(f"the folder {self.name}"):
            try:
                hits = self._hits(query, asked)
            except sqlite3.DatabaseError as error:
                if getattr(error, "sqlite_errorname", "") not in _DAMAGED:
                    raise
                self._index.discard()
                hits = self._hits(query, time.monotonic())
        return self._shown(hits, most_tokens)

    def _hits(self, query: str, asked: float) -> list[Hit]:
        began = time.monotonic()
        if self._fresh_since < asked:
            self._index.until(began + _REFRESH_SECONDS + _SEARCH_SECONDS)
            self._left = self._refresh(began + _REFRESH_SECONDS)
            self._fresh_since = began
        self._index.until(time.monotonic() + _SEARCH_SECONDS)
        return self._index.search(query)

    def _load(self, name: str) -> str:
        files = {on_one_line(entry.path): entry.path for entry in self._files()}
        if name not in files:
            raise ToolError(f"{self.name} has no document {quoted(name)}")
        with FileReader(self.place.workspace) as reader:
            data = reader.read(files[name], MOST_FILE_BYTES)
        return self.secrets.redact(text_of(name, data).text)

    def _files(self) -> list[FolderEntry]:
        place = self.place
        if place.workspace.entries(place.below, 1) is None:
            raise ToolError(f"the folder of {self.name} is not there any more")
        found, _ = list_files(place.workspace, below=place.below)
        kept: list[FolderEntry] = []
        room = MOST_BYTES
        for entry in found:
            if 0 < entry.size_bytes <= min(room, MOST_FILE_BYTES) and self._may_be_named(entry.path):
                kept.append(entry)
                room -= entry.size_bytes
        return kept

    def _may_be_named(self, path: str) -> bool:
        try:
            path.encode()
        except UnicodeEncodeError:  # bytes that are no text
            return False
        return self.secrets.redact(path) == path

    def _refresh(self, until: float) -> int:
        """Bring the index up to date; return how many files are left when the time is up."""
        known, entries = self._index.files(), self._files()
        there = {entry.path for entry in entries}
        gone = [path for path in known if path not in there]
        left = [one.path for one in entries if not self._is_fresh(known.get(one.path), one.path)]
        with FileReader(self.place.workspace) as reader:
            for at in range(0, len(left), _BATCH):
                if time.monotonic() > until:
                    return len(left) - at
                found = [self._read(reader, path, known.get(path)) for path in left[at : at + _BATCH]]
                self._index.put(found, gone)
                gone = []
        if gone:
            self._index.put((), gone)
        return 0

    def _is_fresh(self, known: FileState | None, path: str) -> bool:
        if known is None:
            return False
        try:
            status = os.lstat(self.place.workspace.root / path)
        except OSError:
            return False
        is_settled = known.seen_ns - known.changed_ns > _RACY_NS
        return is_settled and (status.st_size, status.st_ctime_ns) == (known.size, known.changed_ns)

    def _read(
        self, reader: FileReader, path: str, known: FileState | None
    ) -> tuple[str, FileState, Sequence[Section] | None]:
        seen, size, changed = time.time_ns(), 0, 0
        try:
            status = os.lstat(self.place.workspace.root / path)
            size, changed = status.st_size, status.st_ctime_ns
            data = reader.read(path, MOST_FILE_BYTES)
        except (ToolError, OSError):  # gone, not readable, or secret by its content
            return path, FileState(size, changed, seen, ""), ()
        state = FileState(size, changed, seen, hashlib.sha256(data).hexdigest())
        if known is not None and known.digest == state.digest:
            return path, state, None
        try:
            text = text_of(path, data).text
        except ToolError:  # no text
            return path, state, ()
        clean = self.secrets.redact(text).encode("utf-8", "replace").decode()
        return path, state, sections_of(path, clean)

    def _shown(self, hits: Sequence[Hit], most_tokens: int) -> str:
        """Return as many of *hits* as fit, the last one perhaps cut."""
        parts, room = list[str](), most_tokens
        if self._left and hits:
            parts.append(f"(The index is still being made: {self._left:,} files are missing.)")
            room -= estimate_tokens(parts[0]) + 1
        found = len(parts)
        for hit in hits:
            # Again, with what is known as a secret by now: the index may be older.
            lines = self.secrets.redact(hit.section.text).split("\n")
            block = self._block(hit, lines, len(lines))
            size = estimate_tokens(block) + 1
            if size > room:
                block = self._cut(hit, lines, room) if room > _LEAST_CUT_TOKENS else ""
            if block:
                parts.append(block)
            if size > room:
                break
            room -= size
        return "\n\n".join(parts) if len(parts) > found else ""

    def _block(self, hit: Hit, lines: Sequence[str], kept: int) -> str:
        one, more = hit.section, len(lines) - kept
        where = f"{on_one_line(hit.path)}, lines {one.first_line}-{one.last_line}"
        heading = f" ({on_one_line(self.secrets.redact(one.heading))})" if one.heading else ""
        note = f"\n({more:,} more lines of this section)" if more else ""
        text = "\n".join(lines[:kept])
        return f"{where}{heading}:\n{fenced(text)}{note}"

    def _cut(self, hit: Hit, lines: Sequence[str], room: int) -> str:
        """Return the beginning of a section that is too long, with a note; empty if nothing of it fits."""
        few, many = 0, len(lines) - 1
        while few < many:
            middle = (few + many + 1) // 2
            if estimate_tokens(self._block(hit, lines, middle)) < room:
                few = middle
            else:
                many = middle - 1
        return self._block(hit, lines, few) if few else ""
