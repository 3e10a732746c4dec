"""Data of a page that no run has had: as many workers and calls as one likes, with all that can happen."""

import hashlib
from collections.abc import Iterator
from decimal import Decimal
from functools import partial

from sunwell.report.page.page_data import (
    BillRow,
    BillTables,
    CallAttempt,
    CallEntry,
    CheckEntry,
    ExpectedCost,
    FileEntry,
    JournalHealth,
    LensEntry,
    MoneyPoint,
    PageData,
    PageText,
    PrefixEntry,
    ProcessEntry,
    RunCost,
    RungEntry,
    RunHead,
    ShellStep,
    SmartAlone,
    SpanEntry,
    SumLine,
    TextId,
    TokenCounts,
    ToolEntry,
    WaitEntry,
)

START = 1_796_000_000.0
CHEAP, SMART = "claude-haiku-5-5", "claude-opus-5-5"
DIFF = """--- a/shop/endpoints/{name}.py
+++ b/shop/endpoints/{name}.py
@@ -1,4 +1,9 @@
 from shop.store import Store
-from shop.old import handler
+from shop.http import Request, Response
+
+
+def list_{name}(request: Request, store: Store) -> Response:
+    return Response(200, store.all("{name}", limit=request.limit))
"""
_ZERO = Decimal(0)
_ERRORS = ("RateLimitedError", "ModelTimeoutError", "OverloadedError")


