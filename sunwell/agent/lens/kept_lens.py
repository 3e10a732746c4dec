"""Whether a lens of an earlier run is used again: as it is, as a start for a new one, or not.

A lens is used as it is only where the smart model would be asked the same again: the same words, of the same
kind, in the same workspace, for the same reader, by the same model, prompt and limits, with every file that
it rests on as it was, and no file besides that fits the task. What is found is noted in the journal before it
is used, so that a resume uses the same.
"""

import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from datetime import UTC, datetime
from decimal import Decimal
from hashlib import sha256
from typing import Any, Literal

import attrs

from sunwell.agent.lens.lens_change import LensBase, kept_text
from sunwell.agent.lens.lens_request import LensOrder, tools_text
from sunwell.agent.policy.cost_model import Shape, lens_cost_usd
from sunwell.agent.policy.task_kinds import kind_of
from sunwell.agent.policy.task_words import plain_words
from sunwell.agent.prompts import LENS_CHANGE_PROMPT_VERSION, LENS_PROMPT_VERSION
from sunwell.agent.run.lens_shelf import LensShelf, lasting_name
from sunwell.agent.run.run_context import Run
from sunwell.context.excerpts import Shown
from sunwell.context.options import RunOptions
from sunwell.core.lens import EphemeralLens, LensSource
from sunwell.core.markdown import one_line
from sunwell.core.message import FileRead
from sunwell.core.model import ModelProtocol
from sunwell.core.price import Price
from sunwell.core.span import Span
from sunwell.core.threads import in_thread
from sunwell.core.verdict import Verification
from sunwell.errors import JournalError
from sunwell.journal.records import Forked, Note, ToolFinished
from sunwell.memory.lens_store import LONGEST_TASK, KeptLens

KEPT = "kept-lens"
"""Name of the note with what the store had for the lens of a run."""
MOST_SECONDS = 30 * 86_400.0
"""How long a lens is used again: models change under their names, and so does what a workspace lives on."""
LEAST_ALIKE = 0.5
"""Share of the words of two tasks that both have, from which on a lens for one is a start for the other."""
MOST_SHARE = Decimal("0.8")
"""Part of the price of a whole lens that changing a kept one may be expected to cost."""
_MOST_NAMED = 3
_WORD = re.compile(r"[^\W\d]\w{2,}")
_CODE = re.compile(r"`[^`]*`|\w*(?:_|[a-z][A-Z]|\d)\w*|\w+(?=\()|\w+\.\w+")
"""What looks like code in a sentence: between backticks, with an underscore, a capital inside or a digit,
before a bracket, or around a dot."""
_LONGEST_SHOWN = 500
_WORDS = {
    "smart": "it was written by another model, {}",
    "reader": "it was written for another reader, {}",
    "prompt": "the instructions for lenses have changed",
    "tools": "its readers had other tools",
}


@attrs.frozen
class WantedLens:
    """What a run wants of a lens: what a kept one is compared with."""

    scope: str
    task: str
    needs: Mapping[str, Any]
    shown: Shown
    """What of the workspace the smart model would be shown."""

    @classmethod
    def of(
        cls,
        shelf: LensShelf,
        order: LensOrder,
        shown: Shown,
        options: RunOptions,
        models: tuple[ModelProtocol, ModelProtocol],
    ) -> "WantedLens | None":
        """Return what is wanted by *order*, whose context is what is sent of *shown*; ``None``: no kept one.

        *models* are who writes and who reads: later runs must know both again. Nor is one wanted if the name
        of a shown file has a secret, so that nobody notes it.
        """
        smart, reader = lasting_name(models[0]), lasting_name(models[1])
        if smart is None or reader is None or len(shown.reads) < len(shown.parts):
            return None
        needs = {
            "smart": smart,
            "reader": reader,
            "prompt": [LENS_PROMPT_VERSION, LENS_CHANGE_PROMPT_VERSION],
            "tools": _digest(tools_text(order.tools)),
            "max_lens_tokens": order.max_lens_tokens,
            "effort": order.effort,
            "split": order.split,
            "scout_turns": options.scout_turns if options.scout else 0,
        }
        return cls(shelf.scope if order.context else "", order.task, needs, shown)

    @property
    def kind(self) -> str:
        """The kind of the task."""
        return kind_of(self.task)

    @property
    def task_sha256(self) -> str:
        """Hash of the task's words: blanks at the ends of lines and a full stop at the end say nothing."""
        lines = [line.rstrip() for line in self.task.strip().splitlines()]
        return _digest("\n".join(lines).removesuffix("."))


