// Two pictures of time: a lane for each worker, and the money. Long stops between processes are drawn short.

const GAP_WIDTH = 26;
const LANE_HEIGHT = 34;
const LANE_MARGIN = 9;

// From seconds to pixels, with the stops cut out.
class TimeScale {
  constructor(from, to, stops, width, margin = 0) {
    this.from = from;
    this.margin = margin;
    this.to = Math.max(to, from + 0.001);
    const long = stops.filter(([a, b]) => b - a > (this.to - this.from) / 8 && a >= from && b <= to);
    this.stops = long;
    const active = this.to - this.from - long.reduce((sum, [a, b]) => sum + b - a, 0);
    this.rate = Math.max(1, width - 2 * this.margin - GAP_WIDTH * long.length) / Math.max(active, 0.001);
  }

  x(at) {
    let seconds = Math.min(Math.max(at, this.from), this.to) - this.from;
    let shift = 0;
    for (const [a, b] of this.stops) {
      if (at <= a) break;
      const inside = Math.min(at, b) - a;
      seconds -= inside;
      shift += GAP_WIDTH * (inside / (b - a));
    }
    return this.margin + seconds * this.rate + shift;
  }

  ticks(count) {
    const span = this.to - this.from;
    const raw = span / count;
    const power = 10 ** Math.floor(Math.log10(raw));
    const step = [1, 2, 5, 10].map((part) => part * power).find((one) => one >= raw);
    const start = run.head.started_at;
    const found = [];
    for (let at = start + Math.ceil((this.from - start) / step) * step; at <= this.to && found.length < 40; at += step) {
      if (!this.stops.some(([a, b]) => at > a && at < b)) found.push([this.x(at), at - start]);
    }
    return found;
  }
}

function stopsOfRun() {
  return [...run.waits.values()].filter((wait) => wait.reason === "stopped").map((wait) => [wait.from_at, wait.to_at]);
}

function tickText(seconds) {
  if (seconds >= 59.5) return secondsText(seconds);
  return `${Number(seconds.toPrecision(3))} s`;
}

// What a shape is, as a function: it is told when the pointer comes to it.
const titles = new WeakMap();

function rect(x, y, width, height, kind, attributes, title) {
  const made = drawn("rect", {x: x.toFixed(1), y, width: Math.max(width, 1.5).toFixed(1), height, class: kind, ...attributes});
  if (title) titles.set(made, title);
  return made;
}

function tellTitle(event) {
  const title = titles.get(event.target);
  if (title && !event.target.firstChild) event.target.append(drawn("title", {}, title()));
}

const PURPOSE_KINDS = new Map([["lens", "lens"], ["work", "work"], ["check", "check"]]);
const WAIT_WORDS = new Map([
  ["planner", "waits for the shared prefix"], ["ledger", "waits for room in the budget"], ["rate", "waits for the provider's limit"],
  ["approval", "waits for an approval"], ["reader", "waits for whoever reads the events"], ["stopped", "stopped: no process worked on the run"],
]);

class TimeView {
  constructor() {
    this.window = [0, 1];
    const tools = [
      ["Zoom in", () => this.zoom(0.5)], ["Zoom out", () => this.zoom(2)], ["Earlier", () => this.move(-0.5)], ["Later", () => this.move(0.5)],
      ["Whole run", () => this.show(0, 1)],
    ].map(([label, act]) => button(label, act, {class: "small"}));
    this.axis = h("div", {class: "axis"});
    this.list = new LongList({
      label: "Time line, a lane for each worker",
      role: "grid",
      kind: "lanes",
      height: LANE_HEIGHT,
      margin: 3,
      columns: [{title: "Worker", kind: "name"}, {title: [h("span", {class: "unseen"}, "Time"), this.axis], kind: "lane"}],
      draw: (row) => [laneName(row.item.key, row.item.entry), this.keptLane(row.item.key)],
      open: (row, target) => this.open(row, target),
    });
    this.element = h("div", {class: "stack"}, h("div", {class: "tools"}, tools, legend()), this.list.element);
    this.list.element.addEventListener("keydown", (event) => this.pressed(event));
    this.list.element.addEventListener("pointerover", tellTitle);
    new ResizeObserver(() => this.resized()).observe(this.list.element);
  }

