// The views that are read from top to bottom.

function documentView(make) {
  const element = h("div", {class: "document"});
  return {element, update: () => element.replaceChildren(...make().flat(Infinity).filter((one) => one instanceof Node))};
}

// Why a view is empty.
function nothing(sentence) {
  return h("p", {}, isOn(filterNow) ? "The filter selects nothing here." : sentence);
}

const SUMMARY_FAILURES = 100;

// What failed: for each span what went wrong in it, the first cause first; what was got over comes after.
function failures() {
  return once("failures", () => {
    const own = new Map();
    const note = (span, kind, key, entry, at) => {
      if (!own.has(span)) own.set(span, []);
      own.get(span).push({kind, key, entry, at: at ?? Infinity});
    };
    for (const [key, call] of failedOf("calls")) {
      if (call.status === "failed" || call.status === "refused") note(call.span, "call", key, call, call.started_at === null ? endOf(call.span) : call.started_at + (call.seconds || 0));
    }
    for (const [key, tool] of failedOf("tools")) if (tool.status === "failed") note(tool.span, "tool", key, tool, tool.started_at === null ? endOf(tool.span) : tool.started_at + (tool.seconds || 0));
    for (const [key, check] of failedOf("checks")) if (check.passed === false) note(check.span, "check", key, check, check.started_at + check.seconds);
    const found = [];
    for (const [path, span] of run.spans) {
      const events = (own.get(path) || []).sort((a, b) => a.at - b.at);
      if (events.length || hasFailed(span)) found.push({path, span, events, at: events.length ? decisive(events).at : endOf(path), lasting: lasting(path)});
    }
    const follows = consequences(found);
    return found.sort((a, b) => b.lasting - a.lasting || follows.has(a) - follows.has(b) || a.at - b.at || 0);
  });
}

function endOf(path) {
  const span = run.spans.get(path);
  return span && span.started_at !== null ? span.started_at + (span.seconds || 0) : Infinity;
}

// Those in which nothing failed but what is below them.
function consequences(found) {
  const above = new Set();
  for (const {path} of found) {
    for (let at = run.spans.get(path).parent; run.spans.has(at) && !above.has(at); at = run.spans.get(at).parent) above.add(at);
  }
  return new Set(found.filter(({path, events}) => !events.length && above.has(path)));
}

function hasFailed(span) {
  return FAILED.has(span.status) || span.verified === false;
}

// A part has no state of its own: what failed in it lasted if the work above it failed.
function lasting(path) {
  const seen = new Set();
  for (let at = path; run.spans.has(at) && !seen.has(at); at = run.spans.get(at).parent) {
    seen.add(at);
    const span = run.spans.get(at);
    if (span.status || span.verified !== null) return hasFailed(span);
  }
  return false;
}

// What ended it: the last call or check that failed. A tool that fails is told to the model, which may go on.
function decisive(events) {
  return events.findLast((event) => event.kind !== "tool") || events[0];
}

function causeText({span, events}) {
  if (span.error) return lineOf(span.error, 300);
  return events.length ? eventText(decisive(events)) : cutLine(span.verdict || span.stop_reason || "it did not end well", 300);
}

function eventText({kind, entry}) {
  if (kind === "tool") return `${cutLine(entry.name, 64)}: ${lineOf(entry.result, 240) || "it failed"}`;
  if (kind === "check") return `${cutLine(entry.missed.join(", ") || entry.by.join(", "), 100)}: ${lineOf(entry.evidence, 240) || "it did not pass"}`;
  if (entry.refusal) return lineOf(entry.refusal, 300);
  const last = entry.attempts[entry.attempts.length - 1];
  return last ? `${cutLine(last.error || "failed", 60)}: ${lineOf(last.detail, 240)}` : "the call failed";
}