@attrs.frozen(kw_only=True)
class FoundLens:
    """What the store has for the lens of a run, as it is noted."""

    use: Literal["as it is", "as a start", "not"] = "not"
    kept: KeptLens | None = None
    """The kept lens that is used; ``None``: none."""
    reasons: tuple[str, ...] = ()
    """Why one for the same task is not used as it is, a clause each."""
    base: LensBase | None = None
    """What is changed, if it is a start."""
    changed: tuple[str, ...] = ()
    """The files of the kept lens that are not as they were."""
    files: Mapping[str, str | None] = attrs.field(factory=dict)
    """If it is a start, the hash of each of its files as it is now: what is made of it rests on them, too."""
    may_keep: bool = False
    """Whether the lens that is written may be kept."""

    @property
    def taken(self) -> KeptLens | None:
        """The lens that is used as it is."""
        return self.kept if self.use == "as it is" else None

    def source(self, how: Literal["written", "changed", "taken"], kept_id: str = "") -> LensSource:
        """Return where a lens comes from that was got in the way *how*."""
        kept = self.kept if how != "written" else None
        return LensSource(
            how=how,
            kept_id=kept_id,
            from_id="" if kept is None else kept.id,
            written_on="" if kept is None else _day(kept.kept_at),
            written_for="" if kept is None else _shown_task(kept.task),
            saved_usd=kept.cost_usd if kept is not None and how == "taken" else None,
            reasons=self.reasons,
        )


ChangePrice = Callable[[LensBase], tuple[int, int]]
"""Gives the tokens that the smart model reads to change a lens, and to write a whole one."""


def look_up(
    shelf: LensShelf, wanted: WantedLens, price: Price | None, tokens_of: ChangePrice, now: float
) -> FoundLens:
    """Return what the store has for *wanted*. It blocks, and reads the files that kept lenses rest on."""
    seen: dict[str, str | None] = {}

    def hashes(paths: Iterable[str]) -> Mapping[str, str | None]:
        asked = [path for path in paths if path not in seen]
        seen.update(zip(asked, shelf.hashes(asked), strict=True))
        return seen

    reasons: tuple[str, ...] = ()
    start: KeptLens | None = None
    found = shelf.store.find(wanted.scope, wanted.kind, wanted.task_sha256)
    for kept in found:
        if kept.task_sha256 == wanted.task_sha256:
            against = reasons_against(kept, wanted, hashes((*kept.files, *kept.idle)), now)
            if not against:
                return FoundLens(use="as it is", kept=kept)
            reasons = reasons or against
        # Of those that are equally alike, the latest.
        is_best = start is None or _alike(kept, wanted) > _alike(start, wanted)
        if is_best and _may_start(kept, wanted, now) and _shows_changes(kept, wanted, hashes(kept.files)):
            start = kept
    plain = FoundLens(reasons=reasons, may_keep=True)
    if start is None or price is None:
        return plain
    stands = hashes(start.files)
    changed = tuple(path for path, digest in start.files.items() if stands[path] != digest)
    files = {path: stands[path] for path in start.files}
    base = LensBase(start.lens, kept_text(start.lens, start.task, changed), _unseen(start, wanted))
    change, whole = tokens_of(base)
    if _usd(price, whole, change) > MOST_SHARE * _usd(price, whole, None):
        return plain
    return attrs.evolve(plain, use="as a start", kept=start, base=base, changed=changed, files=files)


def _usd(price: Price, whole_tokens: int, change_tokens: int | None) -> Decimal:
    return lens_cost_usd(price, Shape(lens_input_tokens=whole_tokens, change_input_tokens=change_tokens))


