// The box that filters the lists of a page. Each page has a filterChanged, which does what the filter means.

function readFilter() {
  filterNow = parseFilter(byId("filter").value);
  byId("problems").replaceChildren();
  append(byId("problems"), filterNow.problems.map((problem) => h("p", {}, problem)));
}

function addToFilter(text) {
  const box = byId("filter");
  box.value = `${box.value.trim()} ${text}`.trim();
  filterChanged();
  box.focus();
}

// What is hinted at: a sentence on words, and filters to choose from. They are made when they are wanted.
function beginFilterBox(makeHints) {
  const hints = byId("hints");
  byId("filter").addEventListener("input", filterChanged);
  byId("filter").addEventListener("focus", () => {
    if (!hints.childElementCount) {
      const {words, known} = makeHints();
      append(hints, [
        h("p", {}, words),
        h("p", {}, "Keys: ", [...WORD_KEYS, ...NUMBER_KEYS].map((key, at) => [at ? ", " : "", h("code", {}, `${key}:`)]), "."),
        h("p", {class: "chips"}, known.map((text) => button(cutLine(text, 60), () => addToFilter(text), {class: "small"}))),
      ]);
    }
    hints.hidden = false;
  });
  byId("find").addEventListener("focusout", (event) => {
    if (!byId("find").contains(event.relatedTarget)) hints.hidden = true;
  });
}
