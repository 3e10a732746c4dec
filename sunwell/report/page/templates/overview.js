// The page of all runs: one list with the filter of the other page, and the details of the run that is open.

const OVERVIEW_ROW_HEIGHT = 28;
const runs = new Map(Object.entries(section("runs") || {}));
const totals = section("totals");

// The keys of this list in place of those of the lists of one run.
WORD_KEYS.splice(0, WORD_KEYS.length, "status", "model", "error");
NUMBER_KEYS.splice(0, NUMBER_KEYS.length, "cost", "calls");
TESTS.calls = (fact, term) => holds(term.sign, fact.calls - Number(term.number));
FAILED.add("damaged");
STATES.set("running", ["…", "calm"]).set("damaged", ["✗", "bad"]);
MAKERS.run = (row) => ({
  status: [row.status, row.verified === null ? "" : passedWord(row.verified), row.foreign ? "foreign" : ""],
  model: row.models.join(" "), cost: row.usd, calls: row.calls, error: row.error, errorText: "",
  names: [row.task, row.verdict, row.status, row.continues, row.forked_from, row.error, ...row.models],
  texts: [],
});

const RUN_ORDERS = {
  start: (a, b) => (a.entry.started_at || 0) - (b.entry.started_at || 0),
  cost: (a, b) => compared(a.entry.usd, b.entry.usd),
  calls: (a, b) => a.entry.calls - b.entry.calls,
};

let filterNow = parseFilter("");
let order = "start";
let way = -1;

const columns = [
  {title: "Started", kind: "when", by: "start", order: -1}, {title: "Task", kind: "name"}, {title: "State", kind: "status"},
  {title: "Verdict", kind: "verdict"}, {title: "Models", kind: "model"}, {title: "Calls", kind: "count right", by: "calls"},
  {title: "Cost", kind: "cost right", by: "cost"}, {title: "Cap", kind: "cost cap right"},
];
for (const column of columns) if (column.by) column.sort = () => sortBy(column.by);
const list = new LongList({
  label: "Runs", role: "grid", kind: "runs", height: OVERVIEW_ROW_HEIGHT, columns,
  draw: (row) => runCells(row.key, row.entry),
  open: (row) => openRun(row.key),
});

function minuteText(at) {
  return typeof at === "number" ? momentText(at).replace(/:\d\d(\.\d)? UTC$/, "") : "";
}

function runCells(key, row) {
  const path = `runs[${key}]`;
  const marks = [row.foreign ? h("span", {class: "kind"}, "foreign") : null, row.continues ? h("span", {class: "kind"}, "continues") : null, row.forked_from ? h("span", {class: "kind"}, "fork") : null];
  return [
    h("span", {class: "figure", "data-figure": `${path}.started_at`, "data-exact": exactOf(row.started_at)}, minuteText(row.started_at)),
    h("span", {class: "named"}, marks.map((mark) => (mark ? [mark, " "] : null)), h("bdi", {}, cutLine(row.error || row.task || key, 200))),
    state(row.status), verdictOf(row, 120), cutLine(row.models.join(", "), 80), row.error ? null : number(`${path}.calls`, row.calls),
    usd(`${path}.usd`, row.usd), row.cap_usd === null ? null : usd(`${path}.cap_usd`, row.cap_usd),
  ];
}

function verdictOf(row, limit) {
  if (!row.verdict) return null;
  const [sign, kind] = row.verified === null ? ["?", "warn"] : row.verified ? ["✓", "good"] : ["✗", "bad"];
  return [h("span", {"aria-hidden": "true", class: kind}, sign), " ", cutLine(row.verdict, limit)];
}

function exactOf(value) {
  return typeof value === "number" ? String(value) : "";
}

function selectedRuns() {
  return [...runs].filter(([key, row]) => matches(filterNow, "run", key, row)).map(([key, entry]) => ({key, entry}));
}

function sortBy(by) {
  way = order === by ? -way : -1;
  order = by;
  for (const column of list.columns) column.order = column.by === by ? way : 0;
  list.drawHeads();
  update();
}

function update() {
  const active = list.rows[list.active];
  const rows = selectedRuns();
  rows.sort((a, b) => way * RUN_ORDERS[order](a, b) || 0);
  list.set(rows, active ? active.key : undefined);
  if (list.active < 0 && rows.length) list.active = 0;
}

function filterChanged() {
  readFilter();
  update();
  const told = byId("selection");
  told.replaceChildren();
  if (!isOn(filterNow)) return;
  const sum = addedUp(list.rows.map((row) => row.entry.usd));
  append(told, [
    `${counted(list.rows.length)} of ${plural(runs.size, "run")}, `, h("span", {class: "figure", "data-exact": sum.text}, dollars(sum.text)),
    sum.unknown ? ` and ${plural(sum.unknown, "unknown amount")}` : "",
  ]);
}

function hintsOfFilter() {
  const known = [...Object.keys(totals.by_status).map((status) => `status:${status}`), "status:passed", "status:foreign", "cost:>0.01", "calls:>10"];
  const words = ["Words are looked for in tasks, verdicts and models. Write ", h("code", {}, '"words in quotes"'), " for those that belong together, and ", h("code", {}, "-"), " before what is not wanted."];
  return {words, known};
}

// What is open is named in the address.

function addressOfRun(key) {
  return `#${encodeURIComponent(key.toWellFormed())}`;
}

function openRun(key) {
  location.hash = addressOfRun(key);
}