function failureEntry(failure) {
  const {path, span, events} = failure;
  const cause = causeText(failure);
  const first = events.length ? eventText(events[0]) : cause;
  const tries = events.reduce((sum, event) => sum + (event.kind === "call" ? Math.max(1, event.entry.attempts.length) : 1), 0);
  const stateOf = span.status || (span.verified === false ? "failed" : "");
  return h(
    "li", {class: failure.lasting ? "failure" : "failure over"},
    h("a", {href: addressOf("tree", path), class: "card"},
      h("span", {class: "row"}, h("strong", {}, h("bdi", {}, longName(path))), " ", state(stateOf), " ", usd(`spans[${path}].usd`, span.usd), " ", h("span", {class: "faint"}, tries ? `${plural(tries, "thing")} went wrong ` : "", began(failure))),
      h("span", {class: "cause"}, cause), first === cause ? null : h("span", {class: "cause faint"}, `first: ${first}`)),
  );
}

function began({path, span, events}) {
  if (!events.length) return since(`spans[${path}].started_at`, span.started_at);
  const {kind, key, entry} = events[0];
  return entry.started_at === null ? null : since(`${kind}s[${key}].started_at`, entry.started_at);
}

function failurePart() {
  const all = failures().filter(({path, span, events}) => !isOn(filterNow) || matches(filterNow, "span", path, span) || events.some((event) => matches(filterNow, event.kind, event.key, event.entry)));
  const isOver = run.head.status !== "open";
  const last = all.filter((failure) => failure.lasting);
  const over = all.filter((failure) => !failure.lasting);
  const listing = (entries) => [
    h("ol", {class: "failures"}, entries.slice(0, SUMMARY_FAILURES).map(failureEntry)),
    entries.length > SUMMARY_FAILURES ? h("p", {class: "faint"}, `${counted(entries.length - SUMMARY_FAILURES)} more: filter the tree with status:failed.`) : null,
  ];
  const overs = over.length ? h("details", {open: last.length === 0}, h("summary", {}, `${plural(over.length, "place")} where something failed and the work went on`), listing(over)) : null;
  if (!all.length) return [h("h2", {}, "What failed"), h("p", {}, isOn(filterNow) ? "Nothing that the filter selects." : isOver ? "✓ Nothing failed." : "Nothing has failed so far: the run has not ended.")];
  return [h("h2", {}, "What failed, the first cause first"), last.length ? listing(last) : h("p", {}, isOver ? "✓ Nothing failed in the end." : "Nothing that failed has ended the work."), overs];
}

function costPart() {
  const {cost} = run;
  const {alone, estimate} = cost;
  const saved = alone && alone.saved_usd !== null ? [decimalOf(alone.saved_usd).units < 0n ? "; delegating cost more by " : "; saved ", usd("cost.alone.saved_usd", alone.saved_usd.replace(/^-/, "")), alone.saved_share === null ? "" : [" (", share("cost.alone.saved_share", alone.saved_share), ")"]] : "";
  const lines = [
    ["Cost", [h("strong", {}, usd("cost.usd", cost.usd)), cost.cap_usd === null ? ", no cap" : [" of at most ", usd("cost.cap_usd", cost.cap_usd)], capBar(cost)]],
    ["Unconfirmed", uncertain("cost.unconfirmed_usd", cost.unconfirmed_usd)],
    ["Smart model alone", alone && [usd("cost.alone.usd", alone.usd), " for ", cutLine(alone.model, 60), saved, h("span", {class: "faint"}, ` ${cutLine(alone.basis, 240)}`)]],
    ["Estimated before", estimate && [usd("cost.estimate.expected_usd", estimate.expected_usd), ", between ", usd("cost.estimate.low_usd", estimate.low_usd), " and ", usd("cost.estimate.high_usd", estimate.high_usd), estimate.way ? ` (${cutLine(estimate.way, 80)})` : ""]],
    ["Calls", [number("cost.calls", cost.calls), " answered, ", number("cost.attempts", cost.attempts), " attempts, ", number("cost.retried", cost.retried), " retried, ", number("cost.failed", cost.failed), " failed, ", number("cost.refused", cost.refused), " refused"]],
    ["Paid twice", [number("cost.paid_twice", cost.paid_twice), cost.paid_twice ? " answered calls were asked again" : " ✓ no answered call was asked again"]],
    ["Lost", [usd("cost.lost_usd", cost.lost_usd), " for attempts that failed"]],
    ["Tokens", tokensLine("cost.tokens", cost.tokens)],
    ["Time", [duration("head.seconds", run.head.seconds), ", began ", moment("head.started_at", run.head.started_at)]],
    ["Models", run.head.models.map(([role, model], at) => [at ? ", " : "", `${cutLine(role, 40)}: ${cutLine(model, 80)}`])],
    ["Delegation", cutLine(run.head.delegation, 300)],
    ["Lens", cutLine(run.head.lens_test, 300)],
    ["Prices of", cutLine(cost.price_date, 40)],
  ];
  return [h("h2", {}, "What it cost"), listed(lines)];
}