  pressed(event) {
    const acts = {"+": () => this.zoom(0.5), "-": () => this.zoom(2), ArrowRight: () => this.move(0.25), ArrowLeft: () => this.move(-0.25), 0: () => this.show(0, 1)};
    if (event.ctrlKey || event.metaKey || event.altKey || !(event.key in acts)) return;
    acts[event.key]();
    event.preventDefault();
  }

  open(row, target) {
    const call = target.closest("[data-call]");
    if (call === null) go(addressOf("tree", row.item.key));
    else go(addressOf(call.getAttribute("data-part"), this.keys[Number(call.getAttribute("data-at"))] || row.item.key));
  }

  zoom(by) {
    const middle = (this.window[0] + this.window[1]) / 2;
    const half = ((this.window[1] - this.window[0]) * by) / 2;
    this.show(middle - half, middle + half);
  }

  move(by) {
    const shift = (this.window[1] - this.window[0]) * by;
    this.show(this.window[0] + shift, this.window[1] + shift);
  }

  show(from, to) {
    const size = Math.min(1, Math.max(to - from, 1e-5));
    const start = Math.min(Math.max(from, 0), 1 - size);
    this.window = [start, start + size];
    this.scale();
    this.list.drawRows();
  }

  resized() {
    if (this.list.heads.offsetWidth === this.measured) return;
    this.measured = this.list.heads.offsetWidth;
    this.scale();
    this.list.drawRows();
  }

  scale() {
    const length = endOfRun() - run.head.started_at;
    const [from, to] = this.window.map((part) => run.head.started_at + part * length);
    this.width = Math.max(120, (this.axis.parentElement ? this.axis.parentElement.clientWidth : 800));
    this.times = new TimeScale(from, to, stopsOfRun(), this.width, LANE_MARGIN);
    const picture = drawn("svg", {width: this.width, height: 20, "aria-hidden": "true"});
    for (const [x, seconds] of this.times.ticks(this.width / 110)) {
      if (x > this.width - 40) break;
      picture.append(drawn("line", {x1: x, x2: x, y1: 14, y2: 20, class: "tick"}), drawn("text", {x: x + 3, y: 13, class: "mark"}, tickText(seconds)));
    }
    this.axis.replaceChildren(picture);
  }

  update() {
    this.scale();
    this.keys = once("keys of lanes", () => [...run.calls.keys(), ...run.tools.keys()]);
    this.places = once("places of keys", () => new Map(this.keys.map((key, at) => [key, at])));
    const active = this.list.rows[this.list.active];
    const keep = new Set(isOn(filterNow) ? selectedSpans() : []);
    const rows = [];
    for (const [key, entry] of run.spans) {
      const parts = under(key);
      if (!parts.calls.length && !parts.tools.length && !parts.checks.length && entry.kind === "part") continue;
      if (!isOn(filterNow) || keep.has(key)) rows.push({key: rowKey("span", key), item: {kind: "span", key, entry}});
    }
    this.list.set(rows, active ? active.key : undefined);
    if (this.list.active < 0 && rows.length) this.list.active = 0;
  }

  reveal(kind, key) {
    const at = this.list.rows.findIndex((row) => row.key === rowKey(kind, key));
    if (at >= 0) this.list.center(at);
  }

  // A lane is drawn once for each scale and state of the data: a filter only chooses among them.
  keptLane(path) {
    const scale = `${this.width} ${this.window}`;
    const kept = once("lanes", () => ({scale, lanes: new Map()}));
    if (kept.scale !== scale) Object.assign(kept, {scale, lanes: new Map()});
    if (!kept.lanes.has(path)) kept.lanes.set(path, this.lane(path));
    return kept.lanes.get(path);
  }