function showOpen() {
  let key = "";
  try {
    key = decodeURIComponent(location.hash.slice(1));
  } catch {
    key = "";
  }
  const row = runs.get(key);
  const detail = byId("detail");
  byId("main").classList.toggle("has-detail", row !== undefined);
  detail.hidden = row === undefined;
  detail.replaceChildren();
  document.title = row === undefined ? "Runs · Sunwell" : `${cutLine(key, 40)} · Sunwell`;
  if (row === undefined) return;
  append(detail, [button("✕ Close", closeDetail, {class: "small close"}), runDetail(key, row)]);
  detail.scrollTop = 0;
  const at = list.rows.findIndex((one) => one.key === key);
  if (at >= 0 && at !== list.active) list.activate(at);
  if (matchMedia("(max-width: 900px)").matches) detail.querySelector("h2").focus();
}

function closeDetail() {
  history.replaceState(null, "", "#");
  showOpen();
  list.element.focus();
}

function otherRun(key) {
  if (!key) return null;
  return runs.has(key) ? h("a", {href: addressOfRun(key)}, key) : `${cutLine(key, 128)}, which is not here`;
}

function command(text, does) {
  return h("div", {class: "command"}, h("div", {class: "row"}, h("code", {}, text), copyButton(() => text, text)), h("p", {}, does));
}

function runDetail(key, row) {
  const path = `runs[${key}]`;
  const commands = [command(`sunwell report ${key} --open`, "Shows all of the run: what failed, every call, what was sent.")];
  if (row.foreign) commands.push(command(`sunwell adopt ${key}`, "Makes the run yours. Others prepared it, so read it first."));
  else if (["open", "incomplete", "error", "cancelled"].includes(row.status)) commands.push(command(`sunwell resume ${key}`, "Goes on with the run: no answered call is asked again."));
  return h("div", {},
    h("h2", {tabindex: "-1"}, cutLine(row.task || key, 400)),
    row.error ? h("p", {class: "told"}, row.error) : null,
    listed([["Run", key], ["State", state(row.status)], ...(row.error ? [] : knownOf(path, row)), ["Journal", cutLine(row.journal, 1000)]]),
    h("h3", {}, "Go on"), commands,
  );
}

function knownOf(path, row) {
  const isConfirmed = row.unconfirmed_usd !== null && compared(row.unconfirmed_usd, "0") === 0;
  return [
    ["Started", row.started_at === null ? "unknown" : moment(`${path}.started_at`, row.started_at)],
    ["Verdict", verdictOf(row, 400)], ["Cost", usd(`${path}.usd`, row.usd)],
    ["Unconfirmed", isConfirmed ? null : ["up to ", usd(`${path}.unconfirmed_usd`, row.unconfirmed_usd), " more"]],
    ["Cap", row.cap_usd === null ? "none" : usd(`${path}.cap_usd`, row.cap_usd)],
    ["Calls", number(`${path}.calls`, row.calls)], ["Tool calls", number(`${path}.tool_calls`, row.tool_calls)],
    ["Models", cutLine(row.models.join(", "), 400)], ["Continues", otherRun(row.continues)], ["Forked from", otherRun(row.forked_from)],
    ["Started by", row.foreign ? "somebody else, or on another machine" : null],
  ];
}

function pressed(event) {
  if (event.ctrlKey || event.metaKey || event.altKey) return;
  const inFilter = event.target === byId("filter");
  if (event.key === "Escape" && inFilter && byId("filter").value) {
    byId("filter").value = "";
    filterChanged();
  } else if (event.key === "Escape") {
    if (byId("detail").hidden) list.element.focus();
    else closeDetail();
  } else if (inFilter) {
    if (event.key !== "Enter" && event.key !== "ArrowDown") return;
    list.element.focus();
  } else if (event.key === "/") byId("filter").focus();
  else if (event.key === "t") changeTheme();
  else if (event.key === "j" || event.key === "k") {
    list.element.focus();
    list.pressed({key: event.key, target: list.element, preventDefault() {}, stopPropagation() {}});
  } else return;
  event.preventDefault();
}

function drawTotals() {
  append(byId("heading"), [number("totals.runs", totals.runs), totals.runs === 1 ? " run, " : " runs, ", usd("totals.usd", totals.usd)]);
  const doubt = compared(totals.unconfirmed_usd, "0") === 0 ? null : h("span", {}, "unconfirmed: up to ", usd("totals.unconfirmed_usd", totals.unconfirmed_usd), " more");
  append(byId("facts"), [
    Object.entries(totals.by_status).map(([status, count]) => h("span", {}, state(status), " ", number(`totals.by_status[${status}]`, count))),
    doubt, totals.unpriced ? h("span", {}, number("totals.unpriced", totals.unpriced), " of unknown cost, not in the sum") : null,
    h("span", {}, number("totals.calls", totals.calls), " calls"), h("span", {}, number("totals.tool_calls", totals.tool_calls), " tool calls"), h("span", {}, cutLine(section("workspace"), 300)),
  ]);
  append(byId("note"), [section("note") || ""]);
}

// On paper: all rows that the filter leaves, as a table.
function preparePrint() {
  const rows = list.rows.map(({key, entry}) => [minuteText(entry.started_at), cutLine(entry.error || entry.task || key, 200), entry.status, cutLine(entry.verdict, 200), dollars(entry.usd)]);
  byId("paper").replaceChildren(table("Runs", ["Started", "Task", "State", "Verdict", ">Cost"], rows));
}

function begin() {
  beginTheme();
  byId("view").append(list.element);
  beginFilterBox(hintsOfFilter);
  document.addEventListener("keydown", pressed);
  addEventListener("hashchange", showOpen);
  addEventListener("beforeprint", preparePrint);
  addEventListener("afterprint", () => byId("paper").replaceChildren());
  byId("frame").hidden = false;
  drawTotals();
  update();
  showOpen();
  document.documentElement.setAttribute("data-ready", "");
}

begin();