function capBar(cost) {
  if (cost.cap_usd === null || !lengthOf(cost.cap_usd)) return null;
  const whole = lengthOf(cost.cap_usd);
  const bar = h("span", {class: "bar", "aria-hidden": "true"});
  for (const [name, kind] of [["usd", "settled"], ["unconfirmed_usd", "unconfirmed"], ["reserved_usd", "reserved"]]) {
    const piece = h("span", {class: `piece ${kind}`});
    piece.style.width = `${Math.min(100, (lengthOf(cost[name]) / whole) * 100)}%`;
    bar.append(piece);
  }
  return bar;
}

function summary() {
  const {head} = run;
  const more = [
    ["Run", h("code", {}, cutLine(head.run_id, 100))], ["Continues", head.continues && cutLine(head.continues, 100)], ["Forked from", head.forked_from && cutLine(head.forked_from, 100)],
    ["Workspace", cutLine(head.workspace, 200)], ["Sunwell", head.version ? cutLine(head.version, 60) : "version not recorded"],
  ];
  const said = [
    textBlock(head.error, "Error"),
    textBlock(head.task, "Task"),
    textBlock(head.answer, head.answer_by === "harness" ? "Answer, put together by Sunwell" : "Answer"),
  ];
  const isCalm = !failures().length; // then there is room beside the cost
  return [
    h("div", {class: "columns"}, h("div", {}, failurePart(), isCalm ? said : null), h("div", {}, costPart())),
    isCalm ? null : said,
    head.notices.map((id, at) => textBlock(id, `Notice ${at + 1}`)),
    h("h2", {}, "About the run"), listed(more),
  ];
}

const BILL_PARTS = [
  ["input_usd", "input", "input"], ["cache_write_usd", "cache written", "write"], ["cache_read_usd", "cache read", "read"],
  ["output_usd", "output", "output"], ["other_usd", "other", "other"],
];

function billTable(label, path, rows) {
  if (!rows.length) return null;
  const heads = [label, ">Calls", ">Cost", "Made of", ">Input $", ">Cache written $", ">Cache read $", ">Output $", ">of it thinking $", ">Other $", ">Unconfirmed $", ">Tokens in", ">written", ">read", ">out"];
  const cells = rows.map((row, at) => {
    const own = Array.isArray(run.bill[path]) ? `bill.${path}[${at}]` : `bill.${path}`;
    const amount = (name) => usd(`${own}.${name}`, row[name]);
    const count = (name) => number(`${own}.tokens.${name}`, row.tokens[name]);
    return [
      cutLine(row.name || "all", 80), number(`${own}.calls`, row.calls), h("strong", {}, amount("usd")), partsBar(row), amount("input_usd"), amount("cache_write_usd"), amount("cache_read_usd"),
      amount("output_usd"), amount("reasoning_usd"), amount("other_usd"), amount("unconfirmed_usd"), count("input"), count("cache_write"), count("cache_read"), count("output"),
    ];
  });
  return table(`Cost ${label.toLowerCase()}`, heads, cells);
}