def reasons_against(
    kept: KeptLens, wanted: WantedLens, stands: Mapping[str, str | None], now: float
) -> tuple[str, ...]:
    """Return why *kept*, a lens for the same task, is not used as it is, a clause each; none: it is.

    *stands* has the hash of each of its files as it is now.
    """
    against = [] if kept.needs == wanted.needs else list(_other_needs(kept.needs, wanted.needs))
    if kept.harms:
        against.append("a trial found that work is worse under it")
    if not now - MOST_SECONDS <= kept.kept_at <= now + MOST_SECONDS:
        against.append("it is older than 30 days")
    gone = [path for path, digest in kept.files.items() if digest is not None and stands[path] is None]
    new = [path for path, digest in kept.files.items() if digest is None and stands[path] is not None]
    new += [path for path in wanted.shown.fitting if path not in kept.files and path not in kept.idle]
    # A file that had only filled the room may fit the task by now, or say something else to it.
    rests_on = {**kept.files, **{path: kept.idle[path] for path in wanted.shown.fitting if path in kept.idle}}
    changed = [
        path
        for path, digest in rests_on.items()
        if None not in (digest, stands[path]) and stands[path] != digest
    ]
    against += [f"{_files(changed)} changed since"] if changed else []
    against += [f"{_files(gone)} cannot be read any more"] if gone else []
    against += [f"{_files(new)} had not been looked at"] if new else []
    return tuple(against)


def _other_needs(kept: Mapping[str, Any], wanted: Mapping[str, Any]) -> Iterable[str]:
    for name in dict.fromkeys([*wanted, *kept]):
        if kept.get(name) != wanted.get(name):
            plain = f"{name} is another one"
            yield _WORDS.get(name, plain).format(one_line(str(kept.get(name, "unknown"))))


def _files(paths: Sequence[str]) -> str:
    more = len(paths) - _MOST_NAMED
    return ", ".join(map(one_line, paths[:_MOST_NAMED])) + (f" and {more:,} more" if more > 0 else "")


def _may_start(kept: KeptLens, wanted: WantedLens, now: float) -> bool:
    """Whether *kept* may be changed for *wanted*: all but the task and the files is the same."""
    is_fit = kept.needs == wanted.needs and not kept.items and not kept.harms and not wanted.needs["split"]
    return is_fit and abs(now - kept.kept_at) <= MOST_SECONDS and _alike(kept, wanted) >= LEAST_ALIKE


def _shows_changes(kept: KeptLens, wanted: WantedLens, stands: Mapping[str, str | None]) -> bool:
    """Whether the smart model is shown each file of *kept* that is not as it was, unless it is gone.

    Of a file that it does not see, it cannot say which rules are out of date.
    """
    seen = {read.path for read in wanted.shown.reads}
    return all(stands[path] in (digest, None) or path in seen for path, digest in kept.files.items())


def _alike(kept: KeptLens, wanted: WantedLens) -> float:
    """Return which share of the words of two tasks both have, 0 to 1; above 1: they are the same task."""
    if kept.task_sha256 == wanted.task_sha256:
        return 2.0
    one, other = set(plain_words(kept.task)), set(plain_words(wanted.task))
    return len(one & other) / max(1, len(one | other))


def _unseen(kept: KeptLens, wanted: WantedLens) -> str:
    """Return what the smart model is shown to change *kept*.

    That are the files of its own that are not as they were, and what fits the task: all of that if it was
    written for another task, of which it may say nothing, else what it does not rest on.
    """
    shown, is_same = wanted.shown, kept.task_sha256 == wanted.task_sha256
    seen = {**kept.files, **kept.idle}
    as_it_was = {read.path for read in shown.reads if seen.get(read.path) == read.sha256}
    asked = {path for path in shown.fitting if not (is_same and path in as_it_was)}
    asked |= {read.path for read in shown.reads if read.path in kept.files and read.path not in as_it_was}
    return "\n\n".join(text for path, text in shown.parts if path in asked)