  lane(path) {
    const parts = under(path);
    const times = this.times;
    const picture = drawn("svg", {width: this.width, height: LANE_HEIGHT - 2, role: "img", "aria-label": laneWords(path)});
    const inSight = (from, to) => to >= times.from && from <= times.to;
    for (const wait of waitsOf(path)) {
      if (!inSight(wait.from_at, wait.to_at)) continue;
      const left = times.x(wait.from_at);
      picture.append(rect(left, 3, times.x(wait.to_at) - left, 26, `wait ${wait.reason === "stopped" ? "stopped" : "held"}`, {}, () => `${WAIT_WORDS.get(wait.reason) || `waits: ${cutLine(wait.reason, 60)}`}, ${secondsText(wait.to_at - wait.from_at)}`));
    }
    let drawnTo = -1;
    for (const key of parts.calls) drawnTo = this.call(picture, key, run.calls.get(key), drawnTo, inSight);
    drawnTo = -1;
    for (const key of parts.tools) drawnTo = this.tool(picture, key, run.tools.get(key), drawnTo, inSight);
    for (const key of parts.checks) this.check(picture, run.checks.get(key), inSight);
    let named = -Infinity;
    for (const key of parts.rungs) named = this.rung(picture, run.rungs.get(key), named, inSight);
    return picture;
  }

  // Calls that would cover each other are drawn once; a failed attempt always is.
  call(picture, key, call, drawnTo, inSight) {
    for (const attempt of call.attempts) {
      const end = endOfAttempt(attempt);
      if (!inSight(attempt.at, end)) continue;
      const left = this.times.x(attempt.at);
      const right = this.times.x(end);
      const failed = attempt.outcome === "failed";
      if (right < drawnTo + 1 && !failed) continue;
      drawnTo = Math.max(right, left + 1.5);
      const told = () => `call ${call.number + 1}, ${cutLine(call.purpose, 30)}, ${cutLine(attempt.model, 60)}: ${cutLine(outcomeOf(attempt), 20)} ${cutLine(attempt.error, 60)} ${secondsText(end - attempt.at)}, ${dollars(attempt.usd)}`;
      const kind = failed ? "failed" : attempt.outcome === "open" ? "open" : PURPOSE_KINDS.get(call.purpose) || "other";
      picture.append(rect(left, 4, right - left, 13, `call ${kind}`, {"data-call": "", "data-part": "calls", "data-at": this.places.get(key)}, told));
      if (failed) picture.append(drawn("text", {x: left + 1, y: 15, class: "sign bad", "aria-hidden": "true"}, "✗"));
    }
    return drawnTo;
  }

  tool(picture, key, tool, drawnTo, inSight) {
    const from = tool.started_at;
    const to = from + (tool.seconds || 0);
    if (typeof from !== "number" || !inSight(from, to)) return drawnTo;
    const left = this.times.x(from);
    const right = Math.max(this.times.x(to), left + 1.5);
    if (right < drawnTo + 1 && tool.status !== "failed") return drawnTo;
    const told = () => `${cutLine(tool.name, 64)} ${cutLine(tool.subject, 100)}: ${cutLine(tool.status, 20)}, ${secondsText(tool.seconds)}`;
    picture.append(rect(left, 20, right - left, 8, `ran ${tool.status === "failed" ? "failed" : ""}`, {"data-call": "", "data-part": "tools", "data-at": this.places.get(key)}, told));
    if (tool.status === "failed") picture.append(drawn("text", {x: right + 2, y: 29, class: "sign bad", "aria-hidden": "true"}, "✗"));
    return right;
  }

  check(picture, check, inSight) {
    const at = check.started_at + check.seconds;
    if (!inSight(check.started_at, at)) return;
    const word = passedWord(check.passed);
    const sign = {passed: "✓", failed: "✗", unclear: "?"}[word];
    picture.append(drawn("g", {}, drawn("circle", {cx: this.times.x(at), cy: 16, r: 7, class: `checked ${word}`}), drawn("text", {x: this.times.x(at), y: 20, "text-anchor": "middle", class: "sign inner"}, sign), drawn("title", {}, `check ${cutLine(check.by.join(", "), 80)}: ${word}`)));
  }