function partsBar(row) {
  const whole = BILL_PARTS.reduce((sum, [name]) => sum + lengthOf(row[name]), 0);
  const words = BILL_PARTS.filter(([name]) => lengthOf(row[name])).map(([name, word]) => `${word} ${dollars(row[name])}`).join(", ");
  const bar = h("span", {class: "bar", role: "img", "aria-label": words || "not known", title: words});
  for (const [name, , kind] of BILL_PARTS) {
    const piece = h("span", {class: `piece ${kind}`});
    piece.style.width = `${whole ? (lengthOf(row[name]) / whole) * 100 : 0}%`;
    bar.append(piece);
  }
  return bar;
}

function costs() {
  const {bill, cost} = run;
  const keys = BILL_PARTS.map(([, word, kind]) => h("span", {class: "entry"}, h("span", {class: `swatch piece ${kind}`, "aria-hidden": "true"}), ` ${word}`));
  return [
    h("h2", {}, "What it cost"),
    listed([
      ["Settled", usd("cost.usd", cost.usd)], ["Unconfirmed", uncertain("cost.unconfirmed_usd", cost.unconfirmed_usd)],
      ["Lost", [usd("cost.lost_usd", cost.lost_usd), " of it paid for attempts that failed"]],
    ]),
    isOn(filterNow) ? selectionTable() : null,
    h("p", {class: "legend"}, keys),
    billTable("By model", "by_model", bill.by_model), billTable("By purpose", "by_purpose", bill.by_purpose), billTable("By rung", "by_rung", bill.by_rung),
    billTable("By depth", "by_depth", bill.by_depth), billTable("In all", "whole", [bill.whole]),
  ];
}

// The only amounts that the page adds up: those of the calls that the filter selects.
function selectionTable() {
  const groups = new Map();
  for (const [, call] of selectedCalls()) {
    const name = `${call.model} ${call.purpose}`;
    if (!groups.has(name)) groups.set(name, {model: call.model, purpose: call.purpose, calls: []});
    groups.get(name).calls.push(call);
  }
  const rows = [...groups.values()].map((group) => {
    const sum = addedUp(group.calls.map((call) => call.usd));
    return [cutLine(group.model, 60), cutLine(group.purpose, 30), counted(group.calls.length), selectedUsd(sum)];
  });
  return table("The calls that the filter selects", ["Model", "Purpose", ">Calls", ">Cost"], rows);
}

function selectedUsd(sum) {
  return [h("span", {class: "figure", "data-exact": sum.text}, dollars(sum.text)), sum.unknown ? ` and ${plural(sum.unknown, "unknown amount")}` : ""];
}

// The input of all calls by how it was paid; whether or not several workers share a prefix.
function cachedInput() {
  const heads = ["Model", ">Tokens in", ">written", ">read", ">Not cached $", ">Written $", ">Read $"];
  const rows = run.bill.by_model.map((row, at) => {
    const own = `bill.by_model[${at}]`;
    const counts = ["input", "cache_write", "cache_read"].map((name) => number(`${own}.tokens.${name}`, row.tokens[name]));
    const amounts = ["input_usd", "cache_write_usd", "cache_read_usd"].map((name) => usd(`${own}.${name}`, row[name]));
    return [cutLine(row.name, 80), ...counts, ...amounts];
  });
  return rows.length ? [h("h2", {}, "The input of all calls"), table("Input by model", heads, rows)] : null;
}

function cache() {
  return [cachedInput(), sharedPrefixes()];
}

function sharedPrefixes() {
  const entries = [...run.prefixes].filter(([key, entry]) => matches(filterNow, "prefix", key, entry));
  if (!entries.length) return [h("h2", {}, "Shared prefixes"), nothing("The provider's counts show no part of a prompt that several workers share.")];
  const rows = entries.map(([key, entry]) => {
    const path = `prefixes[${key}]`;
    const counts = ["readers", "tokens", "written", "read"].map((name) => number(`${path}.${name}`, entry[name]));
    return [cutLine(entry.name, 100), cutLine(entry.model, 60), ...counts, usd(`${path}.usd`, entry.usd), usd(`${path}.least_usd`, entry.least_usd), leastWord(entry), cutLine(entry.plan, 300)];
  });
  return [
    h("h2", {}, "Shared prefixes"),
    h("p", {class: "faint"}, "A prefix that many workers share should be written to the provider's cache once and read by all others."),
    table("Written once, read often", ["What", "Model", ">Workers", ">Tokens", ">Calls that wrote it", ">Calls that read it", ">Cost", ">Least possible", "Reached", "How they were started"], rows),
  ];
}

