"""A recorded run as JSON values: what it did and cost, its workers and its tree, also if it has not ended."""

from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any

from sunwell.agent.lifecycle.run_settings import latest_settings, options_from
from sunwell.agent.run.run_context import commands_in, left_behind_in
from sunwell.core.lens import EphemeralLens, LensSource
from sunwell.core.verdict import LensTest, lens_test_fields, verification_fields
from sunwell.journal.records import LensWritten, Record, RunClosed, RunOpened
from sunwell.journal.tree import Node, tree
from sunwell.report.figures import exact
from sunwell.report.forecast import lens_object
from sunwell.report.summary import source_object
from sunwell.report.worker_entries import command_object, usage_object, workers_of_records

Texts = Mapping[tuple[str, int], str]
"""Text of messages and results, by span and number of the call."""


def run_object(records: Sequence[Record], said: Texts | None = None) -> dict[str, Any]:
    """Return the run that *records* tell of.

    Amounts are US dollars with all digits as text, ``None`` where they are unknown; durations are seconds.
    With *said*, each call has its text, and workers have the texts of their tasks and reports.
    """
    root = tree(records)
    opened = next((record for record in records if isinstance(record, RunOpened)), None)
    ended = next((record for record in reversed(records) if isinstance(record, RunClosed)), None)
    kinds = Counter(node.type for node in root.walk() if node.type != "call" or node.status == "answered")
    lens, left_out = lens_in(records)
    return {
        "run_id": root.name,
        "status": root.status,
        "task": root.query,
        "continues": (opened.continues if opened else "") or None,
        "started_at": root.started_at,
        "duration_seconds": _seconds(root),
        "calls": kinds["call"],
        "tool_calls": kinds["tool"],
        "usage": usage_object(root.total_usage),
        "cost_usd": exact(root.total_cost_usd),
        "uncertain_usd": exact(root.total_uncertain_usd),
        "lens": None if lens is None else lens_object(lens),
        "lens_left_out": list(left_out),
        "lens_test": lens_test_fields(lens_test_in(records)),
        "lens_source": source_object(lens_source_in(records)),
        "commands": [command_object(command) for command in commands_in(records)],
        "left_behind": list(left_behind_in(records)),
        **workers_of_records(records, root, with_texts=said is not None),
        "verification": verification_fields(ended.verification if ended else None),
        "tree": _node(root, said or {}),
    }


def lens_in(records: Sequence[Record]) -> tuple[EphemeralLens | None, Sequence[str]]:
    """Return the lens of a run, written or given, and what of it was left out; ``None`` if there is none."""
    written = [record for record in records if isinstance(record, LensWritten)]
    if written:
        return written[-1].lens, written[-1].left_out
    settings = latest_settings(records)
    if "lens" not in settings:
        return None, ()
    return options_from(settings).lens, settings.get("lens_left_out", ())


def lens_test_in(records: Sequence[Record]) -> LensTest | None:
    """Return what the test of a batch's lens has shown when the run ended; ``None`` if nothing is said."""
    ended = next((record for record in reversed(records) if isinstance(record, RunClosed)), None)
    return None if ended is None else ended.lens_test


def lens_source_in(records: Sequence[Record]) -> LensSource | None:
    """Return where the lens of a run comes from; ``None`` if there is none, it was given, or nobody says."""
    written = [record for record in records if isinstance(record, LensWritten)]
    return written[-1].source if written else None


def _node(node: Node, said: Texts) -> dict[str, Any]:
    text = None if node.number is None or node.type != "call" else said.get((node.span, node.number))
    return {
        "type": node.type,
        "span": node.span,
        "number": node.number,
        "name": node.name,
        "status": node.status,
        "stop_reason": node.stop_reason,
        "model": node.model,
        "purpose": node.purpose,
        "task": node.query,
        "exit_code": node.exit_code,
        "started_at": node.started_at,
        "duration_seconds": _seconds(node),
        "usage": usage_object(node.total_usage),
        "cost_usd": exact(node.total_cost_usd),
        "uncertain_usd": exact(node.total_uncertain_usd),
        "text": text,
        "children": [_node(child, said) for child in node.children],
    }


def _seconds(node: Node) -> float | None:
    return None if node.duration_ms is None else node.duration_ms / 1000
