// Every element of the page is made here. A text of a run becomes a text node or the value of an attribute
// that only describes; names of elements and attributes are from these lists, and an address is one of ours.

const TAGS = new Set(
  ("a article aside b bdi button caption code dd details div dl dt footer h1 h2 h3 h4 header kbd label li main nav ol p " +
    "pre section span strong summary table tbody td th thead tr ul").split(" "),
);
const DRAWN = new Set("svg g rect line path text title polygon circle defs pattern".split(" "));
const ATTRIBUTES = new Set(
  ("class id role title href type tabindex scope colspan open hidden lang for viewBox width height x y x1 x2 y1 y2 d " +
    "points cx cy r rx fill stroke preserveAspectRatio patternUnits patternTransform text-anchor " +
    "aria-label aria-labelledby aria-describedby aria-hidden aria-current aria-level aria-expanded aria-selected " +
    "aria-setsize aria-posinset aria-rowcount aria-colcount aria-rowindex aria-colindex aria-sort aria-live " +
    "aria-pressed aria-controls aria-activedescendant data-figure data-exact data-at data-call data-part").split(" "),
);
const DESCRIBING = new Set(["title", "aria-label", "data-figure", "data-call"]);
const SVG = "http://www.w3.org/2000/svg";

// What is not printable, and what is printable and cannot be seen; as visible() in tools/wording.py.
const UNSEEN =
  "[[[\\p{C}\\p{Z}]--[ \\n\\t]]\\u034f\\u115f\\u1160\\u17b4\\u17b5\\u180b-\\u180d\\u180f\\u2800\\u3164\\ufe00-\\ufe0f\\uffa0" +
  "\\u{16fe4}\\u{1d159}\\u{e0100}-\\u{e01ef}]";
const UNSEEN_ONE = new RegExp(UNSEEN, "v");
const PICTURE = "[\\u2190-\\u2bff\\u3030\\u303d\\u3297\\u3299\\u{1f000}-\\u{1faff}]";
const JOINING = "[\\u0620-\\u074a\\u0780-\\u07b1\\u08a0-\\u08c9\\u0900-\\u0dff\\u1780-\\u17b3]";
// Joiners and selectors that ordinary text needs stay: inside an emoji, and between letters of some scripts.
const NEEDED =
  `(?<=${PICTURE})(?:\\ufe0f(?:\\u200d(?=${PICTURE}))?|\\u200d(?=${PICTURE}))` +
  `|(?<=[0-9#*])\\ufe0f(?=\\u20e3)|(?<=${JOINING})[\\u200c\\u200d](?=${JOINING})`;
const UNSEEN_RUNS = new RegExp(`(?:${NEEDED})|(${UNSEEN}+)`, "gv");
const MOST_MARKED = 2000;
const MOST_SHOWN = 24000;
const MOST_DESCRIBED = 600;

function escapeOf(sign) {
  const number = sign.codePointAt(0);
  if (number < 0x100) return `\\x${number.toString(16).padStart(2, "0")}`;
  if (number < 0x10000) return `\\u${number.toString(16).padStart(4, "0")}`;
  return `\\U${number.toString(16).padStart(8, "0")}`;
}

function escapesOf(run) {
  return Array.from(run, escapeOf).join("");
}

function visible(text) {
  if (!UNSEEN_ONE.test(text)) return text;
  return text.replace(UNSEEN_RUNS, (all, run) => (run === undefined ? all : escapesOf(run)));
}

// The text as pieces: strings, and escapes that are told apart from text that only looks like one.
function appendShown(parent, text) {
  if (text.length > MOST_SHOWN) {
    const left = text.length - MOST_SHOWN;
    appendShown(parent, text.slice(0, MOST_SHOWN));
    parent.append(h("span", {class: "gap"}, ` … ${plural(left, "character")} more`));
    return;
  }
  if (!UNSEEN_ONE.test(text)) {
    parent.append(text);
    return;
  }
  let from = 0;
  let marked = 0;
  for (const found of text.matchAll(UNSEEN_RUNS)) {
    if (found[1] === undefined) continue;
    if (++marked > MOST_MARKED) break;
    if (found.index > from) parent.append(text.slice(from, found.index));
    const mark = document.createElement("span");
    mark.className = "escape";
    mark.append(escapesOf(found[1]));
    parent.append(mark);
    from = found.index + found[1].length;
  }
  parent.append(visible(text.slice(from)));
}