function leastWord(entry) {
  if (entry.usd === null || entry.least_usd === null) return "not known";
  return compared(entry.usd, entry.least_usd) <= 0 ? state("ok") : h("span", {class: "state warn"}, "! above the least");
}

function lenses() {
  const entries = [...run.lenses].filter(([key, entry]) => matches(filterNow, "lens", key, entry));
  if (!entries.length) return [h("h2", {}, "Lens"), nothing("No lens was written.")];
  return [
    h("h2", {}, entries.length > 1 ? "Lenses" : "Lens"),
    entries.map(([key, lens]) => h(
      "section", {class: "card"},
      h("h3", {}, "Of ", spanLink(lens.span), " by ", cutLine(lens.generated_by, 80)),
      listed([
        ["Scope", cutLine(lens.task_scope, 400)], ["Origin", lens.origin ? cutLine(lens.origin, 600) : null], ["Cost", usd(`lenses[${key}].usd`, lens.usd)], ["Files", cutLine(lens.target_files.join(", "), 600)],
        ["Read by", lens.readers.length ? [`${plural(lens.readers.length, "span")}: `, lens.readers.slice(0, 40).map((one, at) => [at ? ", " : "", spanLink(one)]), lens.readers.length > 40 ? " …" : ""] : "nobody"],
      ]),
      lens.parts.map(([name, items]) => (items.length ? [h("h4", {}, cutLine(name, 80)), h("ul", {class: "lines"}, items.map((id) => h("li", {}, wholeLine(id))))] : null)),
      lens.left_out.length ? [h("h4", {}, "Left out, because there was no room"), h("ul", {class: "lines"}, lens.left_out.map((id) => h("li", {}, wholeLine(id))))] : null,
    )),
  ];
}

function wholeLine(id) {
  const text = textOf(id);
  return text === null ? "" : [text.head, text.left_out || text.tail ? [h("span", {class: "gap"}, ` … ${plural(text.left_out, "character")} left out … `), text.tail] : ""];
}

function checks() {
  const found = new Map();
  const place = (span) => found.get(span) || found.set(span, []).get(span);
  for (const [key, rung] of run.rungs) if (matches(filterNow, "rung", key, rung)) place(rung.span).push({at: rung.at, element: rungEntry(key, rung)});
  for (const [key, check] of run.checks) if (matches(filterNow, "check", key, check)) place(check.span).push({at: check.started_at, element: checkEntry(key, check)});
  if (!found.size) return [h("h2", {}, "Checks and rungs"), nothing("Nothing was checked.")];
  const {key: wanted} = readAddress();
  const entries = [...found].sort(([a], [b]) => (b === wanted) - (a === wanted) || 0);
  return [
    h("h2", {}, "Checks and rungs"),
    entries.slice(0, 300).map(([span, events]) => h("section", {class: "card"}, h("h3", {}, spanLink(span)), h("ol", {class: "steps"}, events.sort((a, b) => a.at - b.at || 0).map((event) => event.element)))),
    entries.length > 300 ? h("p", {class: "faint"}, `${counted(entries.length - 300)} more: use the filter.`) : null,
  ];
}

function rungEntry(key, rung) {
  const path = `rungs[${key}]`;
  const expected = rung.expected_usd === null ? "" : [", expected ", usd(`${path}.expected_usd`, rung.expected_usd)];
  const title = rung.rung ? ["Rung ", h("strong", {}, cutLine(rung.rung, 40)), " with ", cutLine(rung.model, 60)] : "It climbed no further";
  return h("li", {}, h("div", {}, title, ", ", usd(`${path}.usd`, rung.usd), expected, ", ", since(`${path}.at`, rung.at)), h("div", {class: "faint"}, wholeLine(rung.reason)));
}

