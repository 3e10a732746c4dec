// The tree of spans, calls, tools, checks and rungs, and the flat list of calls.

const ROW_HEIGHT = 28;
const FEW_ROWS = 150;

function itemsOf(path) {
  return once(`items ${path}`, () => {
    const parts = under(path);
    const owned = once("owned tools", () => new Set([...run.calls.values()].flatMap((call) => call.asked_for)));
    const items = [
      ...parts.rungs.map((key) => ({kind: "rung", key, entry: run.rungs.get(key), at: run.rungs.get(key).at})),
      ...parts.calls.map((key) => ({kind: "call", key, entry: run.calls.get(key), at: run.calls.get(key).started_at})),
      ...parts.tools
        .filter((key) => !owned.has(key))
        .map((key) => ({kind: "tool", key, entry: run.tools.get(key), at: run.tools.get(key).started_at})),
      ...parts.checks.map((key) => ({kind: "check", key, entry: run.checks.get(key), at: run.checks.get(key).started_at})),
      ...parts.spans.map((key) => ({kind: "span", key, entry: run.spans.get(key), at: run.spans.get(key).started_at ?? -Infinity})),
    ];
    // A span without a time was done by the run that this one was forked from; a call without one was not sent.
    const late = (item) => (typeof item.at === "number" ? item.at : Infinity);
    return items.sort((a, b) => late(a) - late(b) || 0);
  });
}

function partsOf(item) {
  if (item.kind === "span") return itemsOf(item.key);
  if (item.kind !== "call") return [];
  return item.entry.asked_for
    .filter((key) => run.tools.has(key))
    .map((key) => ({kind: "tool", key, entry: run.tools.get(key)}));
}

function rowKey(kind, key) {
  return `${kind} ${key}`;
}

function detailAddress(row) {
  const [kind, key] = [row.item.kind, row.item.key];
  if (kind === "span") return addressOf("tree", key);
  if (kind === "call") return addressOf("calls", key);
  if (kind === "tool") return addressOf("tools", key);
  return addressOf("tree", row.item.entry.span);
}

class TreeView {
  constructor() {
    this.opened = new Map();
    this.list = new LongList({
      label: "What the run did, as a tree",
      role: "treegrid",
      kind: "tree",
      height: ROW_HEIGHT,
      columns: [
        {title: "Name", kind: "name"}, {title: "State", kind: "status"}, {title: "Model", kind: "model"},
        {title: "Cost", kind: "cost right"}, {title: "Tokens", kind: "tokens right"}, {title: "Time", kind: "time right"},
      ],
      draw: (row) => treeCells(row),
      open: (row) => go(detailAddress(row)),
      toggle: (row, wanted) => this.toggle(row, wanted),
    });
    this.element = this.list.element;
  }

  toggle(row, wanted) {
    this.opened.set(row.key, wanted);
    this.update();
  }

  update() {
    const active = this.list.rows[this.list.active];
    this.list.set(this.rows(), active ? active.key : undefined);
    if (this.list.active < 0 && this.list.rows.length) this.list.active = 0;
  }

  // Opens what is above the entry, and makes it the active row.
  reveal(kind, key) {
    const entry = {span: run.spans, call: run.calls, tool: run.tools}[kind].get(key);
    if (!entry) return;
    const seen = new Set();
    for (let path = kind === "span" ? entry.parent : entry.span; run.spans.has(path) && !seen.has(path); path = run.spans.get(path).parent) {
      seen.add(path);
      this.opened.set(rowKey("span", path), true);
    }
    this.update();
    const at = this.list.rows.findIndex((row) => row.key === rowKey(kind, key));
    if (at >= 0) this.list.center(at);
  }

  rows() {
    const filter = filterNow;
    const small = run.spans.size + run.calls.size + run.tools.size <= FEW_ROWS;
    const rows = [];
    const seen = new Set();
    const visit = (item, level, place, of) => {
      if (item.kind === "span" && seen.has(item.key)) return false;
      if (item.kind === "span") seen.add(item.key);
      const key = rowKey(item.kind, item.key);
      const parts = partsOf(item);
      const found = matches(filter, item.kind, item.key, item.entry);
      const wanted = this.opened.get(key);
      const isOpen = wanted ?? (isOn(filter) || small || (item.kind === "span" && level === 1));
      const row = {key, item, level, place, of, parts: parts.length, isOpen, faint: isOn(filter) && !found};
      rows.push(row);
      const before = rows.length;
      let any = false;
      if (isOpen || isOn(filter)) parts.forEach((part, at) => (any = visit(part, level + 1, at + 1, parts.length) || any));
      if (!isOpen) rows.length = before;
      if (!found && !any) rows.length = before - 1;
      return found || any;
    };
    const top = roots();
    top.forEach((path, at) => visit({kind: "span", key: path, entry: run.spans.get(path)}, 1, at + 1, top.length));
    return rows;
  }
}

const KIND_NAMES = new Map([["run", "run"], ["worker", "worker"], ["part", "part"]]);

