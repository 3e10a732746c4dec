"""Puts the figures of ``results/*.json`` into the tables of ``benchmarks/README.md``.

Run with ``python benchmarks/tables.py``. Whoever records a result gets this done by the way. A result
that has no table of its own here is shown line by line.
"""

import json
import re
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import Any

HERE = Path(__file__).parent
README = HERE / "README.md"
RESULTS = HERE / "results"
Found = dict[str, Any]
_CONTEXT = ("date", "commit", "dirty", "python", "platform", "system")


def rows(head: Iterable[str], body: Iterable[Iterable[object]]) -> list[str]:
    """Return the lines of a table; all columns but the first are aligned to the right."""
    names = list(head)
    lines = [names, ["---", *["---:"] * (len(names) - 1)], *body]
    return ["| " + " | ".join(str(cell) for cell in line) + " |" for line in lines]


def client_cpu(found: Found) -> list[str]:
    """One turn and one streamed piece, beside the bare SDK."""
    head = (
        "wire format",
        "turn 10, µs",
        "to the SDK",
        "turn 200, µs",
        "to the SDK",
        "piece, µs",
        "to the SDK",
    )
    return rows(head, (_client_row(name, found[name]) for name in ("chat", "messages")))


def _client_row(name: str, wire: Found) -> list[object]:
    turns = (f"{wire['loop_turn_10_us']:,.0f}", wire["turn_10_to_sdk"], f"{wire['loop_turn_200_us']:,.0f}")
    return [name, *turns, wire["turn_200_to_sdk"], wire["loop_chunk_us"], wire["chunk_to_sdk"]]


def short_runs(found: Found) -> list[str]:
    """A run of few calls, and many such runs at once, beside the bare SDK."""
    head = (
        "wire format",
        "tools",
        f"a call of {found['calls']}, CPU, µs",
        "to the SDK",
        "in memory, µs",
        "to the SDK",
        f"answered after {found['delay_ms']:.0f} ms, µs",
        "to the SDK",
        f"{found['runs']} runs, ms",
        "to the SDK",
    )
    body = (
        [
            wire,
            kind,
            f"{row['cpu_us']['median_run']:,.0f}",
            row["cpu_us"]["median_to_sdk"],
            *_in_memory(row),
            f"{row['cpu_us_slow']['median_run']:,.0f}",
            row["cpu_us_slow"]["median_to_sdk"],
            f"{row['wall_ms']['median_run']:,.0f}",
            row["wall_ms"]["median_to_sdk"],
        ]
        for wire in ("chat", "messages")
        for kind, row in found[wire].items()
    )
    return rows(head, body)


def _in_memory(row: Found) -> list[object]:
    found = row.get("cpu_us_in_memory")
    return [f"{found['median_run']:,.0f}", found["median_to_sdk"]] if found else ["", ""]


def delegation(found: Found) -> list[str]:
    """The three arms, with their cost and the tests that their work failed."""
    head = ("way", "calls", "tokens", "USD", "tests failed")
    body = (
        [name, arm["calls"], f"{arm['tokens']:,}", arm["usd"], f"{arm['failed']} of {arm['tests']}"]
        for name, arm in found["arms"].items()
    )
    return rows(head, body)


def journal(found: Found) -> list[str]:
    """Appends beside bare writes, then reading."""
    columns = (
        ("median, µs", "p50_us", "{:,.0f}"),
        ("99 %, µs", "p99_us", "{:,.0f}"),
        ("median to bare", "p50_ratio", "{:.2f}"),
        ("99 % to bare", "p99_ratio", "{:.2f}"),
        ("99 % to 100 bare", "p99_ratio_to_100", "{:.2f}"),
        ("syncs for each", "syncs_per_append", "{:.3f}"),
    )
    measured = [column for column in columns if all(column[1] in row for row in found["append"].values())]
    head = ("append", *(title for title, _, _ in measured))
    body = [
        [name, *(form.format(row[key]) for _, key, form in measured)] for name, row in found["append"].items()
    ]
    sizes = [(name, row) for name, row in found["reading"].items() if isinstance(row, dict)]
    reading = [
        [
            f"{int(name):,} records",
            f"{row['megabytes']:.0f}",
            f"{row['read_seconds']:.2f}",
            f"{row['open_seconds']:.2f}",
            f"{row['peak_megabytes']:.2f}",
        ]
        for name, row in sizes
    ]
    return [*rows(head, body), "", *rows(("read", "MB", "read, s", "take up, s", "peak memory, MB"), reading)]