function checkEntry(key, check) {
  const path = `checks[${key}]`;
  const missed = check.missed.length ? [h("div", {}, "Did not pass: ", cutLine(check.missed.join(", "), 300))] : null;
  return h("li", {}, h("div", {}, state(passedWord(check.passed)), " ", cutLine(check.by.join(", "), 300), ", ", duration(`${path}.seconds`, check.seconds), ", ", usd(`${path}.usd`, check.usd), ", ", since(`${path}.started_at`, check.started_at)), missed, textBlock(check.evidence, "Evidence"));
}

const MOST_FILES = 200;

function files() {
  const entries = [...run.files].filter(([key, entry]) => matches(filterNow, "file", key, entry));
  const undo = run.reproduce.findIndex((step) => step.command.startsWith("sunwell undo"));
  const {key: wanted} = readAddress();
  const made = entries.slice(0, MOST_FILES).map(([path, file]) => {
    const open = entries.length < 6 || path === wanted || file.conflicts.length > 0;
    const signs = {made: "+", removed: "−", changed: "±"};
    const box = h("details", {open, class: "card"}, h("summary", {}, h("span", {"aria-hidden": "true"}, Object.hasOwn(signs, file.change) ? signs[file.change] : "·"), " ", h("bdi", {class: "mono"}, cutLine(path, 300)), ` ${cutLine(file.change, 30)}`, file.conflicts.length ? h("span", {class: "state bad"}, ` ✗ ${plural(file.conflicts.length, "conflict")}`) : ""));
    const fill = () => box.open && box.childElementCount === 1 && append(box, [h("p", {class: "faint"}, "By ", file.by.slice(0, 50).map((one, at) => [at ? ", " : "", spanLink(one)])), file.conflicts.map((id, at) => textBlock(id, `Conflict ${at + 1}`)), textBlock(file.diff, "Difference", {diff: true})]);
    box.addEventListener("toggle", fill);
    fill();
    return box;
  });
  return [
    h("h2", {}, "Files"),
    undo >= 0 ? commandLine(run.reproduce[undo]) : null,
    made.length ? made : nothing("No file was changed."),
    entries.length > MOST_FILES ? h("p", {class: "faint"}, `${counted(entries.length - MOST_FILES)} more: use the filter, such as file:src.`) : null,
  ];
}

function commandLine(step) {
  return h("div", {class: "command"}, h("div", {class: "faint"}, cutLine(step.does, 300)), h("div", {class: "row"}, h("code", {}, step.command), copyButton(() => step.command, "the command")));
}

function journal() {
  const {health} = run;
  const killed = health.processes.filter((process) => process.end === "killed").length;
  const rows = health.processes.map((process, at) => {
    const path = `health.processes[${at}]`;
    return [counted(at + 1), moment(`${path}.began_at`, process.began_at), moment(`${path}.last_at`, process.last_at), state(process.end), number(`${path}.answers`, process.answers), number(`${path}.taken_over`, process.taken_over)];
  });
  return [
    h("h2", {}, "How to go on from here"),
    run.reproduce.map(commandLine),
    h("h2", {}, "Journal"),
    listed([
      ["File", h("code", {}, cutLine(health.path, 400))], ["Records", number("health.records", health.records)],
      ["Torn", [number("health.torn_bytes", health.torn_bytes), " bytes at its end", health.torn_bytes ? ", left by a kill; they are not part of the run" : " ✓"]],
      ["Of newer versions", [number("health.unknown_records", health.unknown_records), " records", health.unknown_records ? ", passed over" : " ✓"]],
      ["Killed", `${counted(killed)} of ${counted(health.processes.length)} processes`],
    ]),
    rows.length ? table("Processes that worked on the run", [">No.", "Began", "Latest record", "End", ">Answers", ">Answers taken over"], rows) : null,
  ];
}