function put(element, attributes, children) {
  for (const [name, value] of Object.entries(attributes || {})) {
    if (value === null || value === undefined || value === false) continue;
    if (!ATTRIBUTES.has(name)) throw new Error(`the page gives no element the attribute ${name}`);
    if (name === "href" && !/^#[\w\-.~!$&'()*+,;=:@/%]*$/.test(value)) throw new Error("an address is not ours");
    const text = value === true ? "" : String(value);
    element.setAttribute(name, DESCRIBING.has(name) ? visible(text.slice(0, MOST_DESCRIBED)) : text);
  }
  append(element, children);
  return element;
}

function append(element, children) {
  for (const child of children) {
    if (child === null || child === undefined || child === false || child === "") continue;
    if (Array.isArray(child)) append(element, child);
    else if (child instanceof Node) element.append(child);
    else appendShown(element, String(child));
  }
}

function h(tag, attributes, ...children) {
  if (!TAGS.has(tag)) throw new Error(`the page makes no element ${tag}`);
  return put(document.createElement(tag), attributes, children);
}

function drawn(tag, attributes, ...children) {
  if (!DRAWN.has(tag)) throw new Error(`the page draws no ${tag}`);
  return put(document.createElementNS(SVG, tag), attributes, children);
}

function button(label, act, attributes) {
  const made = h("button", {type: "button", ...attributes}, label);
  made.addEventListener("click", act);
  return made;
}

function byId(name) {
  return document.getElementById(name);
}

// Figures: the path in the data, and all digits, so that what people see can be read back.

function figure(path, exact, text, attributes) {
  return h("span", {class: "figure", "data-figure": path, "data-exact": exact, ...attributes}, text);
}

function usd(path, amount) {
  const exact = exactUsd(amount);
  return figure(path, exact, dollars(amount), {title: exact ? `$${exact}` : "The amount is unknown, not 0."});
}

function number(path, value) {
  return figure(path, value === null || value === undefined ? "" : String(value), counted(value));
}

function duration(path, seconds) {
  const known = typeof seconds === "number";
  return figure(path, known ? String(seconds) : "", secondsText(seconds), {title: known ? `${seconds} s` : null});
}

function share(path, value) {
  return figure(path, typeof value === "number" ? String(value) : "", shareText(value));
}

function moment(path, at) {
  return figure(path, typeof at === "number" ? String(at) : "", momentText(at));
}

function since(path, at) {
  const start = run.head.started_at;
  const known = typeof at === "number";
  const text = known ? `+${secondsText(Math.max(0, at - start))}` : "unknown";
  return figure(path, known ? String(at) : "", text, {title: momentText(at)});
}

// States are told by a sign and a word; the colour only helps.

const STATES = new Map([
  ["ok", ["✓", "good"]], ["answered", ["✓", "good"]], ["passed", ["✓", "good"]], ["closed", ["✓", "good"]],
  ["kept", ["=", "calm"]], ["remembered", ["=", "calm"]], ["open", ["…", "calm"]], ["unclear", ["?", "warn"]], ["incomplete", ["!", "warn"]],
  ["cancelled", ["–", "warn"]], ["failed", ["✗", "bad"]], ["error", ["✗", "bad"]], ["refused", ["⊘", "bad"]],
  ["killed", ["✗", "bad"]], ["cut off", ["!", "warn"]],
]);

function state(status) {
  if (!status) return null;
  const [sign, kind] = STATES.get(status) || ["·", "calm"];
  return h("span", {class: `state ${kind}`}, h("span", {"aria-hidden": "true"}, sign), ` ${cutLine(status, 40)}`);
}

function passedWord(passed) {
  return passed === true ? "passed" : passed === false ? "failed" : "unclear";
}

function cutLine(text, limit) {
  const line = String(text).slice(0, limit * 4).replace(/[ \n\t]+/g, " ").trim();
  const signs = Array.from(line);
  return signs.length > limit || text.length > limit * 4 ? `${signs.slice(0, limit - 1).join("")}…` : line;
}

function lineOf(id, limit) {
  const text = textOf(id);
  return text === null ? "" : cutLine(text.head, limit);
}

async function copy(text, told) {
  const before = told.textContent;
  try {
    await navigator.clipboard.writeText(text);
    told.textContent = "Copied";
  } catch {
    told.textContent = "Select it: copying is not allowed here";
  }
  setTimeout(() => {
    told.textContent = before;
  }, 1500);
}

function copyButton(text, what) {
  const made = button("Copy", () => copy(text(), made), {class: "small", "aria-label": `Copy ${what}`});
  return made;
}

function preformatted(text, label, ways) {
  const box = h("pre", {class: `text ${(ways && ways.kind) || ""}`, tabindex: "0", role: "group", "aria-label": label});
  append(box, [text.head]);
  if (text.left_out || text.tail) {
    box.append(h("span", {class: "gap"}, `\n… ${plural(text.left_out, "character")} left out here …\n`));
    append(box, [text.tail]);
  }
  return box;
}

function textBlock(id, label, ways) {
  const text = textOf(id);
  if (text === null) return null;
  const whole = () => text.head + text.tail;
  const title = h("div", {class: "title"}, label, " ", copyButton(whole, cutLine(label, 60)));
  return h("div", {class: "block"}, title, (ways && ways.diff ? diffBlock : preformatted)(text, label, ways));
}

function diffBlock(text, label) {
  const box = h("div", {class: "text diff", tabindex: "0", role: "group", "aria-label": label});
  const lines = text.head.replace(/\n$/, "").split("\n");
  for (const line of lines) box.append(diffLine(line));
  if (text.left_out || text.tail) {
    box.append(h("div", {class: "gap"}, `… ${plural(text.left_out, "character")} left out here …`));
    for (const line of text.tail.split("\n")) box.append(diffLine(line));
  }
  return box;
}

function diffLine(line) {
  const heading = /^(?:\+\+\+|---|diff |index )/.test(line);
  const kind = heading ? "about" : {"+": "added", "-": "removed", "@": "place"}[line[0]] || "same";
  return h("div", {class: kind}, line || " ");
}

function listed(pairs) {
  const there = pairs.filter(([, value]) => value !== null && value !== undefined && value !== "");
  return h("dl", {}, there.map(([name, value]) => h("div", {}, h("dt", {}, name), h("dd", {}, value))));
}

function table(label, heads, rows) {
  const head = h("tr", {}, heads.map((name) => h("th", {scope: "col", class: name.startsWith(">") ? "right" : null}, name.replace(/^>/, ""))));
  const body = rows.map((cells) =>
    h("tr", {}, cells.map((cell, at) => {
      const right = heads[at].startsWith(">") ? "right" : null;
      return at === 0 ? h("th", {scope: "row", class: right}, cell) : h("td", {class: right}, cell);
    })),
  );
  const made = h("table", {}, h("caption", {}, label), h("thead", {}, head), h("tbody", {}, body));
  return h("div", {class: "wide", tabindex: "0", role: "group", "aria-label": label}, made);
}
