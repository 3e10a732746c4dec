// One filter for all lists: words, "words that belong together", key:value, and - before what is not wanted.

const WORD_KEYS = ["status", "model", "provider", "purpose", "tool", "span", "rung", "file", "error", "kind"];
const NUMBER_KEYS = ["cost", "tokens", "seconds", "attempts"];
const FAILED = new Set(["failed", "error", "refused", "incomplete", "cancelled", "killed"]);
const facts = new WeakMap();

function parseFilter(text) {
  const terms = [];
  const problems = [];
  for (const found of text.matchAll(/(-?)(?:([A-Za-z]+):)?(?:"([^"]*)("?)|(\S+))|(\S)/g)) {
    const [all, minus, key, quotedText, close, bare, stray] = found;
    const value = (quotedText === undefined ? bare || stray : quotedText).toLowerCase();
    if (quotedText !== undefined && !close) problems.push('A quote is open: end it with ".');
    const term = termOf(key === undefined ? "" : key.toLowerCase(), value, all, problems);
    if (term !== null) terms.push({...term, negative: minus === "-"});
  }
  for (const found of text.matchAll(/(?:^|\s)([A-Za-z]+):(?=\s|$)/g)) {
    problems.push(`After ${found[1]}: there is nothing to look for.`);
  }
  return {terms, problems, text: text.trim()};
}

function termOf(key, value, all, problems) {
  if (key === "") return /^[a-z]+:$/.test(value) ? null : {key: "words", value};
  if (WORD_KEYS.includes(key)) return {key, values: value.split(",").filter(Boolean)};
  if (NUMBER_KEYS.includes(key)) return numberTerm(key, value, problems);
  const near = [...WORD_KEYS, ...NUMBER_KEYS].find((known) => known.startsWith(key.slice(0, 2)));
  problems.push(`There is no ${cutLine(key, 30)}: here${near ? `; perhaps ${near}:` : ""}. In quotes, "${cutLine(all, 40)}" is words.`);
  return null;
}

function numberTerm(key, value, problems) {
  const found = /^(>=|<=|>|<|=)?\$?(\d+(?:\.\d+)?|\.\d+)$/.exec(value.replace(/,/g, ""));
  if (!found) {
    problems.push(`${key}: needs a number: write ${key}:>${key === "cost" ? "0.01" : "10"} or ${key}:<=5.`);
    return null;
  }
  return {key, sign: found[1] || "=", number: found[2]};
}

function holds(sign, order) {
  return {">": order > 0, "<": order < 0, ">=": order >= 0, "<=": order <= 0, "=": order === 0}[sign];
}

// What the filter looks at in an entry, made once for each.
function factsOf(kind, key, entry) {
  let made = facts.get(entry);
  if (made === undefined) {
    made = MAKERS[kind](entry, key);
    made.kind = kind;
    made.span ||= entry.span || "";
    made.words = [key, kind, ...made.names].join("\n").toLowerCase();
    facts.set(entry, made);
  }
  return made;
}

function tokensOf(tokens) {
  return tokens ? tokens.input + tokens.output : null;
}

const MAKERS = {
  span: (span, key) => ({
    status: [span.status, span.verified === false ? "failed" : "", span.verified === true ? "passed" : ""],
    model: span.model, span: key, cost: span.usd, tokens: tokensOf(span.tokens), seconds: span.seconds,
    file: span.files, error: span.stop_reason, errorText: span.error,
    names: [span.name, span.model, span.status, span.stop_reason, span.verdict, ...span.files],
    texts: [span.task, span.error, span.report],
  }),
  call: (call) => ({
    status: [call.status], model: call.model, provider: call.provider, purpose: call.purpose, rung: call.rung,
    tool: call.asked_for.map((key) => (run.tools.has(key) ? run.tools.get(key).name : "")).join(" "),
    cost: call.usd, tokens: tokensOf(call.tokens), seconds: call.seconds, attempts: call.attempts.length,
    error: call.attempts.map((attempt) => attempt.error).join(" "), errorText: call.refusal,
    names: [call.span, call.model, call.provider, call.purpose, call.status, call.stop, call.rung, ...call.attempts.map((attempt) => attempt.error)],
    texts: [call.answer, call.thinking, call.refusal, ...call.attempts.map((attempt) => attempt.detail)],
  }),
  tool: (tool) => ({
    status: [tool.status], tool: tool.name, seconds: tool.seconds, file: tool.files,
    names: [tool.span, tool.name, tool.subject, tool.status, ...tool.files],
    texts: [tool.arguments, tool.result],
  }),
  check: (check) => ({
    status: [passedWord(check.passed)], cost: check.usd, seconds: check.seconds, tool: check.by.join(" "),
    names: [check.span, ...check.by, ...check.missed, passedWord(check.passed)],
    texts: [check.evidence],
  }),
  rung: (rung) => ({
    status: [], model: rung.model, rung: rung.rung, cost: rung.usd, names: [rung.span, rung.rung, rung.model], texts: [rung.reason],
  }),
  file: (file, key) => ({
    status: [file.change, file.conflicts.length ? "failed" : ""], file: [key], span: file.by.join(" "),
    names: [file.change, ...file.by], texts: [file.diff, ...file.conflicts],
  }),
  lens: (lens) => ({
    status: [], model: lens.generated_by, cost: lens.usd, file: lens.target_files, purpose: "lens",
    names: [lens.span, lens.generated_by, lens.task_scope, ...lens.readers, ...lens.target_files],
    texts: [...lens.parts.flatMap(([, items]) => items), ...lens.left_out],
  }),
  prefix: (prefix) => ({
    status: [], model: prefix.model, cost: prefix.usd, tokens: prefix.tokens, names: [prefix.name, prefix.model, prefix.plan], texts: [],
  }),
};

// The ids of texts with a word in them: each text is looked at once for a word, however often it is used.
function textsWith(word) {
  return once(`word ${word}`, () => {
    const found = new Set();
    for (const [id, lowered] of loweredTexts()) if (lowered.includes(word)) found.add(id);
    return found;
  });
}

function loweredTexts() {
  return once("lowered", () => {
    const lowered = [];
    for (const [id, text] of run.texts) lowered.push([id, `${text.head}\n${text.tail}`.toLowerCase()]);
    return lowered;
  });
}

const TESTS = {
  words: (fact, term) => fact.words.includes(term.value) || fact.texts.some((id) => textsWith(term.value).has(id)),
  status: (fact, term) =>
    term.values.some((value) => fact.status.some((one) => one && (one.toLowerCase().startsWith(value) || (value === "failed" && FAILED.has(one))))),
  file: (fact, term) => term.values.some((value) => (fact.file || []).some((one) => one.toLowerCase().includes(value))),
  error: (fact, term) =>
    term.values.some((value) => (fact.error || "").toLowerCase().includes(value) || (fact.errorText ? textsWith(value).has(fact.errorText) : false)),
  kind: (fact, term) => term.values.some((value) => fact.kind.startsWith(value) || `${fact.kind}s` === value),
  cost: (fact, term) => typeof fact.cost === "string" && holds(term.sign, compared(fact.cost, term.number)),
};
for (const key of ["tokens", "seconds", "attempts"]) {
  TESTS[key] = (fact, term) => typeof fact[key] === "number" && holds(term.sign, fact[key] - Number(term.number));
}
for (const key of ["model", "provider", "purpose", "tool", "span", "rung"]) {
  TESTS[key] = (fact, term) => term.values.some((value) => (fact[key] || "").toLowerCase().includes(value));
}

function matches(filter, kind, key, entry) {
  if (!filter.terms.length) return true;
  const fact = factsOf(kind, key, entry);
  return filter.terms.every((term) => TESTS[term.key](fact, term) !== term.negative);
}

function isOn(filter) {
  return filter.terms.length > 0;
}

// Words that the run has, to choose from.
function valuesOf(key) {
  const found = new Set();
  for (const call of run.calls.values()) {
    const value = call[key];
    if (value) found.add(value);
    if (found.size > 7) break;
  }
  return [...found].sort();
}