async def note_kept(
    run: Run,
    span: Span,
    order: LensOrder,
    shown: Shown,
    models: tuple[ModelProtocol, ModelProtocol],
    tokens_of: ChangePrice,
) -> None:
    """Look for a lens of an earlier run for *order*, and note what is found, if *run* uses the store."""
    if (shelf := run.shelf) is None or order.attempt:
        return
    wanted = WantedLens.of(shelf, order, shown, run.config, models)
    if wanted is None:
        return
    found = FoundLens(may_keep=True)
    if run.journal.find(Forked, ()) is None:  # who begins a lens anew wants another one
        price, now = run.gateway.prices.price(models[0]), shelf.store.clock()
        found = await in_thread(look_up, shelf, wanted, price, tokens_of, now)
        if found.kept is not None:
            await in_thread(shelf.store.use, found.kept)
    # A call, or the record of the lens, comes after it and makes it durable, too.
    await run.journal.append(Note(span.path, KEPT, _noted(found)), durable=False)


def found_for(run: Run, span: Span) -> FoundLens:
    """Return what the store had for the lens at *span*, as it is noted; nothing if nobody looked.

    Raises :exc:`~sunwell.errors.JournalError` if the note is damaged.
    """
    noted = run.journal.find(Note, (span.path, KEPT))
    if noted is None:
        return FoundLens()
    value = noted.value
    plain = FoundLens(reasons=tuple(value["reasons"]), may_keep=value["may_keep"])
    if value["use"] == "not":
        return plain
    try:
        kept = KeptLens(
            lens=EphemeralLens(**value["lens"]),
            items=tuple(value.get("items", ())),
            id=value["id"],
            task=value["task"],
            kept_at=datetime.fromisoformat(value["day"]).replace(tzinfo=UTC).timestamp(),
            cost_usd=None if value["cost_usd"] is None else Decimal(value["cost_usd"]),
            task_sha256="",
            kind="",
            scope="",
            needs={},
            files={},
        )
        changed = tuple(value.get("changed", ()))
        found = attrs.evolve(plain, use=value["use"], kept=kept, changed=changed)
        if found.use == "as it is":
            return found
        text = kept_text(kept.lens, kept.task, changed)
        found = attrs.evolve(found, base=LensBase(kept.lens, text, value["unseen"]))
        if "files" not in value:  # without them nobody can tell when a lens that is made of it is out of date
            return attrs.evolve(found, may_keep=False)
        return attrs.evolve(found, files=dict(value["files"]))
    except (ArithmeticError, KeyError, TypeError, ValueError) as error:
        raise JournalError(f"the journal is damaged: its kept lens cannot be read ({error})") from None


def _noted(found: FoundLens) -> dict[str, Any]:
    value: dict[str, Any] = {"reasons": list(found.reasons), "may_keep": found.may_keep, "use": found.use}
    if (kept := found.kept) is None:
        return value
    fields = attrs.asdict(kept.lens, filter=lambda field, _: field.name != "generation_prompt")
    value |= {
        "id": kept.id,
        "lens": {name: list(part) if isinstance(part, tuple) else part for name, part in fields.items()},
        "items": [dict(item) for item in kept.items],
        "day": _day(kept.kept_at),
        "task": kept.task,
        "cost_usd": None if kept.cost_usd is None else str(kept.cost_usd),
    }
    if found.base is not None:
        value |= {"unseen": found.base.unseen, "changed": list(found.changed), "files": dict(found.files)}
    return value


@attrs.frozen
class NewLens:
    """A lens that was just written, with what the store keeps besides."""

    lens: EphemeralLens
    items: tuple[Mapping[str, Any], ...]
    cost_usd: Decimal | None


async def keep_lens(
    run: Run,
    span: Span,
    order: LensOrder,
    made: NewLens,
    models: tuple[ModelProtocol, ModelProtocol],
    shown: Shown,
    base_files: Mapping[str, str | None],
) -> str:
    """Keep *made* for later runs and return its id; empty if it is not kept.

    It rests on the files that were *shown*, on those that the smart model has read itself, on those that it
    says will be changed, and on *base_files*: those of the lens that it is made of. Files that were shown,
    only filled the room, and of which it says nothing do not count.
    """
    if (shelf := run.shelf) is None:
        return ""
    wanted = WantedLens.of(shelf, order, shown, run.config, models)
    seen = _files_of(run, span, shown.reads)
    if wanted is None or seen is None:
        return ""
    idle = idle_files(made.lens, shown, order.task).difference(made.lens.target_files)
    idle -= {read.path for read in _looked_at(run, span)}
    files = {path: digest for path, digest in {**base_files, **seen}.items() if path not in idle}
    others = {path: digest for path in idle if (digest := seen.get(path)) is not None}
    return await in_thread(_keep, shelf, wanted, made, files, others)