  // Gives where the last name ends: a rung beside it gets only its line.
  rung(picture, rung, named, inSight) {
    if (!inSight(rung.at, rung.at)) return named;
    const x = this.times.x(rung.at);
    const hasRoom = x > named;
    picture.append(drawn("g", {}, drawn("line", {x1: x, x2: x, y1: 0, y2: LANE_HEIGHT - 2, class: "rung"}), hasRoom ? drawn("text", {x: x + 3, y: 30, class: "mark rung"}, cutLine(rung.rung || "no further rung", 24)) : null, drawn("title", {}, `rung ${cutLine(rung.rung, 40)}, ${cutLine(rung.model, 60)}`)));
    return hasRoom ? x + 7 * (rung.rung || "no further rung").length : named;
  }
}

function waitsOf(path) {
  const all = once("waits", () => {
    const found = new Map();
    for (const wait of run.waits.values()) {
      if (!found.has(wait.span)) found.set(wait.span, []);
      found.get(wait.span).push(wait);
    }
    return found;
  });
  return [...(all.get("") || []), ...(path ? all.get(path) || [] : [])];
}

function laneName(path, span) {
  return h("span", {class: "named"}, h("bdi", {}, longName(path)), " ", state(span.status), " ", usd(`spans[${path}].usd`, span.usd));
}

function laneWords(path) {
  const parts = under(path);
  const failed = parts.calls.flatMap((key) => run.calls.get(key).attempts).filter((attempt) => attempt.outcome === "failed").length;
  return `${plural(parts.calls.length, "call")}, ${plural(failed, "failed attempt")}, ${plural(parts.tools.length, "tool call")}, ${plural(parts.checks.length, "check")}, ${plural(waitsOf(path).length, "wait")}`;
}

function selectedSpans() {
  const found = new Set();
  for (const [name, kind] of [["spans", "span"], ["calls", "call"], ["tools", "tool"], ["checks", "check"], ["rungs", "rung"]]) {
    for (const [key, entry] of run[name]) if (matches(filterNow, kind, key, entry)) found.add(kind === "span" ? key : entry.span);
  }
  return found;
}

// Patterns for what must not be told by its colour alone; made once for all pictures.
function patterns() {
  const made = ["hatch", "doubt"].map((id) =>
    drawn(
      "pattern",
      {id, width: 5, height: 5, patternUnits: "userSpaceOnUse", patternTransform: id === "hatch" ? "rotate(45)" : "rotate(-45)"},
      drawn("line", {x1: 0, x2: 0, y1: 0, y2: 5, class: id === "hatch" ? "hatched" : "hatched doubt"}),
    ),
  );
  return drawn("svg", {class: "unseen", width: 0, height: 0, "aria-hidden": "true"}, drawn("defs", {}, made));
}

function legend() {
  const entry = (kind, y, height, word, sign) =>
    h("span", {class: "entry"}, drawn("svg", {width: 18, height: 14, "aria-hidden": "true"}, rect(1, y, 16, height, kind, {}), sign ? drawn("text", {x: 4, y: 12, class: "sign bad"}, sign) : null), ` ${word}`);
  return h(
    "span", {class: "legend"},
    entry("call work", 1, 12, "call"), entry("call lens", 1, 12, "lens"), entry("call check", 1, 12, "asks for a check"), entry("call other", 1, 12, "other call"), entry("call failed", 1, 12, "failed attempt", "✗"),
    entry("ran", 3, 8, "tool"), entry("wait held", 1, 12, "wait"), h("span", {class: "entry"}, "✓ ✗ ? check"), h("span", {class: "entry"}, "│ rung"),
  );
}

// Money over time: what is settled, unconfirmed, reserved, and kept for closing calls, one upon the other.

const BANDS = [
  ["settled_usd", "settled", "settled"], ["unconfirmed_usd", "unconfirmed", "unconfirmed: may be billed"],
  ["reserved_usd", "reserved", "reserved for calls under way"], ["closing_usd", "closing", "kept for closing calls"],
];
const CHART_HEIGHT = 300;
const LEFT = 70;
const FAR_CAP = 8;
const MOST_PLACES_DRAWN = 20;

