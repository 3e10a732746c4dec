// The data of the run. Each section lies in an element of its own and is read when it is first needed:
// a page of 10,000 calls opens without having read them. Maps and not objects: a key may be __proto__.

const ENTRIES = ["spans", "calls", "tools", "checks", "rungs", "waits", "money", "prefixes", "lenses", "files", "texts"];
const WHOLES = ["head", "cost", "bill", "health", "reproduce"];
const sections = new Map();
let remembered = new Map();

function readSection(name) {
  const element = byId(`data-${name}`);
  return element === null ? null : JSON.parse(element.textContent);
}

// The names of the fields of an entry stand once in the file: an object is [number of its names, ...values],
// a list is [-1, ...values].
function entriesOf({names, entries}) {
  const unpacked = (value) => {
    if (!Array.isArray(value)) return value;
    if (value[0] === -1) return value.slice(1).map(unpacked);
    const made = {};
    names[value[0]].forEach((name, at) => (made[name] = unpacked(value[at + 1])));
    return made;
  };
  return new Map(Object.entries(entries).map(([key, entry]) => [key, unpacked(entry)]));
}

function section(name) {
  if (!sections.has(name)) {
    const read = readSection(name);
    sections.set(name, ENTRIES.includes(name) ? entriesOf(read) : read);
    if (name === "texts") for (const [id, text] of first().texts) sections.get(name).set(id, text);
  }
  return sections.get(name);
}

const run = {};
for (const name of [...WHOLES, ...ENTRIES]) Object.defineProperty(run, name, {get: () => section(name)});

const requests = {
  get whole() {
    return section("requests");
  },
  sent: null,
  texts: null,
};

function readRequests() {
  if (requests.sent !== null) return;
  const read = requests.whole;
  requests.sent = new Map(Object.entries((read && read.sent) || {}));
  requests.texts = new Map(Object.entries((read && read.texts) || {}));
}

// What the summary shows is also in a section of its own, so that a long run need not be read for it.
function first() {
  if (!sections.has("first")) {
    const read = readSection("first");
    sections.set("first", {
      texts: new Map(Object.entries(read.texts)),
      failed: read.failed && new Map(Object.entries(read.failed).map(([name, entries]) => [name, new Map(Object.entries(entries))])),
    });
  }
  return sections.get("first");
}

// The entries of a section that may have failed: all of them where it has been read.
function failedOf(name) {
  const {failed} = first();
  return failed === null || sections.has(name) ? run[name] : failed.get(name);
}

function textOf(id) {
  if (!id) return null;
  const own = first().texts.get(id) || run.texts.get(id);
  if (own) return own;
  readRequests();
  return requests.texts.get(id) || {head: "This text is not in the page.", tail: "", left_out: 0};
}

// What is computed from the data is kept until a patch comes.
function once(name, compute) {
  if (!remembered.has(name)) remembered.set(name, compute());
  return remembered.get(name);
}

function applyPatch(patch) {
  for (const [name, given] of Object.entries(patch)) {
    if (WHOLES.includes(name)) sections.set(name, given);
    if (!ENTRIES.includes(name)) continue;
    const entries = section(name);
    for (const [key, entry] of Object.entries(given)) {
      if (entry === null) entries.delete(key);
      else entries.set(key, entry);
    }
  }
  section("texts"); // it takes what the first texts are, which are in no other section
  first().texts.clear();
  remembered = new Map();
}

// Spans are told parents first; one that a patch brings stands at the end of the map.
function below() {
  return once("below", () => {
    const found = new Map();
    const of = (span) => {
      if (!found.has(span)) found.set(span, {spans: [], calls: [], tools: [], checks: [], rungs: []});
      return found.get(span);
    };
    for (const [path, span] of run.spans) {
      of(path);
      if (span.parent !== path) of(span.parent).spans.push(path);
    }
    for (const name of ["calls", "tools", "checks", "rungs"]) {
      for (const [key, entry] of run[name]) of(entry.span)[name].push(key);
    }
    return found;
  });
}