def ledger(found: Found) -> list[str]:
    """A reservation, with one and with 1,000 others open, and beside a model call."""
    if "to_call" not in found:
        return line_by_line(found)
    took, to_call = found["median_us"], found["to_call"]
    body = [
        ["reserve and settle, 1 other open", took["1_open"], ""],
        ["the same, 1,000 open", took["1000_open"], f"{1 / found['1000_open_to_1_open']:.3f}"],
    ]
    for wire in ("chat", "messages"):
        for name, words in ((f"call_{wire}", "through the gateway"), (f"adapter_{wire}", "adapter alone")):
            body.append([f"{wire}, {words}", f"{took[name]:,.0f}", f"{to_call[name]:.2%}"])
    return rows(("what", "CPU, median µs", "a reservation to it"), body)


def vendor_limits(found: Found) -> list[str]:
    """Each vendor's limits, then the overload and the rounds over HTTP."""
    rounds = [(name, row) for name, row in found.items() if isinstance(row, dict)]
    vendors = [
        [name, f"{row['share']:.1%}", row["accepted"], row["refused"], row["failed"]]
        for name, row in rounds
        if "share" in row
    ]
    others = [
        [f"{name}, {key.replace('_', ' ')}", value]
        for name, row in rounds
        if "share" not in row
        for key, value in row.items()
    ]
    head = ("limit", "share used", "accepted", "refused", "failed")
    return [*rows(head, vendors), "", *rows(("figure", "value"), others)]


def utilisation(found: Found) -> list[str]:
    """How much of a cap was used, by the share that one worst case takes of it."""
    head = ("workers", "worst case and reserve", "booked", "billed", "calls")
    shares = ("worst_share", "booked_share", "billed_share")
    body = (
        [row["workers"], *(f"{row[key]:.1%}" for key in shares), f"{row['calls']:,}"] for row in found["rows"]
    )
    return rows(head, body)


def real_work(found: Found) -> list[str]:
    """Each way, pair of models and cap: what finished, and what was used and refused."""
    head = (
        "way", "models", "cap", "finished", "least used of an unfinished run", "shortened", "refused",
        "loosest bound", "bills above the cap",
    )  # fmt: skip
    body = (
        [
            row["way"],
            row["pair"],
            f"${row['cap_usd']}",
            f"{row['finished']:.0%}",
            "" if row["finished"] == 1 else f"{row['used_least']:.0%}",
            row["shortened"],
            row["refused"],
            row["loosest"] or "",
            row["passed"],
        ]
        for row in found["rows"]
    )
    return rows(head, body)


def real_packages(found: Found) -> list[str]:
    """Each package and way, with its end and its bill."""
    body = (
        [row["package"], row["way"], row["status"], row["turns"], f"${row['billed_usd']}"]
        for row in found["rows"]
    )
    return rows(("package", "way", "status", "turns", "billed"), body)


