// The table of allocation sites, sorted by any column.

// What stands in a row of data.sites.rows, in order.
const siteColumns = [
  {key: "name", label: "Allocated by", text: true},
  {key: "node"},
  {key: "live", label: "Live", unit: bytes, bar: true},
  {key: "low"},
  {key: "high"},
  {key: "blocks", label: "Blocks", unit: count},
  {key: "lost", label: "Lost", unit: bytes},
  {key: "allocated", label: "Allocated", unit: bytes},
  {key: "allocations", label: "Allocations", unit: count},
  {key: "peak", label: "At the peak", unit: bytes},
  {key: "temporary", label: "Temporary", unit: count},
  {key: "growth", label: "Grows by", unit: bytes},
  {key: "behaviour", label: "Behaviour", words: true},
  {key: "before", label: "Before", unit: bytes},
  {key: "fresh", label: "New", unit: bytes, followed: true},
  {key: "freed", label: "Freed", unit: bytes, followed: true},
  {key: "survived", label: "Survived", unit: bytes, followed: true},
];

class SiteTable {
  static page = 50;

  constructor(showInGraph) {
    this.showInGraph = showInGraph;
    this.sites = data.sites.rows.map((row) => {
      const site = {};
      row.forEach((value, i) => { site[siteColumns[i].key] = value; });
      if (data.baseline) site.difference = site.live - site.before;
      return site;
    });
    const looked = data.recording.reachability.lost_bytes !== null;
    const shown = siteColumns.filter((column) => column.label && (data.baseline || !["before", "fresh", "freed", "survived"].includes(column.key)))
      .filter((column) => looked || column.key !== "lost")
      .filter((column) => !column.followed || data.baseline.same_process);
    if (data.baseline) shown.splice(shown.findIndex((column) => column.key === "before") + 1, 0, {key: "difference", label: "Difference", unit: signedBytes});
    this.columns = shown;
    this.sortKey = data.baseline ? "difference" : "live";
    this.descending = true;
    this.limit = SiteTable.page;
    this.filter = "";
    this.build();
    this.update();
  }

  build() {
    this.heads = this.columns.map((column) => {
      const button = h("button", {type: "button", onclick: () => this.sortBy(column)}, column.label);
      return h("th", {scope: "col", class: column.text || column.words ? "text" : "number"}, button);
    });
    this.body = h("tbody");
    this.more = h("button", {type: "button", class: "quiet", onclick: () => {
      this.limit *= 4;
      this.update();
    }}, "Show more");
    this.note = h("p", {class: "muted"});
    this.input = h("input", {type: "search", placeholder: "Filter sites", "aria-label": "Filter sites", oninput: () => {
      this.filter = this.input.value;
      this.update();
    }});
    this.element = h("div", {},
      h("div", {class: "toolbar screen-only"}, this.input),
      h("div", {class: "scroll", tabindex: 0, role: "region", "aria-label": "Table of sites"},
        h("table", {class: "sites"}, h("thead", {}, h("tr", {}, this.heads)), this.body)),
      h("div", {class: "toolbar"}, this.note, this.more));
  }

  sortBy(column) {
    if (this.sortKey === column.key) {
      this.descending = !this.descending;
    } else {
      this.sortKey = column.key;
      this.descending = !(column.text || column.words);
    }
    this.update();
  }

  update() {
    const matches = FlameGraph.expression(this.filter);
    const found = this.sites.filter((site) => this.filter === "" || matches(site.name));
    const sign = this.descending ? -1 : 1;
    found.sort((a, b) => {
      const x = a[this.sortKey];
      const y = b[this.sortKey];
      return sign * (x < y ? -1 : x > y ? 1 : 0) || b.live - a.live;
    });
    this.heads.forEach((head, i) => {
      const sorted = this.columns[i].key === this.sortKey;
      if (sorted) head.setAttribute("aria-sort", this.descending ? "descending" : "ascending");
      else head.removeAttribute("aria-sort");
    });
    const largest = Math.max(1, ...this.sites.map((site) => site.live));
    this.body.replaceChildren(...found.slice(0, this.limit).map((site) => this.row(site, largest)));
    this.more.hidden = found.length <= this.limit;
    const left = data.sites.all - this.sites.length;
    this.note.textContent = `${Math.min(found.length, this.limit)} of ${data.sites.all} sites` +
      (left > 0 ? `; the ${left} smallest are in the sums, and in --json, but not in this table` : "");
  }

  row(site, largest) {
    const toggle = h("button", {type: "button", class: "name", "aria-expanded": "false", title: "Show the stack"}, site.name);
    const row = h("tr", {}, this.columns.map((column) => {
      if (column.text) return h("td", {class: "text"}, toggle);
      if (column.words) return h("td", {class: site[column.key] === "unknown" ? "text muted" : "text"}, site[column.key]);
      const cell = h("td", {class: "number"}, column.unit(site[column.key]));
      if (column.bar) this.decorate(cell, site, largest);
      if (column.key === "difference" && site.difference !== 0) cell.classList.add(site.difference > 0 ? "more" : "less");
      return cell;
    }));
    toggle.addEventListener("click", () => {
      const open = toggle.getAttribute("aria-expanded") === "true";
      toggle.setAttribute("aria-expanded", String(!open));
      if (open) row.nextSibling.remove();
      else row.after(this.stackRow(site));
    });
    return row;
  }

  // How much of it is certain, and a bar behind the number.
  decorate(cell, site, largest) {
    cell.classList.add("barred");
    cell.style.setProperty("--share", `${100 * site.live / largest}%`);
    const half = Math.max(site.high - site.live, site.live - site.low);
    if (half > 0 && site.live > 0) cell.append(h("span", {class: "muted"}, ` \u00b1${(100 * half / site.live).toFixed(0)} %`));
    if (half > 0) cell.title = `between ${bytes(site.low)} and ${bytes(site.high)} with 95 % confidence`;
  }

  stackRow(site) {
    const frames = [];
    for (let node = site.node; node !== 0; node = data.tree.parent[node]) frames.push(data.tree.frames[data.tree.frame[node]]);
    return h("tr", {class: "stack-row"}, h("td", {colspan: this.columns.length},
      h("ol", {class: "stack"}, frames.map(([name, place, module]) => h("li", {}, h("code", {}, name), " ", h("span", {class: "muted"}, [place, module].filter(Boolean).join(" \u00b7 "))))),
      h("button", {type: "button", class: "quiet screen-only", onclick: () => this.showInGraph(site.node)}, "Show in the flame graph")));
  }
}
