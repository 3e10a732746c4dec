// What stands beside a list: one span, one call, or one tool.

function detailFor(view, key) {
  if (view === "calls" && run.calls.has(key)) return callDetail(key, run.calls.get(key));
  if (view === "tools" && run.tools.has(key)) return toolDetail(key, run.tools.get(key));
  if ((view === "tree" || view === "time") && run.spans.has(key)) return spanDetail(key, run.spans.get(key));
  if (!key) return null;
  return [h("h2", {tabindex: "-1"}, "Not in this page"), h("p", {}, `The data has nothing under ${cutLine(key, 200)}.`)];
}

function part(title, ...children) {
  const there = children.flat(Infinity).filter((child) => child !== null && child !== undefined && child !== false);
  return there.length ? h("section", {}, h("h3", {}, title), there) : null;
}

function crumbs(path) {
  const found = [];
  const seen = new Set();
  for (let at = path; run.spans.has(at) && !seen.has(at); at = run.spans.get(at).parent) {
    seen.add(at);
    found.unshift(at);
  }
  return h("p", {class: "crumbs"}, found.map((at, place) => [place ? " › " : "", spanLink(at)]));
}

function tokensLine(path, tokens) {
  if (!tokens) return "not reported";
  const parts = [
    number(`${path}.input`, tokens.input), " in (", number(`${path}.cache_write`, tokens.cache_write), " cache written, ",
    number(`${path}.cache_read`, tokens.cache_read), " cache read), ", number(`${path}.output`, tokens.output), " out",
  ];
  return tokens.reasoning ? [...parts, " (", number(`${path}.reasoning`, tokens.reasoning), " thinking)"] : parts;
}

function uncertain(path, amount) {
  const known = decimalOf(amount);
  if (known !== null && known.units === 0n) return null;
  return ["up to ", usd(path, amount), " more: attempts whose usage is not known"];
}

function spanDetail(key, span) {
  const path = `spans[${key}]`;
  const verified = span.verified === null && !span.verdict ? null : [state(passedWord(span.verified)), " ", span.verdict];
  const parts = under(key);
  return [
    crumbs(span.parent),
    h("h2", {tabindex: "-1"}, h("bdi", {}, spanName(key)), " ", state(span.status)),
    listed([
      ["Why it ended", span.stop_reason && cutLine(span.stop_reason, 80)],
      ["Checked", verified],
      ["Cost", [usd(`${path}.usd`, span.usd), " with all below"]],
      ["Unconfirmed", uncertain(`${path}.unconfirmed_usd`, span.unconfirmed_usd)],
      ["Calls", [number(`${path}.calls`, span.calls), span.failures ? ", " : "", span.failures ? [number(`${path}.failures`, span.failures), " failed"] : ""]],
      ["Tokens", tokensLine(`${path}.tokens`, span.tokens)],
      ["Time", [duration(`${path}.seconds`, span.seconds), ", began ", since(`${path}.started_at`, span.started_at)]],
      ["Model", cutLine(span.model, 80)],
    ]),
    textBlock(span.error, "Error"),
    part("What was tried", triedTable(key, parts)),
    part("Conflicts", span.conflicts.map((id, at) => textBlock(id, `Conflict ${at + 1}`))),
    part("Unresolved", span.unresolved.map((id, at) => textBlock(id, `Unresolved ${at + 1}`))),
    textBlock(span.task, "Task"),
    textBlock(span.report, "Report"),
    part("Files", span.files.length ? h("ul", {}, span.files.slice(0, 200).map((file) => h("li", {}, linkTo("files", file, cutLine(file, 200))))) : null),
    part("Workers below", parts.spans.length ? h("ul", {}, parts.spans.slice(0, 200).map((one) => h("li", {}, spanLink(one), " ", state(run.spans.get(one).status), " ", usd(`spans[${one}].usd`, run.spans.get(one).usd)))) : null),
  ];
}

const MOST_TRIED = 300;