def made_page(workers: int, calls: int) -> PageData:
    """Return the data of a run of so many workers and calls in all; the same ones each time."""
    return _Maker(workers, max(1, calls // max(1, workers))).page()


class _Maker:
    def __init__(self, workers: int, calls_each: int) -> None:
        self.workers, self.calls_each = workers, calls_each
        self.texts: dict[TextId, PageText] = {}
        self.spans: dict[str, SpanEntry] = {}
        self.calls: dict[str, CallEntry] = {}
        self.tools: dict[str, ToolEntry] = {}
        self.checks: dict[str, CheckEntry] = {}
        self.rungs: dict[str, RungEntry] = {}
        self.waits: dict[str, WaitEntry] = {}
        self.files: dict[str, FileEntry] = {}
        self.booked: list[tuple[float, Decimal, int]] = []
        self.settled = _ZERO

    def text(self, said: str) -> TextId:
        made = hashlib.blake2b(said.encode(), digest_size=6).hexdigest()
        self.texts[made] = PageText(said)
        return made

    def page(self) -> PageData:
        ends = [START + 4 + self.worker(number) for number in range(self.workers)]
        lens = self.lens_call()
        spans = {"run": self.whole(max(ends, default=START)), **self.spans}
        points = list(self.points())
        blocks = {str(at // 256): tuple(points[at : at + 256]) for at in range(0, len(points), 256)}
        return PageData(
            head=self.head(max(ends, default=START) - START),
            cost=self.cost(),
            bill=self.bill(),
            health=JournalHealth(
                "/home/ada/shop/.sunwell/runs/0193/journal.jsonl",
                4 * len(self.calls),
                0,
                0,
                (
                    ProcessEntry(START, START + 20, "killed", 12, 0),
                    ProcessEntry(START + 50, max(ends, default=START), "closed", len(self.calls) - 12, 12),
                ),
            ),
            reproduce=(
                ShellStep(
                    "sunwell resume 0193c0de", "goes on where it ended; no answered call is asked again"
                ),
                ShellStep("sunwell show 0193c0de --spans", "prints the tree"),
                ShellStep("sunwell undo 0193c0de", "puts the files back"),
            ),
            spans=spans,
            calls=self.calls,
            tools=self.tools,
            checks=self.checks,
            rungs=self.rungs,
            waits=self.waits,
            money=blocks,
            prefixes={
                "lens": PrefixEntry(
                    "lens of the batch",
                    CHEAP,
                    self.workers,
                    6_120,
                    1,
                    self.workers - 1,
                    Decimal("0.01345"),
                    Decimal("0.01345"),
                    "the first one begins, the others wait for its prefix: cheaper by $0.0021",
                )
            },
            lenses={"run": lens},
            files=self.files,
            texts=self.texts,
        )

    def points(self) -> Iterator[MoneyPoint]:
        settled, under_way = _ZERO, 0
        for at, usd, step in sorted(self.booked):
            settled, under_way = settled + usd, under_way + step
            yield MoneyPoint(at, settled, under_way * Decimal("0.0013"), Decimal("0.0021"), Decimal("0.004"))

    def head(self, seconds: float) -> RunHead:
        return RunHead(
            "0193c0de-7a1b-7000-8000-5a5a5a5a5a5a",
            self.text("Generate CRUD endpoints for 5 entities"),
            "incomplete",
            "check_failed",
            self.text("2 of the workers did not end well"),
            self.text("The endpoints of 4 entities are done.\n\nThe fifth fails its test."),
            "model",
            START,
            seconds,
            (("smart", SMART), ("delegation", CHEAP)),
            "/home/ada/shop",
            "0.1.0",
            "not verified: python -m unittest did not pass after 3 rungs, $0.0852",
            False,
            "the task is long: 9,000 tokens of output, of which a cheap model can write 8,000",
            (),
            "",
            "",
        )

    def cost(self) -> RunCost:
        tokens = TokenCounts(38_587, 6_120, 32_000, 4_802, 900)
        return RunCost(
            self.settled,
            Decimal("0.0021"),
            _ZERO,
            Decimal("0.004"),
            Decimal(max(1, round(self.settled * 2))) / 2,
            Decimal("0.00031"),
            tokens,
            len(self.calls),
            len(self.calls) + 9,
            1,
            1,
            9,
            0,
            SmartAlone(
                SMART,
                Decimal("0.1385"),
                Decimal("0.0533"),
                0.3848,
                "the tokens of the work at the smart model's price",
            ),
            ExpectedCost("delegate", Decimal("0.05"), Decimal("0.08"), Decimal("0.14")),
            "2026-11-02",
        )

    def bill(self) -> BillTables:
        row = partial(_row, self.settled)
        rows = (row("claude-haiku-5-5", "0.1"), row("claude-opus-5-5", "0.9"))
        return BillTables(
            row("", "1"),
            rows,
            (row("lens", "0.8"), row("work", "0.15"), row("check", "0.05")),
            (row("cheap", "0.1"), row("lens", "0.9")),
            (row("0", "0.9"), row("1", "0.1")),
        )

    def lens_call(self) -> LensEntry:
        self.call("run", 1, START + 0.2, "lens", SMART)
        items = tuple(
            self.text(f"Rule {number}: answer 404 for what is not there, 409 for a name that is taken.")
            for number in range(6)
        )
        return LensEntry(
            "run",
            SMART,
            "REST endpoints of a small shop",
            (("heuristics", items), ("constraints", items[:2])),
            ("shop/endpoints/orders.py",),
            (self.text("An example of pagination."),),
            tuple(path for path in self.spans),
            Decimal("0.0356"),
        )

    def whole(self, end: float) -> SpanEntry:
        task = self.text("Generate CRUD endpoints for 5 entities")
        return SpanEntry(
            "",
            "run",
            "run",
            task,
            "",
            "incomplete",
            "check_failed",
            "",
            "",
            0,
            START,
            end - START,
            self.settled,
            Decimal("0.0021"),
            TokenCounts(38_587, 6_120, 32_000, 4_802),
            len(self.calls),
            3,
            verified=False,
            verdict="not verified: python -m unittest did not pass",
        )

    def worker(self, number: int) -> float:
        path, at = f"run/task-0-0-{number}", START + 4 + 0.05 * number
        before = self.settled
        fails = number % 50 == 3
        if number:
            self.waits[str(len(self.waits))] = WaitEntry(
                path, "planner" if number % 3 else "ledger", START + 4, at
            )
        for call in range(1, self.calls_each + 1):
            at = self.call(path, call, at, "work", CHEAP, fails=fails and call == self.calls_each)
        passed = None if number % 7 == 5 else not fails
        evidence = self.text(
            "FAIL: test_orders (tests.test_orders)\nAssertionError: 200 != 404"
            if fails
            else "Ran 83 tests\nOK"
        )
        self.checks[f"{path}:1"] = CheckEntry(
            path,
            1,
            ("python -m unittest",),
            ("python -m unittest",) if fails else (),
            passed,
            evidence,
            _ZERO,
            at,
            0.8,
        )
        if fails:
            self.climb(path, at)
        name = f"entity{number}"
        self.files[f"shop/endpoints/{name}.py"] = FileEntry(
            "changed" if number % 2 else "made",
            (path,),
            self.text(DIFF.format(name=name)),
            (self.text("task-0-0-1 has changed it, too"),) if fails else (),
        )
        status, reason = ("incomplete", "check_failed") if fails else ("ok", "end")
        self.spans[path] = SpanEntry(
            "run",
            "worker",
            f"task-0-0-{number}",
            self.text(f"Write the endpoints of {name}"),
            CHEAP,
            status,
            reason,
            self.text("the provider did not answer in 60 s") if fails else "",
            self.text(f"Endpoints of {name}: 5 functions."),
            1,
            START + 4,
            at - START - 4,
            self.settled - before,
            _ZERO,
            TokenCounts(8_000, 0, 6_120, 900),
            self.calls_each,
            int(fails),
            (f"shop/endpoints/{name}.py",),
            verified=passed,
            verdict="",
        )
        return at - START - 4

    def climb(self, path: str, at: float) -> None:
        reason = self.text("the check did not pass on the rung before")
        for step, (rung, usd) in enumerate(
            (("cheap", "0.003687"), ("cheap_again", "0.00019"), ("lens", "0.0813"))
        ):
            self.rungs[f"{path}:{step + 1}"] = RungEntry(
                path, step + 1, rung, CHEAP, reason, Decimal("0.004"), Decimal(usd), at - 3 + step
            )

    def call(
        self, span: str, number: int, at: float, purpose: str, model: str, *, fails: bool = False
    ) -> float:
        usage = TokenCounts(
            7_000 + 13 * number, 0 if number > 1 else 6_120, 6_120 if number > 1 else 0, 240 + number % 90, 40
        )
        lines = tuple(self.lines(usage))
        usd = sum((line.usd for line in lines), _ZERO)
        seconds = 0.8 + (number * 37 % 100) / 60
        retried = (number + len(self.calls)) % 23 == 0
        tries = list(self.attempts(at, seconds, model, None if fails else usd, retried=retried or fails))
        key = f"{span}:{number}"
        self.tools[key + ":0"] = ToolEntry(
            span,
            number,
            0,
            ("read_file", "write_file", "run_command")[number % 3],
            f"shop/endpoints/entity{number}.py",
            self.text('{"path": "shop/store.py"}'),
            self.text("class Store:\n    ..."),
            "failed" if number % 41 == 0 else "answered",
            at + seconds,
            0.05,
            (),
            0 if number % 3 == 2 else None,
        )
        self.calls[key] = CallEntry(
            span,
            number,
            purpose,
            model,
            "anthropic",
            "failed" if fails else "answered",
            at,
            seconds,
            tuple(tries),
            None if fails else usage,
            None if fails else usd,
            _ZERO,
            () if fails else lines,
            "" if fails else "tool_use",
            "" if fails else self.text(f"I read the store first, then write endpoint {number}."),
            self.text("The store has `all`, `one` and `put`."),
            () if fails else (key + ":0",),
            "",
            "cheap",
        )
        if not fails:
            self.settled += usd
        self.booked += [(at, _ZERO, 1), (at + seconds, _ZERO if fails else usd, -1)]
        return at + seconds + 0.1

    def attempts(
        self, at: float, seconds: float, model: str, usd: Decimal | None, *, retried: bool
    ) -> Iterator[CallAttempt]:
        reserved = partial(
            CallAttempt,
            reserved_usd=Decimal("0.0213"),
            reserved_tokens=12_000,
            bound="tokenizer",
            unconfirmed_usd=_ZERO,
        )
        if retried:
            error = _ERRORS[len(self.calls) % 3]
            yield reserved(
                number=1,
                at=at,
                ended_at=at + seconds / 3,
                model=model,
                outcome="failed",
                error=error,
                detail=self.text("429: slow down, please"),
                usd=_ZERO,
            )
        first = at + seconds / 2 if retried else at
        last = 2 if retried else 1
        done = usd is not None
        yield reserved(
            number=last,
            at=first,
            ended_at=at + seconds,
            model=model,
            outcome="answered" if done else "failed",
            error="" if done else "ModelTimeoutError",
            detail="" if done else self.text("no answer in 60 s"),
            usd=usd,
        )

    def lines(self, usage: TokenCounts) -> Iterator[SumLine]:
        plain = usage.input - usage.cache_write - usage.cache_read
        for what, tokens, price in (
            ("input", plain, "1"),
            ("cache write", usage.cache_write, "1.25"),
            ("cache read", usage.cache_read, "0.1"),
            ("output", usage.output, "5"),
        ):
            if tokens:
                yield SumLine(what, tokens, Decimal(price), tokens * Decimal(price) / 1_000_000)


def _row(whole: Decimal, name: str, share: str) -> BillRow:
    usd = whole * Decimal(share)
    fifth, tenth = usd / 5, usd / 10
    return BillRow(
        name,
        8,
        TokenCounts(38_587, 6_120, 32_000, 4_802, 900),
        usd,
        Decimal("0.0021"),
        fifth,
        tenth,
        tenth,
        usd - fifth - 2 * tenth,
        tenth,
        _ZERO,
    )