class MoneyView {
  constructor() {
    this.picture = h("div", {class: "chart"});
    this.told = h("p", {class: "readout", "aria-live": "polite"});
    this.chart = h("div", {class: "chart frame", tabindex: "0", role: "group", "aria-label": "Money over time. Left and right step through the moments."}, this.picture);
    this.chart.addEventListener("keydown", (event) => this.pressed(event));
    this.chart.addEventListener("pointermove", (event) => this.pointed(event));
    const keys = BANDS.map(([, kind, words]) => h("span", {class: "entry"}, drawn("svg", {width: 18, height: 14, "aria-hidden": "true"}, rect(1, 1, 16, 12, `band ${kind}`, {})), ` ${words}`));
    this.facts = h("div", {});
    this.element = h("div", {class: "document"}, h("h2", {}, "Money over time"), h("p", {class: "legend"}, keys, h("span", {class: "entry"}, "╌ cap")), this.chart, this.told, this.facts);
    new ResizeObserver(() => this.chart.clientWidth !== this.measured && this.update()).observe(this.chart);
  }

  update() {
    this.measured = this.chart.clientWidth;
    const points = moneyPoints();
    this.points = points;
    if (!points.length) {
      this.picture.replaceChildren(h("p", {class: "faint"}, "No record changed an amount."));
      return;
    }
    const width = Math.max(260, (this.chart.clientWidth || 900) - 2);
    const heights = once("heights", () => points.map((point) => heightsOf(point)));
    const cap = run.cost.cap_usd === null ? null : lengthOf(run.cost.cap_usd);
    const top = highest(heights);
    const isNear = cap !== null && (cap <= top * FAR_CAP || top === 0);
    const most = (isNear ? Math.max(cap, top) : top) * 1.08 || 1;
    this.times = new TimeScale(points[0].at, Math.max(endOfRun(), points[points.length - 1].at), stopsOfRun(), width - LEFT - 12);
    const y = (amount) => CHART_HEIGHT - 24 - (amount / most) * (CHART_HEIGHT - 40);
    const svg = drawn("svg", {width, height: CHART_HEIGHT, role: "img", "aria-label": `Money over time: ${dollars(run.cost.usd)} settled in the end, cap ${run.cost.cap_usd === null ? "none" : dollars(run.cost.cap_usd)}`});
    this.drawAxes(svg, width, most, y);
    BANDS.forEach(([, kind], band) => svg.append(drawn("path", {d: this.bandPath(heights, band, y), class: `band ${kind}`})));
    if (isNear) svg.append(drawn("line", {x1: LEFT, x2: width - 12, y1: y(cap), y2: y(cap), class: "cap"}), drawn("text", {x: LEFT + 4, y: y(cap) - 5, class: "mark"}, `cap ${dollars(run.cost.cap_usd)}`));
    else if (cap !== null) svg.append(drawn("text", {x: LEFT + 4, y: 11, class: "mark"}, `↑ the cap of ${dollars(run.cost.cap_usd)} is far above`));
    this.cursor = drawn("line", {y1: 8, y2: CHART_HEIGHT - 24, class: "cursor"});
    svg.append(this.cursor);
    this.picture.replaceChildren(svg);
    this.tell(Math.min(this.at ?? points.length - 1, points.length - 1));
    this.facts.replaceChildren(this.list());
  }

  drawAxes(svg, width, most, y) {
    const power = 10 ** Math.floor(Math.log10(most / 4));
    const step = [1, 2, 5, 10].map((part) => part * power).find((one) => most / one <= 5) || most / 4;
    const places = Math.min(Math.max(2, -Math.floor(Math.log10(step))), MOST_PLACES_DRAWN);
    for (let amount = 0; amount <= most; amount += step) {
      svg.append(drawn("line", {x1: LEFT, x2: width - 12, y1: y(amount), y2: y(amount), class: "grid"}), drawn("text", {x: LEFT - 6, y: y(amount) + 4, "text-anchor": "end", class: "mark"}, `$${amount.toFixed(places)}`));
    }
    for (const [x, seconds] of this.times.ticks(Math.max(2, width / 130))) {
      if (LEFT + x > width - 34) break;
      svg.append(drawn("text", {x: LEFT + x, y: CHART_HEIGHT - 6, "text-anchor": "middle", class: "mark"}, tickText(seconds)));
    }
  }