// All that a span did itself, in the order of time: attempts, tools, checks and rungs.
function triedTable(path, parts) {
  const rows = [];
  for (const key of parts.rungs) {
    const rung = run.rungs.get(key);
    const cost = [usd(`rungs[${key}].usd`, rung.usd), rung.expected_usd === null ? null : [", expected ", usd(`rungs[${key}].expected_usd`, rung.expected_usd)]];
    rows.push([rung.at, `rungs[${key}].at`, ["rung ", cutLine(rung.rung || "none further", 40)], [cutLine(rung.model, 60), " ", lineOf(rung.reason, 300)], null, cost]);
  }
  for (const key of parts.calls) {
    const call = run.calls.get(key);
    rows.push([call.started_at, `calls[${key}].started_at`, linkTo("calls", key, `call ${call.number + 1}`), [cutLine(call.purpose, 30), " ", callRemark(call)], state(call.status), usd(`calls[${key}].usd`, call.usd)]);
  }
  for (const key of parts.tools) {
    const tool = run.tools.get(key);
    rows.push([tool.started_at, `tools[${key}].started_at`, linkTo("tools", key, cutLine(tool.name, 64)), tool.status === "failed" ? lineOf(tool.result, 200) : cutLine(tool.subject, 200), state(tool.status), null]);
  }
  for (const key of parts.checks) {
    const check = run.checks.get(key);
    rows.push([check.started_at, `checks[${key}].started_at`, ["check ", linkTo("checks", path, cutLine(check.by.join(", "), 80))], lineOf(check.evidence, 200), state(passedWord(check.passed)), usd(`checks[${key}].usd`, check.usd)]);
  }
  if (!rows.length) return null;
  rows.sort((a, b) => (a[0] ?? Infinity) - (b[0] ?? Infinity));
  const shown = rows.slice(0, MOST_TRIED).map(([at, where, ...cells]) => [since(where, at), ...cells]);
  const more = rows.length > MOST_TRIED ? h("p", {class: "faint"}, `${counted(rows.length - MOST_TRIED)} more are in the tree.`) : null;
  return [table("In the order of time; cost without workers below", ["When", "What", "About it", "State", ">Cost"], shown), more];
}

const PAID_BEFORE = new Map([["kept", "paid for by another run"], ["remembered", "nothing: an earlier run had kept the answer"]]);

function callDetail(key, call) {
  const path = `calls[${key}]`;
  return [
    crumbs(call.span),
    h("h2", {tabindex: "-1"}, `Call ${call.number + 1} of `, h("bdi", {}, spanName(call.span)), " ", state(call.status)),
    neighbours(key, call),
    listed([
      ["Purpose", [cutLine(call.purpose, 40), call.rung ? [", rung ", cutLine(call.rung, 40)] : ""]],
      ["Model", [cutLine(call.model, 100), call.provider ? ` at ${cutLine(call.provider, 60)}` : ""]],
      ["Cost", PAID_BEFORE.get(call.status) || usd(`${path}.usd`, call.usd)],
      ["Unconfirmed", uncertain(`${path}.unconfirmed_usd`, call.unconfirmed_usd)],
      ["Tokens", tokensLine(`${path}.tokens`, call.tokens)],
      ["Time", call.status === "refused" ? "it was not sent" : [duration(`${path}.seconds`, call.seconds), ", began ", since(`${path}.started_at`, call.started_at)]],
      ["Ended with", cutLine(call.stop, 80)],
    ]),
    textBlock(call.refusal, "Why it was refused"),
    part("The sum", sumTable(path, call)),
    part("Attempts", attemptsTable(path, call)),
    textBlock(call.thinking, "Thinking"),
    textBlock(call.answer, "Answer"),
    part("Tools that it called", call.asked_for.map((one) => (run.tools.has(one) ? toolBlock(one, run.tools.get(one)) : null))),
    requestPart(key),
  ];
}

function neighbours(key, call) {
  const keys = under(call.span).calls;
  const at = keys.indexOf(key);
  const link = (to, word) => (keys[to] ? linkTo("calls", keys[to], word) : null);
  return h("p", {class: "crumbs"}, link(at - 1, "‹ call before"), at > 0 && at + 1 < keys.length ? " · " : "", link(at + 1, "call after ›"));
}

function sumTable(path, call) {
  if (!call.sum.length) return null;
  const rows = call.sum.map((line, at) => [
    cutLine(line.what, 60), number(`${path}.sum[${at}].tokens`, line.tokens), ["× ", usd(`${path}.sum[${at}].usd_per_million`, line.usd_per_million), " a million"],
    ["= ", exactFigure(`${path}.sum[${at}].usd`, line.usd)],
  ]);
  rows.push(["Booked", "", "", ["= ", exactFigure(`${path}.usd`, call.usd)]]);
  return table("Tokens by price", ["Kind", ">Tokens", ">Price", ">Dollars"], rows);
}

function exactFigure(path, amount) {
  const exact = exactUsd(amount);
  return figure(path, exact, exact ? `$${exact}` : "unknown");
}

function attemptsTable(path, call) {
  if (!call.attempts.length) return null;
  const rows = call.attempts.map((attempt, at) => {
    const own = `${path}.attempts[${at}]`;
    return [
      number(`${own}.number`, attempt.number), since(`${own}.at`, attempt.at), cutLine(attempt.model, 60),
      [state(outcomeOf(attempt)), " ", cutLine(attempt.error, 60), " ", lineOf(attempt.detail, 300)],
      usd(`${own}.reserved_usd`, attempt.reserved_usd), number(`${own}.reserved_tokens`, attempt.reserved_tokens), cutLine(attempt.bound, 80),
      [usd(`${own}.usd`, attempt.usd), " ", uncertain(`${own}.unconfirmed_usd`, attempt.unconfirmed_usd)],
    ];
  });
  return table("Each try, with what was reserved for it", [">No.", "When", "Model", "Outcome", ">Reserved", ">Tokens", "Bound by", ">Cost"], rows);
}