def caps(found: Found) -> list[str]:
    """What each of several libraries let be billed on one cap."""
    head = (f"{found['workers']} workers, cap ${found['cap_usd']}", "calls each", "billed, median", "answers")
    body = []
    for row in found["rows"]:
        answers = sorted(row["answers"])[len(row["answers"]) // 2]
        name = row["name"] if row["name"].startswith("sunwell") else f"{row['name']} {row['version']}"
        body.append([name, row["calls"], f"${float(row['median_usd']):.3f}", answers])
    return rows(head, body)


def interleavings(found: Found) -> list[str]:
    """How many random trees of work were run, and in how many of them something did not hold."""
    head = (
        "trees of work",
        "run",
        "broken",
        "model calls",
        "kills",
        "cancelled",
        "retried",
        "bound exceeded",
        "exact",
        "ceiling passed: told",
        "no report",
        "false report",
    )
    happened = ("model-call-finished", "kills", "cancels", "model-retried", "bound-exceeded", "exact")
    kinds = (*happened, "passed, told", "passed, without a report", "passed, reported as less")
    parts = [(name, part) for name, part in found.items() if isinstance(part, dict) and part["run"]]
    body = (
        [name, f"{part['run']:,}", len(part["broken"]), *(f"{part['seen'].get(kind, 0):,}" for kind in kinds)]
        for name, part in parts
    )
    return rows(head, body)


def import_time(found: Found) -> list[str]:
    """What imports cost, beside the least that they stand on."""
    body = ([name, ms, found["ratio"][name]] for name, ms in found["import_ms"].items())
    return rows(("import", "ms", "ratio"), body)


def mcp_start(found: Found) -> list[str]:
    """The start of the MCP server, beside a bare one."""
    names = {"bare": "a bare `MCPServer`", "sunwell": "`sunwell mcp`"}
    ratios = {"bare": (1.0, 1.0), "sunwell": (found["ratio"], found["wall_ratio"])}
    body = ([names[name], ms, ratios[name][0], ratios[name][1]] for name, ms in found["cpu_ms"].items())
    return rows(("start to `initialize`", "CPU, ms", "ratio", "ratio of wall time"), body)


def report_page(found: Found) -> list[str]:
    """The size of a page, how long it takes to open, and how long a filter takes in each view."""
    size, opened = found["kilobytes"], found["open_ms"]
    body = [
        ["kB, one call", size["empty"], ""],
        [f"kB, {found['calls']:,} calls", f"{size['long']:,}", ""],
        ["to open, one call", opened["empty"], "1.0"],
        [f"to open, {found['calls']:,} calls", opened["long"], found["open_to_empty"]],
    ]
    for view, took in found["filter_ms"].items():
        body.append([f"to filter, {view}", took, f"{took / opened['empty']:.2f}"])
    return rows(("what", "kB or ms", "to the empty page"), body)


def sandbox_start(found: Found) -> list[str]:
    """What a command takes longer in the sandbox, to its first output and to its end."""
    head = ("measured", "without, ms", "in the sandbox, ms", "difference, ms", "ninth decile, ms")
    columns = ("bare_ms", "sandbox_ms", "difference_ms", "ninth_decile_ms")
    parts = (("until the first output", "start"), ("until the end is known", "runner"))
    return rows(head, ([name, *(found[part][column] for column in columns)] for name, part in parts))


def telemetry(found: Found) -> list[str]:
    """What OpenTelemetry adds to a call of a run, by wire format and by what is told."""
    told = {
        "plain": "nobody is told",
        "api": "the API alone, without an SDK",
        "sdk": "the SDK, spans dropped in batches",
        "sdk_with_content": "the same, with messages and results",
    }
    body = [
        [wire, words, f"{found[wire]['median_us'][name]:,.0f}", found[wire]["to_plain"].get(name, "")]
        for wire in ("chat", "messages")
        for name, words in told.items()
    ]
    return rows(("wire format", "told of it", "a call of 11, CPU, µs", "to nobody"), body)


def tokenizer(found: Found) -> list[str]:
    """How far the tokenizer's bounds are from what was billed, by model and kind of request."""
    head = ("model: kind of request", "requests", "bounded", "exact", "0 to +5 %", "below", "highest")
    lines = {**found["by_model"], "all": found["total"]}
    columns = ("requests", "bounded", "exact", "within", "below")
    body = (
        [name, *(line[key] for key in columns), "" if line["most"] is None else f"{line['most']:+.1%}"]
        for name, line in lines.items()
    )
    return rows(head, body)


def file_search(found: Found) -> list[str]:
    """What a search costs beside grep, by what is sought and how."""
    body = (
        [what, way, part["seconds"], part["ratio"]]
        for what, ways in found["searches"].items()
        for way, part in ways.items()
    )
    return rows((f"sought in {found['files']:,} files", "by", "seconds", "to grep"), body)


def context_search(found: Found) -> list[str]:
    """The peaks of memory, then what counting and finding cost beside grep."""
    memory = ([name, row["megabytes"], row["seconds"]] for name, row in found["memory"]["rows"].items())
    search = found["search"]
    ways = ("grep -P, counted", "grep -E, counted", "grep -F, counted", "counted")
    head = (
        "sought", "lines", "grep -P", "-E", "-F", "counted", "to -P", "to -P, wall",
        "with a secret, to -P", "the first time", "found, ms", "to grep -b", "first 100",
    )  # fmt: skip
    body = (
        [
            f"{name}: `{row['pattern'].replace('|', chr(92) + '|')}`",
            f"{row['lines']:,}",
            *(f"{row['cpu_ms'][way]:,}" if way in row["cpu_ms"] else "" for way in ways),
            row["cpu_to_grep_p"],
            row["wall_to_grep_p"],
            row["secret_to_grep_p"],
            row["secret_first_to_grep_p"],
            f"{row['cpu_ms']['found']:,}",
            row["found_to_grep_b"],
            row["cpu_ms"]["first 100 found"],
        ]
        for name, row in search["rows"].items()
    )
    return [
        *rows((f"{found['memory']['bytes'] / 1e9:.2f} GB", "peak above the import, MB", "seconds"), memory),
        "",
        *rows(head, body),
        "",
        *(f"- missed: {sentence}" for sentence in found["missed"]),
    ]


def chunk_sizes(found: Found) -> list[str]:
    """How near the proposed size comes to the best, then other ways and all sizes for some readers."""
    head = ("reader", "best", "proposed to it", "by reading alone: best", "proposed to it")
    lines: list[str] = []
    for setting, tasks in found["settings"].items():
        for task, part in tasks.items():
            body = (
                [name, row["best"], row["to_best"], row["best_of_reading"], row["to_best_of_reading"]]
                for name, row in part["readers"].items()
            )
            first = f"{setting}, {task}; proposed {part['proposed_characters']:,}: reader"
            lines += [*rows((first, *head[1:]), body), ""]
    ways = ("proposed", "retrieval only", "direct, reader", "direct, root")
    for setting, tasks in found["settings"].items():
        for task, part in tasks.items():
            lines += [*_sizes(f"{setting}, {task}: way", part, ways), ""]
    setting = list(found["settings"])[1]
    part = found["settings"][setting]["counting"]
    sizes = [way for way in part["usd"] if way[0].isdigit()]
    lines += [*_sizes(f"{setting}, counting: characters", part, sizes), ""]
    within = f"Within 10 % of the best: {found['within']} of {found['of']}."
    lines += [within, "", *(f"- missed: {sentence}" for sentence in found["missed"]), ""]
    family_head = ("readers drawn at random", "cases", "within 10 %", "median", "worst tenth", "worst")
    columns = ("cases", "within", "median", "worst_tenth", "worst")
    drawn = ([name, *(round(row[key], 3) for key in columns)] for name, row in found["families"].items())
    return [*lines, *rows(family_head, drawn)]


def _sizes(first: str, part: Found, ways: Iterable[str]) -> list[str]:
    """What some *ways* cost, and their quality and quality per dollar, for three readers."""
    readers = {
        "falling off in 40,000": "falling off by e in 40,000 tokens",
        "linear 1 %": "linear, 1 % for each 1,000",
        "3 % at any size": "3 % at any size",
    }
    names = [f"{kind}: {name}" for name in readers for kind in ("quality", "per $")]
    kinds = ("quality", "per_dollar")
    body = (
        [
            way,
            part["calls"][way],
            f"{part['usd'][way]:.4f}",
            *(part["readers"][one][kind][way] for one in readers.values() for kind in kinds),
        ]
        for way in ways
    )
    return rows((first, "calls", "$", *names), body)


def gathering(found: Found) -> list[str]:
    """How much of what had to change is shown, by set of tasks, now and before."""
    head = (
        "tasks",
        "packages",
        "files to change",
        "found",
        "before",
        "shown whole",
        "named",
        "tokens",
        "seconds",
    )
    sets, before = found["sets"], found["before"]["sets"]
    body = [
        [
            f"{name}: {row['tasks']}",
            row["packages"],
            row["files"],
            f"{row['found']:.0%}",
            f"{before[name]['found']:.0%}",
            f"{row['whole']:.0%}",
            f"{row['named']:.0%}",
            f"{row['tokens']:,}",
            f"{row['seconds']:.2f}",
        ]
        for name, row in sets.items()
    ]
    many = (
        f"10,000 files: {found['many_files_seconds']} s, before: {found['before']['many_files_seconds']} s."
    )
    return [*rows(head, body), "", many]


def siblings(found: Found) -> list[str]:
    """What a shared prefix costs, by the ways of asking."""
    head = ("siblings", "way", "input, $", "to the least", "held, s", "seconds")
    batches = ((name, ways) for name, ways in found.items() if isinstance(ways, dict))
    body = (
        [
            name,
            f"{way} {row.get('version', '')}".strip(),
            f"{float(row['input_usd']):.6f}",
            row["to_least"],
            row.get("held_seconds", ""),
            row["seconds"],
        ]
        for name, ways in batches
        for way, row in ways.items()
    )
    return rows(head, body)


def workers(found: Found) -> list[str]:
    """A batch beside the bare SDKs, then batches of growing size."""
    head = ("200 workers", "wall, ms", "CPU, ms", "memory, MB")
    beside = ([name, *_spent(part)] for name, part in found["beside"].items() if "memory_kb" in part)
    sizes = ([f"{int(name):,}", *_spent(part)] for name, part in found["growth"].items() if name.isdigit())
    return [*rows(head, beside), "", *rows(("workers of a batch", *head[1:]), sizes)]


def _spent(part: Found) -> list[str]:
    return [f"{part['wall_ms']:,.0f}", f"{part['cpu_ms']:,.0f}", f"{part['memory_kb'] / 1024:,.1f}"]


def resume(found: Found) -> list[str]:
    """How often a run was killed, and what was asked again."""
    head = (f"runs of {found['turns']} turns, {found['calls_of_an_unbroken_run']} calls", "killed")
    body = [[how, f"{count:,}"] for how, count in found["killed_runs"].items()]
    body.append(["calls asked again, of all", f"{found['calls_asked_again']:,}"])
    body.append(["calls asked again, most in one run", f"{found['most_asked_again_in_one_run']:,}"])
    return rows(head, [*body, ["runs that ended otherwise", f"{len(found['wrong']):,}"]])


def power(found: Found) -> list[str]:
    """Runs whose file system lost power, by their sort."""
    head = (
        "runs",
        "calls",
        "losses of power",
        "with missing calls",
        "missing, most",
        "asked again, most",
        "wrong",
    )
    body = (
        [
            row["sort"],
            row["calls"],
            row["losses"],
            row["with_missing_calls"],
            row["most_missing"],
            row["most_asked_again"],
            len(row["wrong"]),
        ]
        for row in found["sorts"]
    )
    return rows(head, body)


def kills(found: Found) -> list[str]:
    """Each sort of runs, how often it was killed, and what came of it."""
    head = ("runs", "calls of an unbroken run", "killed runs", "kills", "ended otherwise")
    body = (
        [row["sort"], row["calls_of_an_unbroken_run"], row["killed_runs"], row["kills"], len(row["wrong"])]
        for row in found["rows"]
    )
    return rows(head, ([name, *(f"{count:,}" for count in counts)] for name, *counts in body))


def _reading(kills: Found | None) -> Iterator[tuple[str, int]]:
    if kills is not None:
        yield f"killed runs with {kills['workers']} workers, reports a few at a time", kills["killed_runs"]
        yield "kills of them", kills["kills"]


def driving(found: Found) -> list[str]:
    """What an orchestrator reads and writes, before and now."""
    head = ("reports are taken", "figure", "before", "now", "share")
    names = {
        "tokens_read": "tokens read",
        "tokens_written": "tokens written",
        "turns": "turns",
        "usd": "cost",
        "worker_usd": "cost of the workers",
    }

    def shown(name: str, value: Any) -> str:
        return f"${float(value):.3f}" if name.endswith("usd") else f"{value:,}"

    body = [
        [
            rhythm,
            words,
            *(shown(name, found[when][rhythm][name]) for when in ("before", "now")),
            found["shares"][rhythm][name],
        ]
        for rhythm in found["shares"]
        for name, words in names.items()
    ]
    return rows(head, body)


def orchestrated(found: Found) -> list[str]:
    """The same for orchestrated runs, then random schedules."""
    kills, schedules = found["kills"], found["schedules"]
    body = (
        ("killed runs", kills["killed_runs"]),
        ("kills", kills["kills"]),
        ("calls asked again, of all", kills["calls_asked_again"]),
        *_reading(found.get("reading")),
        ("random schedules", schedules["schedules"]),
        ("workers in them", schedules["workers"]),
    )
    head = (f"{kills['workers']} workers, {kills['calls_of_a_run']} calls", "count")
    return rows(head, ([name, f"{count:,}"] for name, count in body))


def orchestrated_cost(found: Found) -> list[str]:
    """Each simulated run with its estimate, its bill, and the same beside the smart model alone."""
    head = ("task", "workers", "low", "expected", "high", "billed", "billed to expected", "to smart alone")
    body = (
        [
            row["task"],
            row["workers"],
            *(f"${float(row[key]):.4f}" for key in ("low_usd", "expected_usd", "high_usd", "billed_usd")),
            f"{row['to_expected']:.2f}",
            f"{row['to_smart_alone']:.2f}",
        ]
        for row in found["rows"]
    )
    within = f"Within the range: {found['within']} of {len(found['rows'])}. Billed to expected: "
    spread = f"{found['least']:.2f} to {found['most']:.2f}, median {found['median']:.2f}."
    return [*rows(head, body), "", within + spread]


def ladder_worlds(found: Found) -> list[str]:
    """Each family of worlds, then solves by the sensitivity of the check, then other policies."""
    head = ("bill, mean", "most", "seeds above 1.05", "solves, 5th percentile", "median", "to always up")
    keys = ("bill_mean", "bill_most", "seeds_above_strong", "solves_p05", "solves_median", "bill_to_up")
    body = ([name, *(f"{row[key]:.3f}" for key in keys)] for name, row in found["rows"].items())
    hopeless = (
        [name, f"{row['saved']:.1%}", f"{row['saved_up_to_20_tasks']:.1%}", f"{row['lost']:.2%}"]
        for name, row in found["rows"].items()
        if "saved" in row
    )
    sensitivities = (
        [name, *(f"{row[key]:.3f}" for key in ("bill_mean", "solves_p05", "solves_median"))]
        for name, row in found["by_sensitivity"].items()
    )
    others = (
        [f"{policy}; {family}", *(f"{row[key]:.3f}" for key in keys)]
        for policy, families in found["policies"].items()
        for family, row in families.items()
    )
    saved = ("saved", "up to 20 tasks", "solves lost")
    by_check = ("bill, mean", "solves, 5th percentile", "median")
    return [
        *rows((f"worlds, {found['seeds']} seeds", *head), body),
        "",
        *rows(("in hopeless kinds", *saved), hopeless),
        "",
        *rows(("any check, by sensitivity", *by_check), sensitivities),
        "",
        *rows((f"policy; worlds, {found['compared_seeds']} seeds", *head), others),
        "",
        *(f"- missed: {sentence}" for sentence in found["missed"]),
    ]


def decisions(found: Found) -> list[str]:
    """Regret of each way to decide in each sort of world, then how long a decision takes."""
    policies = ("outcomes", "classifier", "words", "coin")
    head = (
        f"worlds, {found['seeds']} of each",
        *policies,
        "outcomes, before",
        "outcomes, worst",
        "words, worst",
    )
    body = [
        [
            name,
            *(f"{row[policy]['after']:.1%}" for policy in policies),
            f"{row['outcomes']['before']:.1%}",
            f"{row['outcomes']['worst']:.1%}",
            f"{row['words']['worst']:.1%}",
        ]
        for name, row in found["rows"].items()
    ]
    overall = found["overall"]
    whole = (f"{overall[policy]['after']:.1%}" for policy in policies)
    body.append(["first six together", *whole, f"{overall['outcomes']['before']:.1%}", "", ""])
    missed = (f"- missed: {sentence}" for sentence in found["missed"])
    took = found.get("took_ms")
    said = "The time of a decision was not measured in this run."
    if took:
        times = f"{took['million'] / took['none']:.1f}"
        said = f"A decision with 1,000,000 outcomes in the file took {times} times one without any outcome"
        said += ", and less than the 10 ms that it may take." if took["million"] < 10 else "."
    return [*rows(head, body), "", said, "", *missed]


def ladder_twins(found: Found) -> list[str]:
    """Two worlds that look the same, and three models beside each other."""
    twin = ("twins", "cheap passed", "smart passed then", "bill", "solves")
    beside = ("beside each other", "bill to the dearest", "solves to the best")
    return [
        *rows(twin, ([name, *row.values()] for name, row in found["twins"].items())),
        "",
        *rows(beside, ([name, *row.values()] for name, row in found["beside"].items())),
    ]


def lens_gate(found: Found) -> list[str]:
    """The curve by base rate, other worlds, other rules, and whole batches."""
    sizes = list(found["curve"][0]["gained"])
    head = ("withheld", "extra runs, mean", *(f"points gained, {size} items" for size in sizes))

    def cells(row: Found) -> list[object]:
        gained = (f"{row['gained'][size]:+.1f}" for size in sizes)
        return [f"{row['effect']:+d}", f"{row['withheld']:.1%}", f"{row['extra']:.1f}", *gained]

    curve = ([row["rate"], *cells(row)] for row in found["curve"])
    others = ([name, *cells(row)] for name, part in found["others"].items() for row in part)
    rules = ([name, *cells(row)[:3]] for name, part in found["rules"].items() for row in part)
    http = (
        [
            f"{row['effect']:+d}",
            row["batches"],
            row["same"],
            f"{row['withheld']:.0%}",
            row["extra"],
            f"{row['extra_share']:.1%}",
        ]
        for row in found["http"]
    )
    whole = ("batches over HTTP", "as the rule finds", "withheld", "extra runs, mean", "share of the bill")
    return [
        *rows(
            (f"pass rate without the lens, {found['trials']:,} batches each", "effect, points", *head), curve
        ),
        "",
        *rows(("pass rate 0.5", "effect, points", *head), others),
        "",
        *rows(("rule, at a pass rate of 0.5", "effect, points", *head[:2]), rules),
        "",
        *rows(("effect, points", *whole), http),
        "",
        *(f"- missed: {sentence}" for sentence in found["missed"]),
    ]


def long_context(found: Found) -> list[str]:
    """A question without a cap, with caps, and killed, on both sides."""
    sizes = found["sizes"]
    head = ("parts: way", "billed", "root reads, tokens", "second question from memory", "s", "to the least")
    whole = (
        [
            f"{parts}: {name}",
            f"${float(size['unbroken'][side]['billed_usd']):.4f}",
            f"{size['unbroken'][side]['root_input_tokens']:,}",
            f"{size['unbroken'][side]['remembered']:.0%}",
            size["seconds"][side],
            size["seconds"][f"{side}_to_least"],
        ]
        for parts, size in sizes.items()
        for side, name in (("ours", "sunwell"), ("theirs", "rlms"))
        if side in size["unbroken"]
    )
    capped = (_capped_row(row) for size in sizes.values() for row in size["caps"])
    caps_head = (
        "parts, cap: way",
        "billed to cap",
        "answers kept",
        "of all money",
        "of that for parts",
        "ended",
    )
    kills = [_kills_row("sunwell", size["kills"]) for size in sizes.values()]
    theirs = [
        ["rlms", row["parts"], f"at {row['answered']}", "all", row["answered_asked_again"], ""]
        for size in sizes.values()
        for row in size.get("kills_of_rlms", ())
    ]
    return [*rows(head, whole), "", *rows(caps_head, capped), "", *rows(_KILLS, [*kills, *theirs])]


_KILLS = (
    "killed",
    "parts",
    "kills",
    "in flight, most",
    "recorded answers paid again",
    "in flight, paid again",
)


def _kills_row(name: str, kills: Found) -> list[object]:
    twice = f"{kills['asked_twice']:,} of {kills['in_flight']:,}"
    return [name, kills["parts"], f"{kills['kills']:,}", kills["in_flight_most"], kills["paid_again"], twice]


def _capped_row(row: Found) -> list[object]:
    cap = f"${float(row['cap']):.4f}" if row["kind"] == "usd" else f"{int(row['cap']):,} tokens"
    share = row["usable_of_parts"]
    return [
        f"{row['parts']}, {cap}: {row['name']}",
        f"{row['billed_to_cap']:.3f}",
        row["answers"],
        f"{row['usable_of_all']:.0%}",
        "-" if share is None else f"{share:.0%}",
        row["status"],
    ]


def long_context_kills(found: Found) -> list[str]:
    """The longest run, killed at each answer."""
    return rows(_KILLS, [_kills_row("sunwell", found)])


def line_by_line(found: Found) -> list[str]:
    """Each figure with its path."""
    return rows(("figure", "value"), flat(found))


def flat(value: object, path: str = "") -> Iterator[tuple[str, object]]:
    """Yield the leaves of nested results; lists are counted where they hold more than figures."""
    if isinstance(value, dict):
        for key, item in value.items():
            if path or key not in _CONTEXT:
                yield from flat(item, f"{path}, {key}" if path else str(key).replace("_", " "))
    elif isinstance(value, list) and any(isinstance(item, dict | list) for item in value):
        yield path, f"{len(value):,} entries"
    elif isinstance(value, int | float) and not isinstance(value, bool):
        yield path.replace("_", " "), f"{value:,}"
    else:
        yield path.replace("_", " "), "none" if value == [] else value


def ends(found: Found) -> list[str]:
    """Seconds until a command has ended, by what it was doing."""
    head = ("what it was doing", "after a signal, s", "slowest", "after the time limit, s")
    return rows(head, (_ends_row(name, row) for name, row in found["rows"].items()))


def _ends_row(name: str, row: Found) -> list[object]:
    limit = row["limit_seconds"]
    figures = (f"{row['signal_seconds']:.2f}", f"{row['signal_most_seconds']:.2f}")
    return [name, *figures, "-" if limit is None else f"{max(limit, 0):.2f}"]


def lens_store(found: Found) -> list[str]:
    """What becomes of questions that are asked again, by the modules that are edited before each."""
    head = (
        "edits before each task", "taken", "changed", "written", "taken if its modules are the same",
        "out of date", "lens, share of bill", "without the store", "bill to that without", "dearer tasks",
    )  # fmt: skip
    body = (
        [
            rate,
            f"{row['taken']} of {row['repeats']}",
            row["changed"],
            row["written"],
            f"{row['found_of_these']} of {row['same_modules']}",
            row["stale"],
            f"{row['lens_share_after_ten']:.0%}",
            f"{row['lens_share_after_ten_without']:.0%}",
            f"{row['bill_share']:.0%}",
            row["dearer_tasks"],
        ]
        for rate, row in found["edits"].items()
    )
    return rows(head, body)


TABLES: dict[str, Callable[[Found], list[str]]] = {
    table.__name__: table
    for table in (
        client_cpu,
        short_runs,
        workers,
        siblings,
        delegation,
        journal,
        ledger,
        utilisation,
        vendor_limits,
        real_work,
        real_packages,
        caps,
        interleavings,
        resume,
        kills,
        power,
        orchestrated,
        orchestrated_cost,
        import_time,
        mcp_start,
        report_page,
        sandbox_start,
        telemetry,
        tokenizer,
        file_search,
        context_search,
        chunk_sizes,
        gathering,
        ladder_worlds,
        decisions,
        ladder_twins,
        lens_gate,
        ends,
        lens_store,
        driving,
        long_context,
        long_context_kills,
    )
}


def text(name: str) -> str:
    """Return what stands between the marks of the result *name*."""
    found = json.loads((RESULTS / f"{name}.json").read_text())
    changed = ", with changes that were not committed" if found.get("dirty") else ""
    on = f"Python {found['python']}, commit {str(found['commit'])[:7]}{changed}"
    table = TABLES.get(name) or TABLES.get(name.partition("_")[0]) or line_by_line
    return "\n".join([*table(found), "", f"`results/{name}.json`: {on}."])


def filled(page: str) -> str:
    """Return *page* with the figures of today between its marks."""

    def fill(match: "re.Match[str]") -> str:
        name = match[1]
        if not (RESULTS / f"{name}.json").is_file():
            return match[0]
        return f"<!-- results: {name} -->\n{text(name)}\n<!-- end -->"

    return re.sub(r"<!-- results: (\w+) -->\n.*?<!-- end -->", fill, page, flags=re.DOTALL)


def write() -> None:
    """Bring the tables of the readme up to date."""
    README.write_text(filled(README.read_text()))


if __name__ == "__main__":
    write()
