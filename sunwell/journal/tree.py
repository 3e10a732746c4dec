"""From the flat records of a run to its tree."""

from collections.abc import Iterable
from typing import Any

import attrs

from sunwell.journal.branches import SpanBranch, milliseconds, question, subject
from sunwell.journal.node import Node
from sunwell.journal.records import (
    Answer,
    Failure,
    Forked,
    Intent,
    Note,
    Record,
    Refused,
    RunClosed,
    RunOpened,
    ToolFinished,
    ToolStarted,
    WorkerClosed,
    WorkerOpened,
)

_ROOT = "run"
_NOTED = frozenset({"query", "context_query", "parent_turn"})


def tree(records: Iterable[Record]) -> Node:
    """Return the run that *records* tell of, in one pass; kinds that say nothing of work are passed over.

    What a worker was asked, its context query and the turn that started it are taken from the notes
    ``query``, ``context_query`` and ``parent_turn`` in its span, else from the tool call after whose id
    its span is named, where there is one.
    """
    growing = _Growing()
    for order, record in enumerate(records):
        growing.take(record, order)
    return growing.grown()


@attrs.define(eq=False)
class _Growing:
    branches: dict[str, SpanBranch] = attrs.field(factory=dict)
    opened: RunOpened | None = None
    closed: RunClosed | None = None

    def take(self, record: Record, order: int) -> None:
        match record:
            case RunOpened():
                self.opened = self.opened or record
            case RunClosed():
                self.closed = record
            case Forked():
                for branch in self.branches.values():
                    branch.keep()
            case Intent() | Answer():
                branch = self.branch(record.span, order)
                branch.depth, branch.last_at = record.depth, record.at
                branch.call(record.number, order).take(record)
            case Failure() | Refused():
                self.branch(record.span, order).call(record.number, order).take(record)
            case ToolStarted():
                branch = self.branch(record.span, order)
                branch.asked[record.call.id] = (record.turn, record.call)
                tool = branch.tool((record.turn, record.index), record.call.name, order)
                tool.subject = subject(record.call)
            case ToolFinished():
                branch = self.branch(record.span, order)
                branch.tool((record.turn, record.index), record.tool, order).finished = record
            case WorkerOpened():
                branch = self.branch(record.span, order)
                branch.depth, branch.last_at, branch.opened = record.depth, record.at, record
            case WorkerClosed():
                branch = self.branch(record.span, order)
                branch.depth, branch.closed = record.depth, record
            case Note() if record.name in _NOTED:
                self.branch(record.span, order).notes[record.name] = record.value

    def branch(self, path: str, order: int) -> SpanBranch:
        return self.branches.setdefault(path, SpanBranch(order))

    def grown(self) -> Node:
        """Build the nodes, children before parents: a child's path is longer than its parent's."""
        self.branch(_ROOT, 0)
        paths = sorted(self.branches, key=len)
        parents = {path: self._above(path) for path in paths if path != _ROOT}
        depths: dict[str, int] = {}
        for path in (_ROOT, *parents):
            known = self.branches[path].depth
            above = depths.get(parents.get(path, ""), 0)
            depths[path] = above if known is None else known
        below: dict[str, list[tuple[int, Node]]] = {path: [] for path in paths}
        for path in reversed(parents):
            is_worker = depths[path] > depths[parents[path]]
            node = self._span(path, depths[path], below.pop(path))
            node = self._as_worker(node) if is_worker else node
            below[parents[path]].append((self.branches[path].order, node))
        return self._as_run(self._span(_ROOT, depths[_ROOT], below[_ROOT]))

    def _above(self, path: str) -> str:
        parent, slash, _ = path.rpartition("/")
        while slash:
            if parent in self.branches:
                return parent
            parent, slash, _ = parent.rpartition("/")
        return _ROOT

    def _span(self, path: str, depth: int, below: list[tuple[int, Node]]) -> Node:
        branch = self.branches[path]
        made = [(call.order, call.node(path, depth)) for call in branch.calls.values()]
        made += [(tool.order, tool.node(path, depth)) for tool in branch.tools.values()]
        children = tuple(node for _, node in sorted([*made, *below], key=lambda pair: pair[0]))
        started, lasted = _extent(children)
        return Node(
            "part",
            path,
            depth,
            model=branch.model,
            started_at=started,
            duration_ms=lasted,
            tools_called=tuple(child.name for child in children if child.type == "tool"),
            children=children,
        )

    def _as_worker(self, node: Node) -> Node:
        branch = self.branches[node.span]
        asked = {**self._from_tool_call(node.span), **branch.told(), **branch.notes}
        turn, query, context = (asked.get(name) for name in ("parent_turn", "query", "context_query"))
        results = [child.result_tokens for child in node.children if child.status == "answered"]
        return attrs.evolve(
            node,
            type="sub_completion",
            parent_turn=turn if isinstance(turn, int) else None,
            query=query if isinstance(query, str) else None,
            context_query=context if isinstance(context, str) else None,
            result_tokens=next((tokens for tokens in reversed(results) if tokens is not None), None),
            status=branch.status,
            stop_reason=branch.closed.stop_reason if branch.closed else None,
            duration_ms=branch.closed.duration_ms if branch.closed else node.duration_ms,
        )

    def _from_tool_call(self, path: str) -> dict[str, Any]:
        """Return the turn and the question of the call that the span, or the one around it, is named for."""
        above, _, last = path.rpartition("/")
        for parent, name in ((above, last), (above.rpartition("/")[0], above.rpartition("/")[2])):
            call_id = name.replace("%2F", "/").replace("%25", "%")
            branch = self.branches.get(parent)
            if branch is not None and call_id in branch.asked:
                turn, call = branch.asked[call_id]
                return {"parent_turn": turn, "query": question(call, last)}
        return {}

    def _as_run(self, node: Node) -> Node:
        opened, closed = self.opened, self.closed
        return attrs.evolve(
            node,
            type="run",
            name=opened.run_id if opened else "",
            query=opened.task if opened else None,
            started_at=opened.at if opened else node.started_at,
            status=closed.status if closed else "open",
            duration_ms=milliseconds(closed.duration_seconds) if closed else node.duration_ms,
        )


def _extent(children: Iterable[Node]) -> tuple[float | None, int | None]:
    """Return the first start, and the milliseconds from there to the last end that is known."""
    timed = [(node.started_at, node.duration_ms or 0) for node in children if node.started_at is not None]
    if not timed:
        return None, None
    start = min(at for at, _ in timed)
    end = max(at + lasted / 1000 for at, lasted in timed)
    return start, milliseconds(end - start)