function treeCells(row) {
  const {kind, key, entry} = row.item;
  const twig = h("span", {class: "twig", "aria-hidden": "true"}, row.parts ? (row.isOpen ? "▾" : "▸") : "");
  const label = kind === "span" ? KIND_NAMES.get(entry.kind) || "span" : kind;
  const name = h("span", {class: "named"}, twig, h("span", {class: `kind ${kind}`}, label), " ", h("bdi", {}, treeName(kind, key, entry)));
  name.style.paddingInlineStart = `${Math.min(row.level - 1, 12) * 14}px`;
  const path = `${kind}s[${key}]`;
  const tokens = entry.tokens ? number(`${path}.tokens.input`, entry.tokens.input) : null;
  const status = kind === "check" ? passedWord(entry.passed) : kind === "span" && entry.verified === false ? "failed" : entry.status;
  return [
    name,
    state(status),
    cutLine(entry.model || "", 60),
    "usd" in entry ? usd(`${path}.usd`, entry.usd) : null,
    tokens && [tokens, " in, ", number(`${path}.tokens.output`, entry.tokens.output), " out"],
    "seconds" in entry ? timeOf(path, entry) : null,
  ];
}

// A call that was refused was never sent, and one that is kept took time in another run.
function timeOf(path, entry) {
  return ["refused", "kept"].includes(entry.status) ? null : duration(`${path}.seconds`, entry.seconds);
}

function treeName(kind, key, entry) {
  if (kind === "span") return [spanName(key), entry.task ? h("span", {class: "faint"}, ` ${lineOf(entry.task, 90)}`) : null];
  if (kind === "call") return [`${entry.number + 1} ${cutLine(entry.purpose, 30)}`, h("span", {class: "faint"}, ` ${callRemark(entry)}`)];
  if (kind === "tool") return [cutLine(entry.name, 64), h("span", {class: "faint"}, ` ${cutLine(entry.subject, 90)}`)];
  if (kind === "check") return [cutLine(entry.by.join(", "), 90)];
  return [entry.rung ? cutLine(entry.rung, 40) : "no further rung", h("span", {class: "faint"}, ` ${lineOf(entry.reason, 90)}`)];
}

function callRemark(call) {
  const failed = call.attempts.filter((attempt) => attempt.outcome === "failed");
  if (call.status === "refused") return lineOf(call.refusal, 90);
  if (failed.length) return `${plural(call.attempts.length, "attempt")}: ${cutLine(failed.map((attempt) => attempt.error).join(", "), 80)}`;
  return lineOf(call.answer, 90);
}

const CALL_ORDERS = {
  start: (a, b) => (a.entry.started_at ?? Infinity) - (b.entry.started_at ?? Infinity),
  cost: (a, b) => compared(a.entry.usd, b.entry.usd),
  tokens: (a, b) => (tokensOf(a.entry.tokens) ?? -1) - (tokensOf(b.entry.tokens) ?? -1),
  time: (a, b) => (a.entry.seconds ?? -1) - (b.entry.seconds ?? -1),
};

class CallsView {
  constructor() {
    this.order = "start";
    this.way = 1;
    const columns = [
      {title: "Call", kind: "name"}, {title: "State", kind: "status"}, {title: "Purpose", kind: "purpose"}, {title: "Model", kind: "model"},
      {title: "Start", kind: "start right", by: "start"}, {title: "Time", kind: "time right", by: "time"},
      {title: "Tokens", kind: "tokens right", by: "tokens"}, {title: "Cost", kind: "cost right", by: "cost"},
    ];
    for (const column of columns) if (column.by) column.sort = () => this.sort(column.by);
    this.list = new LongList({
      label: "Calls of models", role: "grid", kind: "calls", height: ROW_HEIGHT, columns,
      draw: (row) => callCells(row.item.key, row.item.entry),
      open: (row) => go(detailAddress(row)),
    });
    this.element = this.list.element;
  }

  sort(by) {
    this.way = this.order === by ? -this.way : by === "start" ? 1 : -1;
    this.order = by;
    for (const column of this.list.columns) column.order = column.by === by ? this.way : 0;
    this.list.drawHeads();
    this.update();
  }

  update() {
    const active = this.list.rows[this.list.active];
    const rows = selectedCalls().map(([key, entry]) => ({key: rowKey("call", key), item: {kind: "call", key, entry}}));
    rows.sort((a, b) => this.way * CALL_ORDERS[this.order](a.item, b.item) || 0);
    this.list.set(rows, active ? active.key : undefined);
    if (this.list.active < 0 && rows.length) this.list.active = 0;
  }

  reveal(kind, key) {
    const at = this.list.rows.findIndex((row) => row.key === rowKey(kind, key));
    if (at >= 0) this.list.center(at);
  }
}

function callCells(key, call) {
  const path = `calls[${key}]`;
  const tries = call.attempts.length > 1 ? h("span", {class: "faint"}, ` ${plural(call.attempts.length, "attempt")}`) : null;
  return [
    h("span", {class: "named"}, h("bdi", {}, `${longName(call.span)} ${call.number + 1}`), tries),
    state(call.status), cutLine(call.purpose, 30), cutLine(call.model, 60), call.status === "refused" ? null : since(`${path}.started_at`, call.started_at), timeOf(path, call),
    call.tokens ? [number(`${path}.tokens.input`, call.tokens.input), " in, ", number(`${path}.tokens.output`, call.tokens.output), " out"] : null,
    usd(`${path}.usd`, call.usd),
  ];
}

function selectedCalls() {
  if (!isOn(filterNow)) return [...run.calls];
  return once(`selected ${filterNow.text}`, () => [...run.calls].filter(([key, call]) => matches(filterNow, "call", key, call)));
}