  // Steps, one for each pixel column at most: of the points within one, the highest is drawn.
  bandPath(heights, band, y) {
    const upper = [];
    const lower = [];
    for (const at of this.columns(heights)) {
      const x = (LEFT + this.times.x(this.points[at].at)).toFixed(1);
      upper.push([x, y(heights[at][band + 1]).toFixed(1)]);
      lower.push([x, y(heights[at][band]).toFixed(1)]);
    }
    const end = (LEFT + this.times.x(this.times.to)).toFixed(1);
    const steps = (line) => line.map(([x, height], at) => (at ? `H${x}V${height}` : `${x},${height}`)).join("") + `H${end}`;
    const back = [];
    for (let at = lower.length - 1; at >= 0; at--) back.push(`V${lower[at][1]}H${lower[at][0]}`);
    return `M${steps(upper)}${back.join("")}Z`;
  }

  columns(heights) {
    if (this.drawnPoints === this.points && this.drawnWidth === this.measured) return this.chosen;
    const best = new Map();
    const total = (at) => heights[at][BANDS.length];
    this.points.forEach((point, at) => {
      const column = Math.round(this.times.x(point.at) * 2);
      const there = best.get(column);
      if (there === undefined || total(at) >= total(there)) best.set(column, at);
    });
    Object.assign(this, {drawnPoints: this.points, drawnWidth: this.measured, chosen: [...new Set([...best.values(), this.points.length - 1])].sort((a, b) => a - b)});
    return this.chosen;
  }

  pressed(event) {
    const steps = {ArrowLeft: -1, ArrowRight: 1, Home: -Infinity, End: Infinity, PageUp: -20, PageDown: 20};
    if (!(event.key in steps) || !this.points.length) return;
    this.tell(Math.min(Math.max(this.at + steps[event.key], 0), this.points.length - 1));
    event.preventDefault();
  }

  pointed(event) {
    const x = event.clientX - this.picture.getBoundingClientRect().left - LEFT;
    let low = 0;
    let high = this.points.length - 1;
    while (low < high) {
      const middle = Math.ceil((low + high) / 2);
      if (this.times.x(this.points[middle].at) <= x) low = middle;
      else high = middle - 1;
    }
    if (this.points.length) this.tell(low);
  }

  tell(at) {
    this.at = at;
    const point = this.points[at];
    const x = LEFT + this.times.x(point.at);
    this.cursor.setAttribute("x1", String(x));
    this.cursor.setAttribute("x2", String(x));
    const parts = BANDS.map(([name, , words], place) => [place ? " · " : ": ", usd(`${point.path}.${name}`, point[name]), ` ${words}`]);
    this.told.replaceChildren();
    append(this.told, [since(`${point.path}.at`, point.at), parts]);
  }

  list() {
    const [cost, last] = [run.cost, this.points.length];
    return listed([
      ["Settled", usd("cost.usd", cost.usd)], ["Unconfirmed", usd("cost.unconfirmed_usd", cost.unconfirmed_usd)], ["Reserved now", usd("cost.reserved_usd", cost.reserved_usd)],
      ["Kept for closing", cost.closing_usd === null ? "not recorded by this version" : usd("cost.closing_usd", cost.closing_usd)], ["Cap", cost.cap_usd === null ? "none" : usd("cost.cap_usd", cost.cap_usd)], ["Drawn from", plural(last, "record")],
    ]);
  }
}

// Where the bands of a moment begin and end, from the lowest to the top of all.
function heightsOf(point) {
  const found = [0];
  for (const [name] of BANDS) found.push(found[found.length - 1] + lengthOf(point[name]));
  return found;
}

function highest(heights) {
  return heights.reduce((most, bounds) => Math.max(most, bounds[BANDS.length]), 0);
}