def _keep(
    shelf: LensShelf,
    wanted: WantedLens,
    made: NewLens,
    files: dict[str, str | None],
    idle: Mapping[str, str],
) -> str:
    targets = [path for path in made.lens.target_files if path not in files]
    files |= dict(zip(targets, shelf.hashes(targets), strict=True))
    kept = KeptLens(
        lens=made.lens,
        task=wanted.task[:LONGEST_TASK],
        task_sha256=wanted.task_sha256,
        kind=wanted.kind,
        scope=wanted.scope,
        needs=wanted.needs,
        files=files,
        idle=idle,
        items=made.items,
        cost_usd=made.cost_usd,
    )
    done = shelf.store.keep(kept)
    return "" if done is None else done.id


def idle_files(lens: EphemeralLens, shown: Shown, task: str) -> frozenset[str]:
    """Return the shown files that *lens* does not rest on.

    They only filled the room, and the lens says no word of the file's path, and no name of code that is in
    the file. Words that are also in the task or in a file that fits it say nothing. What is not known to
    fill the room counts as fitting.
    """
    if not shown.fitting:
        return frozenset()
    fits = [text for part in shown.parts if part[0] in shown.fitting for text in part]
    common = _words_in(" ".join((task, *fits)))
    said, names = (found - common for found in _said_by(lens))
    return frozenset(
        path
        for path, text in shown.parts
        if path not in shown.fitting
        and said.isdisjoint(_words_in(path))
        and names.isdisjoint(_words_in(text))
    )


def _said_by(lens: EphemeralLens) -> tuple[frozenset[str], frozenset[str]]:
    """Return all words of *lens*, and those of them that look like names in code."""
    rules = " ".join((*lens.heuristics, *lens.patterns, *lens.anti_patterns, *lens.constraints))
    rules = " ".join((rules, lens.task_scope, *lens.target_files))
    examples = _words_in(" ".join(lens.examples))
    names = frozenset(name.casefold() for found in _CODE.finditer(rules) for name in _WORD.findall(found[0]))
    return _words_in(rules) | examples, names | examples


def _words_in(text: str) -> frozenset[str]:
    return frozenset(word.casefold() for word in _WORD.findall(text))


def _files_of(run: Run, span: Span, reads: Sequence[FileRead]) -> dict[str, str | None] | None:
    """Return the files that were read for the lens at *span*; ``None`` if one of them changed meanwhile."""
    all_reads = [*reads, *_looked_at(run, span)]
    files: dict[str, str | None] = {}
    for read in all_reads:
        if files.setdefault(read.path, read.sha256) != read.sha256:
            return None
    return files


def _looked_at(run: Run, span: Span) -> list[FileRead]:
    """Return what the smart model has read itself."""
    records = (each for each in run.journal.records() if isinstance(each, ToolFinished))
    return [read for each in records if each.span == span.path for read in each.result.reads]


async def forget_failed_lens(run: Run, verified: Sequence[Verification | None]) -> None:
    """Drop the lens of *run* from the store if all of the *verified* work failed: the next try gets another.

    *verified* has what the checks found of each piece, ``None`` for one that was not checked. A lens that
    this one was changed from was not tried, and stays.
    """
    source, passed = run.lens_source, [one.passed for one in verified if one is not None]
    if run.shelf is None or source is None or not passed or any(one is not False for one in passed):
        return
    if source.stored_id:
        await in_thread(run.shelf.store.drop, [source.stored_id])


def _digest(text: str) -> str:
    return sha256(text.encode("utf-8", "surrogatepass")).hexdigest()


def _day(at: float) -> str:
    return datetime.fromtimestamp(at, UTC).date().isoformat()


def _shown_task(task: str) -> str:
    line = one_line(task)
    return line if len(line) <= _LONGEST_SHOWN else f"{line[: _LONGEST_SHOWN - 1].rstrip()}…"
