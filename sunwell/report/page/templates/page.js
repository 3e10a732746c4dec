// The frame: views, address, filter, keys, theme, and the changes of a run that goes on.

const VIEWS = new Map([
  ["summary", ["Summary", () => documentView(summary)]], ["tree", ["Tree", () => new TreeView()]], ["time", ["Time line", () => new TimeView()]],
  ["money", ["Money", () => new MoneyView()]], ["cost", ["Cost", () => documentView(costs)]], ["cache", ["Cache", () => documentView(cache)]],
  ["lens", ["Lens", () => documentView(lenses)]], ["checks", ["Checks", () => documentView(checks)]], ["files", ["Files", () => documentView(files)]],
  ["calls", ["Calls", () => new CallsView()]], ["journal", ["Journal", () => documentView(journal)]],
]);
const SPLIT = new Set(["tree", "time", "calls"]);
const POLL_MILLISECONDS = 1000;
const KEYS = [
  ["/", "go to the filter"], ["j k or ↓ ↑", "move in a list"], ["← →", "close and open a branch; move in the time line"], ["+ − 0", "zoom the time line"],
  ["Enter", "open what is active"], ["Escape", "close what is open, or empty the filter"], ["[ ]", "view before, view after"], ["t", "dark or light"], ["?", "these keys"],
];

let filterNow = parseFilter("");
let shownView = "";
let view = null;
let shownDetail = "";
const liveAddress = document.documentElement.getAttribute("data-live") || "";

function go(address) {
  if (location.hash === address) show();
  else location.hash = address;
}

function show() {
  const address = readAddress();
  const keeps = address.key && SPLIT.has(shownView) && ["tree", "calls", "tools"].includes(address.view);
  const wanted = keeps ? shownView : address.view === "tools" ? "tree" : address.view;
  const name = VIEWS.has(wanted) ? wanted : "summary";
  if (name !== shownView) {
    shownView = name;
    view = VIEWS.get(name)[1]();
    byId("view").replaceChildren(view.element);
    byId("view").className = SPLIT.has(name) ? "pane list" : "pane";
    view.update();
    byId("main").scrollTop = 0;
  } else if (!SPLIT.has(name)) view.update();
  for (const link of byId("views").querySelectorAll("a")) {
    if (link.getAttribute("href") === `#${name}`) link.setAttribute("aria-current", "page");
    else link.removeAttribute("aria-current");
  }
  document.title = `${VIEWS.get(name)[0]} · ${visible(cutLine(run.head.run_id, 40))} · Sunwell`;
  showDetail(name, address);
}

function showDetail(name, address) {
  const key = SPLIT.has(name) ? address.key : "";
  const detail = byId("detail");
  const made = key ? detailFor(address.view, key) : null;
  const label = key ? `${address.view} ${key}` : "";
  const isNew = label !== shownDetail;
  shownDetail = label;
  byId("main").classList.toggle("has-detail", made !== null);
  detail.hidden = made === null;
  detail.replaceChildren();
  if (made === null) return;
  append(detail, [button("✕ Close", closeDetail, {class: "small close"}), made]);
  if (!isNew) return;
  detail.scrollTop = 0;
  const kind = {tree: "span", time: "span", calls: "call", tools: "tool"}[address.view];
  if (view.reveal && !isActive(kind, key)) view.reveal(kind, key);
  if (matchMedia("(max-width: 900px)").matches) detail.querySelector("h2").focus();
}

function isActive(kind, key) {
  const row = view.list.rows[view.list.active];
  return row !== undefined && row.key === rowKey(kind, key);
}

function closeDetail() {
  const list = view.list;
  go(`#${shownView}`);
  if (list) list.element.focus();
}

// The filter.

function filterChanged() {
  readFilter();
  tellSelection();
  view.update();
}

function tellSelection() {
  const told = byId("selection");
  told.replaceChildren();
  if (!isOn(filterNow)) return;
  const calls = selectedCalls();
  append(told, [`${counted(calls.length)} of ${plural(run.calls.size, "call")}, `, selectedUsd(addedUp(calls.map(([, call]) => call.usd)))]);
}

function hintsOfFilter() {
  const models = valuesOf("model").map((model) => `model:${quoteWord(model)}`);
  const purposes = valuesOf("purpose").map((purpose) => `purpose:${quoteWord(purpose)}`);
  const known = ["status:failed", "status:refused", ...models, ...purposes, "cost:>0.01", "tokens:>10000", "seconds:>30", "attempts:>1"];
  const words = ["Words are looked for in names and in texts. Write ", h("code", {}, '"words in quotes"'), " for those that belong together, ", h("code", {}, "-"), " before what is not wanted, and ", h("code", {}, "status:a,b"), " for either."];
  return {words, known};
}

function quoteWord(word) {
  return /^[\w.\-/]+$/.test(word) ? word : `"${word.replace(/"/g, "").slice(0, 200)}"`;
}

// Keys.

