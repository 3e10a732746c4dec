// A list of any length of which only the rows in sight are elements. The list itself has the focus and names
// the active row, so that the keyboard and screen readers work without the rows that are not there.

let listCount = 0;

class LongList {
  // columns: {title, kind, sort}; draw(row, at) gives the cells; open(row) and toggle(row, wanted) are acts.
  constructor({label, role, columns, height, draw, open, toggle, kind, margin = 12}) {
    Object.assign(this, {role, columns, height, draw, open, toggle, margin, rows: [], active: -1, id: `list${++listCount}`});
    this.inner = h("div", {role: "rowgroup", class: "inner"});
    this.heads = h("div", {role: "row", class: "line heads", "aria-rowindex": "1"});
    this.element = h(
      "div",
      {role, class: `long ${kind}`, tabindex: "0", "aria-label": label, "aria-colcount": String(columns.length)},
      h("div", {role: "rowgroup", class: "top"}, this.heads),
      this.inner,
    );
    this.drawHeads();
    this.element.addEventListener("scroll", () => this.drawSoon(), {passive: true});
    this.element.addEventListener("keydown", (event) => this.pressed(event));
    this.inner.addEventListener("click", (event) => this.clicked(event));
    new ResizeObserver(() => this.drawSoon()).observe(this.element);
  }

  drawHeads() {
    const heads = this.columns.map((column) => {
      const order = column.order ? (column.order > 0 ? "ascending" : "descending") : null;
      const title = column.sort ? button([column.title, order ? (column.order > 0 ? " ▲" : " ▼") : ""], column.sort, {class: "plain"}) : column.title;
      return h("div", {role: "columnheader", class: `cell ${column.kind}`, "aria-sort": order}, title);
    });
    this.heads.replaceChildren(...heads);
  }

  set(rows, activeKey) {
    this.rows = rows;
    this.active = activeKey === undefined ? this.active : rows.findIndex((row) => row.key === activeKey);
    this.active = Math.min(this.active, rows.length - 1);
    this.element.setAttribute("aria-rowcount", String(rows.length + 1));
    this.inner.style.height = `${rows.length * this.height}px`;
    this.drawRows();
  }

  drawSoon() {
    if (this.waiting) return;
    this.waiting = true;
    requestAnimationFrame(() => {
      this.waiting = false;
      this.drawRows();
    });
  }

  drawRows() {
    const from = Math.max(0, Math.floor(this.element.scrollTop / this.height) - this.margin);
    const shown = Math.ceil((this.element.clientHeight || 600) / this.height) + 2 * this.margin;
    const made = this.rows.slice(from, from + shown).map((row, at) => this.rowElement(row, from + at));
    this.inner.replaceChildren(...made);
    this.tellActive();
  }

  rowElement(row, at) {
    const isTree = this.role === "treegrid";
    const cells = this.draw(row, at).map((cell, column) =>
      h("div", {role: "gridcell", class: `cell ${this.columns[column].kind}`, "aria-colindex": String(column + 1)}, cell),
    );
    const element = h(
      "div",
      {
        role: "row",
        id: `${this.id}-${at}`,
        class: `line${at === this.active ? " active" : ""}${row.faint ? " faint" : ""}`,
        "data-at": String(at),
        "aria-rowindex": String(at + 2),
        "aria-selected": String(at === this.active),
        "aria-level": isTree ? String(row.level) : null,
        "aria-expanded": isTree && row.parts ? String(row.isOpen) : null,
        "aria-setsize": isTree ? String(row.of) : null,
        "aria-posinset": isTree ? String(row.place) : null,
      },
      cells,
    );
    element.style.top = `${at * this.height}px`;
    element.style.height = `${this.height}px`;
    return element;
  }

  tellActive() {
    const there = byId(`${this.id}-${this.active}`);
    if (there) this.element.setAttribute("aria-activedescendant", there.id);
    else this.element.removeAttribute("aria-activedescendant");
  }

  activate(at) {
    if (!this.rows.length) return;
    this.active = Math.max(0, Math.min(at, this.rows.length - 1));
    const top = this.active * this.height;
    const room = this.element.clientHeight - this.heads.offsetHeight - this.height;
    if (top < this.element.scrollTop) this.element.scrollTop = top;
    else if (top > this.element.scrollTop + room) this.element.scrollTop = top - room;
    this.drawRows();
  }

  // As activate, and puts the row into the middle.
  center(at) {
    this.element.scrollTop = at * this.height - this.element.clientHeight / 2;
    this.activate(at);
  }

  clicked(event) {
    const line = event.target.closest("[data-at]");
    if (!line || event.target.closest("a")) return;
    this.activate(Number(line.getAttribute("data-at")));
    const row = this.rows[this.active];
    if (event.target.closest(".twig") && this.toggle && row.parts) this.toggle(row, !row.isOpen);
    else this.open(row, event.target);
  }

  pressed(event) {
    if (event.ctrlKey || event.metaKey || event.altKey || event.target !== this.element) return;
    const page = Math.max(1, Math.floor(this.element.clientHeight / this.height) - 2);
    const steps = {ArrowDown: 1, j: 1, ArrowUp: -1, k: -1, PageDown: page, PageUp: -page, Home: -Infinity, End: Infinity};
    const row = this.rows[this.active];
    if (event.key in steps) this.activate(this.active + steps[event.key]);
    else if (row && (event.key === "Enter" || event.key === " ")) this.open(row, this.element);
    else if (row && this.toggle && event.key === "ArrowRight") this.right(row);
    else if (row && this.toggle && event.key === "ArrowLeft") this.left(row);
    else return;
    event.preventDefault();
    event.stopPropagation();
  }

  right(row) {
    if (row.parts && !row.isOpen) this.toggle(row, true);
    else if (row.parts) this.activate(this.active + 1);
  }

  left(row) {
    if (row.parts && row.isOpen) {
      this.toggle(row, false);
      return;
    }
    for (let at = this.active - 1; at >= 0; at--) {
      if (this.rows[at].level < row.level) {
        this.activate(at);
        return;
      }
    }
  }
}