function under(span) {
  return below().get(span) || {spans: [], calls: [], tools: [], checks: [], rungs: []};
}

function roots() {
  return once("roots", () =>
    [...run.spans].filter(([path, span]) => !run.spans.has(span.parent) || span.parent === path).map(([path]) => path),
  );
}

function spanName(path) {
  const span = run.spans.get(path);
  return cutLine((span && span.name) || path, 80);
}

// A part is known only by whose part it is.
function longName(path) {
  const names = [spanName(path)];
  for (let at = path; run.spans.has(at) && run.spans.get(at).kind === "part" && names.length < 6; at = run.spans.get(at).parent) {
    names.unshift(spanName(run.spans.get(at).parent));
  }
  return cutLine(names.join(" › "), 120);
}

function moneyPoints() {
  return once("points", () => [...run.money.keys()].sort((a, b) => Number(a) - Number(b)).flatMap((key) => run.money.get(key).map((point, at) => ({...point, path: `money[${key}][${at}]`}))));
}

// The seconds of a run do not count pauses, such as that between a kill and what followed it.
function endOfRun() {
  return once("end", () => run.health.processes.reduce((last, process) => Math.max(last, process.last_at), run.head.started_at + (run.head.seconds || 0)));
}

// The process that worked on the run at a time: the last one that had begun.
function processAt(at) {
  const {processes} = run.health;
  let [low, high] = [0, processes.length];
  while (low < high) {
    const middle = (low + high) >> 1;
    if (processes[middle].began_at <= at) low = middle + 1;
    else high = middle;
  }
  return processes[low - 1];
}

// Nothing ended an attempt that was under way when its process did.
function isCutOff(attempt) {
  const process = attempt.ended_at === null ? processAt(attempt.at) : undefined;
  return process !== undefined && process.end !== "open";
}

function endOfAttempt(attempt) {
  return attempt.ended_at ?? (isCutOff(attempt) ? processAt(attempt.at).last_at : endOfRun());
}

function outcomeOf(attempt) {
  return isCutOff(attempt) ? "cut off" : attempt.outcome;
}

const MOST_ADDRESS = 4000;

// What the address of the page names: a view, and a key of an entry in it.

function addressOf(view, key) {
  if (key === undefined || key === null || key === "") return `#${view}`;
  if (key.length > MOST_ADDRESS) return `#${view}/~${numberOf(view, key)}`;
  const plain = key.isWellFormed() && !/^["~]/.test(key);
  const code = encodeURIComponent(plain ? key : JSON.stringify(key)).replace(/%2F/g, "/").replace(/%3A/g, ":");
  return code.length > MOST_ADDRESS ? `#${view}/~${numberOf(view, key)}` : `#${view}/${code}`;
}

// A key that is too long for an address is told by its number.
function numberOf(view, key) {
  return [...(keysOf(view) || [])].indexOf(key);
}

function keysOf(view) {
  const name = {tree: "spans", time: "spans", lens: "lenses", checks: "spans"}[view] || view;
  return ENTRIES.includes(name) ? run[name].keys() : null;
}

function readAddress() {
  const [, view, rest] = /^#?([a-z]*)\/?(.*)$/s.exec(location.hash) || [];
  let key = "";
  try {
    key = decodeURIComponent(rest || "");
    if (key.startsWith('"')) key = JSON.parse(key);
  } catch {
    key = "";
  }
  if (/^~\d+$/.test(key)) key = [...(keysOf(view) || [])][Number(key.slice(1))] || "";
  return {view: view || "summary", key: String(key)};
}

function linkTo(view, key, text, attributes) {
  return h("a", {href: addressOf(view, key), ...attributes}, text);
}

function spanLink(path) {
  return run.spans.has(path) ? linkTo("tree", path, spanName(path)) : h("span", {}, cutLine(path || "run", 80));
}

function callLink(key) {
  return linkTo("calls", key, cutLine(key, 80));
}