function pressed(event) {
  if (event.ctrlKey || event.metaKey || event.altKey) return;
  const inFilter = event.target === byId("filter");
  if (event.key === "Escape") escape(inFilter);
  else if (inFilter) {
    if (event.key !== "Enter" && event.key !== "ArrowDown") return;
    if (view.list) view.list.element.focus();
    else byId("main").focus();
  } else if (event.key === "/") byId("filter").focus();
  else if (event.key === "?") toggleKeys();
  else if (event.key === "t") changeTheme();
  else if (event.key === "[" || event.key === "]") step(event.key === "]" ? 1 : -1);
  else if ((event.key === "j" || event.key === "k") && view.list) {
    view.list.element.focus();
    view.list.pressed({key: event.key, target: view.list.element, preventDefault() {}, stopPropagation() {}});
  } else return;
  event.preventDefault();
}

function escape(inFilter) {
  if (!byId("keys").hidden) toggleKeys();
  else if (inFilter && byId("filter").value) {
    byId("filter").value = "";
    filterChanged();
  } else if (!byId("detail").hidden) closeDetail();
  else if (view.list) view.list.element.focus();
  else document.activeElement.blur();
}

function step(by) {
  const names = [...VIEWS.keys()];
  go(`#${names[(names.indexOf(shownView) + by + names.length) % names.length]}`);
}

function toggleKeys() {
  const box = byId("keys");
  box.hidden = !box.hidden;
  byId("keys-button").setAttribute("aria-expanded", String(!box.hidden));
  if (!box.hidden) box.focus();
}

// On paper: what is open, and all that is read from top to bottom, without the lists.
function preparePrint() {
  const made = [summary, costs, cache, lenses, checks, journal].map((make) => {
    const one = documentView(make);
    one.update();
    return one.element;
  });
  const {view: kind, key} = readAddress();
  const open = key ? detailFor(kind, key) : null;
  if (open !== null) made.unshift(h("div", {class: "document"}, open));
  byId("paper").replaceChildren(...made);
}

// A run that goes on: the page asks for what has changed since its version.

let version = 0;

async function poll() {
  let wait = POLL_MILLISECONDS;
  try {
    const answer = await fetch(`${liveAddress}changes?since=${version}`);
    if (!answer.ok) throw new Error(`answered with ${answer.status}`);
    const given = await answer.json();
    version = given.version;
    if (Object.keys(given.patch).length) changed(given.patch);
    byId("live").textContent = given.trouble ? `○ ${cutLine(given.trouble, 300)}` : run.head.status === "open" ? "● live" : "ended";
  } catch {
    byId("live").textContent = "○ no answer";
    wait *= 5;
  }
  setTimeout(poll, document.hidden ? wait * 5 : wait);
}

function changed(patch) {
  applyPatch(patch);
  drawHead();
  tellSelection();
  const main = byId("main");
  const detail = byId("detail");
  const places = [main.scrollTop, detail.scrollTop];
  const inDetail = detail.contains(document.activeElement);
  if (SPLIT.has(shownView) || !main.contains(document.activeElement) || document.activeElement === main) view.update();
  if (!detail.hidden && !inDetail && !detail.querySelector("details[open]")) showDetail(shownView, readAddress());
  [main.scrollTop, detail.scrollTop] = places;
}

function drawHead() {
  const {head, cost} = run;
  const title = byId("verdict");
  title.replaceChildren();
  const sign = head.verified === true ? "✓" : head.verified === false ? "✗" : "–";
  append(title, [h("span", {"aria-hidden": "true", class: `seal ${head.verified === true ? "good" : head.verified === false ? "bad" : "calm"}`}, sign), " ", cutLine(head.verdict || (head.status === "open" ? "no verdict yet: the run has not ended" : "no verdict"), 400)]);
  const facts = byId("facts");
  facts.replaceChildren();
  append(facts, [
    head.foreign ? h("span", {class: "warn"}, "! foreign: not started by you on this machine") : null,
    state(head.status), head.stop_reason === "end" ? null : h("span", {}, cutLine(head.stop_reason, 60)), h("span", {}, usd("cost.usd", cost.usd), cost.cap_usd === null ? "" : [" of ", usd("cost.cap_usd", cost.cap_usd)]),
    cost.alone && cost.alone.usd !== null ? h("span", {}, "smart model alone ", usd("cost.alone.usd", cost.alone.usd)) : null,
    cost.estimate && cost.estimate.expected_usd !== null ? h("span", {}, "estimated ", usd("cost.estimate.expected_usd", cost.estimate.expected_usd)) : null,
    h("span", {}, number("cost.calls", cost.calls), " calls"), h("span", {}, "paid twice ", number("cost.paid_twice", cost.paid_twice)), h("span", {}, duration("head.seconds", head.seconds)),
  ]);
}

function begin() {
  beginTheme();
  byId("keys-button").addEventListener("click", toggleKeys);
  append(byId("keys"), [h("h2", {}, "Keys"), listed(KEYS.map(([key, does]) => [key, does])), button("Close", toggleKeys, {class: "small"})]);
  append(byId("views"), [...VIEWS].map(([name, [title]]) => h("a", {href: `#${name}`}, title)));
  beginFilterBox(hintsOfFilter);
  document.addEventListener("keydown", pressed);
  addEventListener("hashchange", show);
  addEventListener("beforeprint", preparePrint);
  addEventListener("afterprint", () => byId("paper").replaceChildren());
  byId("frame").hidden = false;
  byId("frame").append(patterns());
  drawHead();
  show();
  document.documentElement.setAttribute("data-ready", "");
  if (liveAddress) {
    version = section("version") || 0;
    poll();
  }
}

begin();