function toolBlock(key, tool) {
  const path = `tools[${key}]`;
  const code = tool.exit_code === null || tool.exit_code === undefined ? null : [", exit code ", number(`${path}.exit_code`, tool.exit_code)];
  return h(
    "div", {class: "tool"},
    h("div", {class: "title"}, linkTo("tools", key, cutLine(tool.name, 64)), " ", state(tool.status), " ", duration(`${path}.seconds`, tool.seconds), code),
    h("p", {class: "faint"}, cutLine(tool.subject, 200)),
    textBlock(tool.arguments, "Arguments"),
    textBlock(tool.result, "Result"),
  );
}

function toolDetail(key, tool) {
  const caller = once("callers", () => {
    const found = new Map();
    for (const [call, entry] of run.calls) for (const one of entry.asked_for) found.set(one, call);
    return found;
  }).get(key);
  return [
    crumbs(tool.span),
    h("h2", {tabindex: "-1"}, "Tool ", h("bdi", {}, cutLine(tool.name, 64)), " ", state(tool.status)),
    listed([
      ["Called by", caller === undefined ? null : callLink(caller)],
      ["Turn", [number(`tools[${key}].turn`, tool.turn)]],
      ["Time", [duration(`tools[${key}].seconds`, tool.seconds), ", began ", since(`tools[${key}].started_at`, tool.started_at)]],
      ["Files", tool.files.length ? tool.files.slice(0, 100).map((file, at) => [at ? ", " : "", linkTo("files", file, cutLine(file, 200))]) : null],
    ]),
    toolBlock(key, tool),
  ];
}

// The request as it was sent: messages that an earlier request had already come from there.

function messagesOf(key) {
  const chain = [];
  const seen = new Set();
  for (let at = key; requests.sent.has(at) && !seen.has(at); at = requests.sent.get(at).goes_on) {
    seen.add(at);
    chain.unshift(requests.sent.get(at));
  }
  let messages = [];
  for (const sent of chain) messages = [...messages.slice(0, sent.kept), ...sent.messages];
  return messages;
}

function requestPart(key) {
  readRequests();
  const sent = requests.sent.get(key);
  if (!sent) {
    if (liveAddress === "") return requests.whole ? part("Request", h("p", {}, requests.whole.missing || "The request of this call is not in the page.")) : null;
    const place = h("section", {}, h("h3", {}, "Request"), h("p", {class: "faint"}, "It is being made again from the journal …"));
    fetchRequest(key, place);
    return place;
  }
  const all = h("details", {}, h("summary", {}, h("span", {}, `Show it: ${plural(messagesOf(key).length, "message")}`)));
  all.addEventListener("toggle", () => all.open && all.childElementCount === 1 && append(all, requestBlocks(key, sent)));
  const wrong = sent.agrees ? null : h("p", {class: "told"}, "This is not exactly what was sent: its digest is not the one that was recorded.");
  return part("Request", wrong, all);
}

function requestBlocks(key, sent) {
  return [
    listed(sent.settings.map(([name, value]) => [cutLine(name, 60), cutLine(value, 200)])),
    sent.system.map((id, at) => textBlock(id, `System ${at + 1}`)),
    messagesOf(key).map((message) => message.parts.map(([kind, id]) => textBlock(id, `${cutLine(message.role, 30)}: ${cutLine(kind, 80)}`))),
    textBlock(sent.tools, "Tools"),
    textBlock(sent.schema, "Schema of the answer"),
  ];
}

// Questions on the way, by the key of the call: each plays the run again, and the details may be drawn again
// before it is answered.
const asking = new Map();

function askForRequest(key) {
  if (!asking.has(key)) {
    const answer = fetch(`${liveAddress}request?call=${encodeURIComponent(key)}`).then((given) => (given.ok ? given.json() : {}));
    asking.set(key, answer.finally(() => asking.delete(key)));
  }
  return asking.get(key);
}

async function fetchRequest(key, place) {
  try {
    const given = await askForRequest(key);
    for (const [name, one] of Object.entries(given.sent || {})) requests.sent.set(name, one);
    for (const [id, text] of Object.entries(given.texts || {})) requests.texts.set(id, text);
    if (requests.sent.has(key)) place.replaceWith(requestPart(key));
    else place.lastChild.textContent = given.missing || "The request cannot be made again.";
  } catch {
    place.lastChild.textContent = "The program that serves this page does not answer.";
  }
}
