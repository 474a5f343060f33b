// The flame graph, hanging from its root (an icicle): width is weight, what calls is above what it calls.

const metrics = [
  {key: "live", index: 0, label: "Live", unit: bytes, explanation: "bytes that are allocated and not freed"},
  {key: "growth", index: 4, label: "Growth", unit: bytes, explanation: "bytes that, by their survival so far, will never be freed"},
  {key: "lost", index: 5, label: "Lost", unit: bytes, explanation: "live bytes that no pointer leads to any more"},
  {key: "peak", index: 2, label: "Peak", unit: bytes, explanation: "bytes that were live when the process held most"},
  {key: "allocated", index: 1, label: "Allocated", unit: bytes, explanation: "all bytes ever allocated, freed ones too"},
  {key: "temporary", index: 3, label: "Temporary", unit: count, explanation: "allocations that were freed at once, before the next one of their thread"},
];
const beforeIndex = 6;
const difference = {key: "difference", label: "Difference", unit: bytes, explanation: "live bytes against the baseline: orange is more than before, blue is less"};

// One tree: parents stand before their children. `now` weighs; `before` is there for a difference.
class CallTree {
  constructor(parent, frame, now, before) {
    this.parent = parent;
    this.frame = frame;
    this.now = CallTree.totals(parent, now);
    this.before = before && CallTree.totals(parent, before);
    this.selfNow = now;
    // In an overlaid graph a node is as wide as the larger of the two, and wide enough for its children.
    this.total = before ? CallTree.totals(parent, now.map((value, i) => Math.max(value, before[i]))) : this.now;
    this.children = parent.map(() => []);
    for (let i = 1; i < parent.length; ++i) if (this.total[i] > 0) this.children[parent[i]].push(i);
    const folded = (node) => (frame[node] === 1 ? 1 : 0);
    for (const children of this.children) children.sort((a, b) => folded(a) - folded(b) || this.total[b] - this.total[a] || a - b);
  }

  static totals(parent, self) {
    const totals = self.slice();
    for (let i = totals.length - 1; i > 0; --i) totals[parent[i]] += totals[i];
    return totals;
  }

  path(node) {
    const path = [node];
    while (path[path.length - 1] !== 0) path.push(this.parent[path[path.length - 1]]);
    return path.reverse();
  }

  static plain(now, before) {
    return new CallTree(data.tree.parent, data.tree.frame, now, before);
  }

  // From the allocating functions to their callers: each stack again, from its inner end.
  static inverted(now, before) {
    const {parent, frame} = data.tree;
    const inverted = {parent: [0], frame: [0], now: [0], before: [0]};
    const known = new Map();
    for (let leaf = 1; leaf < parent.length; ++leaf) {
      if (now[leaf] === 0 && !(before && before[leaf] > 0)) continue;
      let at = 0;
      for (let node = leaf; node !== 0; node = parent[node]) {
        const key = at * data.tree.frames.length + frame[node];
        let next = known.get(key);
        if (next === undefined) {
          next = inverted.parent.length;
          known.set(key, next);
          inverted.parent.push(at);
          inverted.frame.push(frame[node]);
          inverted.now.push(0);
          inverted.before.push(0);
        }
        at = next;
      }
      inverted.now[at] += now[leaf];
      if (before) inverted.before[at] += before[leaf];
    }
    return new CallTree(inverted.parent, inverted.frame, inverted.now, before && inverted.before);
  }
}

// A label says the function; arguments and templates are for the tooltip.
function shortName(name) {
  if (name.startsWith("(")) return name;
  const head = name.replace(/\(anonymous namespace\)/g, "{anonymous}").replace(/operator\(\)/g, "operator{}");
  return head.replace(/\(.*$/, "").replace(/\{\}/g, "()") || name;
}

// What fits of a name: namespaces go first, then its end.
function fitted(name, letters) {
  let rest = name;
  while (rest.length > letters && !rest.includes("<") && rest.includes("::")) rest = rest.slice(rest.indexOf("::") + 2);
  return rest.length <= letters ? rest : `${rest.slice(0, letters - 1)}\u2026`;
}

class FlameGraph {
  static rowHeight = 19;

  constructor() {
    this.canvas = h("canvas", {class: "flame", tabindex: 0, role: "application",
      "aria-label": "Flame graph. Arrow keys move, Enter zooms, Escape zooms out. The same figures are in the table of sites below."});
    this.details = h("div", {class: "flame-details", "aria-live": "polite"});
    this.host = h("div", {class: "flame-host"}, this.canvas);
    this.metric = metrics[0];
    this.isInverted = false;
    this.term = "";
    this.rows = [];
    this.listen();
    new ResizeObserver(() => this.draw()).observe(this.host);
    theme.listeners.push(() => this.draw());
  }

  // --- What is shown ---

  show(metric, inverted, focus = 0) {
    this.metric = metric;
    this.isInverted = inverted;
    const weights = data.tree.self;
    const [now, before] = metric === difference ? [weights[0], weights[beforeIndex]] : [weights[metric.index], undefined];
    this.tree = inverted ? CallTree.inverted(now, before) : CallTree.plain(now, before);
    this.focus = focus < this.tree.parent.length ? focus : 0;
    this.selected = this.focus;
    this.search(this.term);
    this.describe(this.selected);
  }

  zoom(node) {
    this.focus = node;
    this.selected = node;
    remember("zoom", node > 0 ? node : null);
    this.draw();
    this.describe(node);
    this.onzoom?.(node);
  }

  // Marks the frames with `term` in name, place or module; returns what they weigh together, nested ones once.
  search(term) {
    this.term = term;
    let matches = () => false;
    if (term !== "") {
      const expression = FlameGraph.expression(term);
      matches = (frame) => frame.some((text) => expression(text));
    }
    this.matching = data.tree.frames.map(matches);
    let sum = 0;
    const inside = [];
    this.tree.parent.forEach((parent, i) => {
      const hit = this.matching[this.tree.frame[i]];
      if (hit && !inside[parent]) sum += this.tree.total[i];
      inside[i] = hit || (i > 0 && inside[parent]);
    });
    this.draw();
    return sum;
  }

  // "/re/" is a regular expression, all else plain text.
  static expression(term) {
    const pattern = /^\/(.+)\/$/.exec(term);
    if (pattern) {
      try {
        const expression = new RegExp(pattern[1], "i");
        return (text) => expression.test(text);
      } catch {
        // Not yet typed to its end: taken as plain text.
      }
    }
    const wanted = term.toLowerCase();
    return (text) => text.toLowerCase().includes(wanted);
  }

  // --- Geometry ---

  // Boxes of one row from left to right: {node, x, w} in parts of the width.
  layout() {
    const rows = this.tree.path(this.focus).map((node) => [{node, x: 0, w: 1}]);
    const whole = this.tree.total[this.focus];
    const narrowest = 0.4 / Math.max(this.width, 1);
    let row = rows[rows.length - 1];
    while (row.length > 0 && whole > 0) {
      const next = [];
      for (const box of row) {
        let x = box.x;
        for (const child of this.tree.children[box.node]) {
          const w = this.tree.total[child] / whole;
          if (w < narrowest) {
            if (this.tree.frame[child] !== 1) break;  // sorted: the rest is narrower
            continue;
          }
          next.push({node: child, x, w});
          x += w;
        }
      }
      if (next.length > 0) rows.push(next);
      row = next;
    }
    return rows;
  }

  draw() {
    this.width = Math.floor(this.host.clientWidth);
    if (this.width === 0 || !this.tree) return;
    this.rows = this.layout();
    const height = Math.max(this.rows.length, 6) * FlameGraph.rowHeight;
    const ratio = Math.min(devicePixelRatio || 1, 16000 / height);
    this.canvas.width = Math.round(this.width * ratio);
    this.canvas.height = Math.round(height * ratio);
    this.canvas.style.width = `${this.width}px`;
    this.canvas.style.height = `${height}px`;
    const pen = this.canvas.getContext("2d");
    pen.scale(ratio, ratio);
    const style = getComputedStyle(document.documentElement);
    this.font = `12px ${style.getPropertyValue("--sans")}`;
    this.colors = {text: style.getPropertyValue("--flame-text"), edge: style.getPropertyValue("--card"),
      match: style.getPropertyValue("--match"), more: style.getPropertyValue("--more"), less: style.getPropertyValue("--less"),
      same: style.getPropertyValue("--same"), select: style.getPropertyValue("--text")};
    pen.font = this.font;
    pen.textBaseline = "middle";
    this.letter = pen.measureText("abcdefghijklmnopqrstuvwxyz_:ABC").width / 32;
    this.rows.forEach((row, depth) => {
      for (const box of row) this.drawBox(pen, box, depth);
    });
    if (this.tree.total[0] === 0) {
      pen.fillStyle = this.colors.select;
      pen.fillText(`Nothing to show: no ${this.metric.explanation}.`, 8, FlameGraph.rowHeight * 1.5);
    }
  }

  drawBox(pen, {node, x, w}, depth) {
    const left = x * this.width;
    const width = Math.max(w * this.width - (w * this.width > 3 ? 1 : 0), 0.4);
    const top = depth * FlameGraph.rowHeight;
    const height = FlameGraph.rowHeight - 1;
    const above = node !== this.focus && depth < this.tree.path(this.focus).length - 1;
    pen.globalAlpha = above ? 0.55 : 1;
    pen.fillStyle = this.fillOf(node);
    pen.fillRect(left, top, width, height);
    if (this.tree.before) this.drawDifference(pen, node, left, top, width, height);
    if (this.selected === node && document.activeElement === this.canvas) {
      pen.strokeStyle = this.colors.select;
      pen.lineWidth = 2;
      pen.strokeRect(left + 1, top + 1, Math.max(width - 2, 1), height - 2);
    }
    const letters = Math.floor((width - 8) / this.letter);
    if (letters >= 3) {
      const name = shortName(data.tree.frames[this.tree.frame[node]][0]);
      pen.fillStyle = this.colors.text;
      pen.fillText(fitted(name, letters), left + 4, top + height / 2 + 0.5);
    }
    pen.globalAlpha = 1;
  }

  // The part that came or went, at the right end of the box.
  drawDifference(pen, node, left, top, width, height) {
    const now = this.tree.now[node];
    const before = this.tree.before[node];
    const part = Math.abs(now - before) / Math.max(this.tree.total[node], 1) * width;
    if (part <= 0) return;
    pen.fillStyle = now > before ? this.colors.more : this.colors.less;
    pen.fillRect(left + width - part, top, part, height);
  }

  // Colours tell modules apart; what is folded or unknown is grey.
  fillOf(node) {
    const index = this.tree.frame[node];
    if (this.matching[index]) return this.colors.match;
    if (index < 3 || this.tree.before) return this.colors.same;
    const [name, , module] = data.tree.frames[index];
    const hue = this.hueOf(module) + (FlameGraph.hash(name) - 0.5) * 24;
    const light = FlameGraph.hash(`${name} `) * 7;
    return theme.dark() ? `hsl(${hue} 34% ${35 + light}%)` : `hsl(${hue} 66% ${76 + light}%)`;
  }

  // The modules that allocate most get the hues that are furthest apart.
  hueOf(module) {
    if (!this.hues) {
      const weights = new Map();
      data.tree.frame.forEach((frame, node) => {
        const name = data.tree.frames[frame][2];
        weights.set(name, (weights.get(name) ?? 0) + data.tree.self[1][node] + 1);
      });
      const order = [...weights.keys()].sort((a, b) => weights.get(b) - weights.get(a) || (a < b ? -1 : 1));
      const spread = [28, 208, 150, 265, 50, 185, 335, 95];
      this.hues = new Map(order.map((name, i) => [name, spread[i] ?? FlameGraph.hash(name) * 360]));
    }
    return this.hues.get(module);
  }

  // FNV-1a, to [0, 1).
  static hash(text) {
    let hash = 0x811c9dc5;
    for (let i = 0; i < text.length; ++i) hash = Math.imul(hash ^ text.charCodeAt(i), 0x01000193);
    hash ^= hash >>> 15;
    return (Math.imul(hash, 0x2c1b3c6d) >>> 8) / (1 << 24);
  }

  // --- Words ---

  facts(node) {
    const tree = this.tree;
    const unit = this.metric.unit;
    const rows = [["with callees", unit(tree.now[node]), percent(tree.now[node], tree.now[0])],
      ["itself", unit(tree.selfNow[node]), percent(tree.selfNow[node], tree.now[0])]];
    if (this.isInverted) rows[0][0] = "in stacks like this";
    if (tree.before) rows.push(["before", bytes(tree.before[node]), ""], ["difference", signedBytes(tree.now[node] - tree.before[node]), percent(tree.now[node] - tree.before[node], tree.before[node])]);
    if (this.focus !== 0) rows.push(["of what is zoomed in", "", percent(tree.now[node], tree.now[this.focus])]);
    return rows;
  }

  describe(node) {
    const [name, place, module] = data.tree.frames[this.tree.frame[node]];
    const where = [place, module].filter(Boolean).join(", ");
    const facts = this.facts(node).map(([label, ...values]) => `${label} ${values.filter(Boolean).join(", ")}`).join(" \u00b7 ");
    this.details.replaceChildren(h("b", {}, name), where ? ` (${where})` : "", h("span", {class: "muted"}, ` ${facts}`));
  }

  // --- Hands ---

  nodeAt(event) {
    const row = this.rows[Math.floor(event.offsetY / FlameGraph.rowHeight)] ?? [];
    const x = event.offsetX / this.width;
    return row.find((box) => x >= box.x && x < box.x + box.w)?.node;
  }

  listen() {
    this.canvas.addEventListener("mousemove", (event) => {
      const node = this.nodeAt(event);
      this.canvas.classList.toggle("over", node !== undefined);
      if (node === undefined) return tooltip.hide();
      const [name, place, module] = data.tree.frames[this.tree.frame[node]];
      tooltip.show(event, h("b", {}, name), h("p", {class: "muted"}, [place, module].filter(Boolean).join(" \u00b7 ")), pairs(this.facts(node)));
    });
    this.canvas.addEventListener("mouseleave", () => tooltip.hide());
    this.canvas.addEventListener("click", (event) => {
      const node = this.nodeAt(event);
      if (node !== undefined) this.zoom(node);
    });
    for (const name of ["focus", "blur"]) this.canvas.addEventListener(name, () => this.draw());
    this.canvas.addEventListener("keydown", (event) => this.key(event));
  }

  key(event) {
    if (event.ctrlKey || event.altKey || event.metaKey) return;
    const tree = this.tree;
    const siblings = tree.children[tree.parent[this.selected]];
    const at = siblings.indexOf(this.selected);
    const moves = {
      ArrowUp: () => tree.parent[this.selected],
      ArrowDown: () => tree.children[this.selected][0],
      ArrowLeft: () => siblings[at - 1],
      ArrowRight: () => siblings[at + 1],
      Home: () => 0,
    };
    if (event.key === "Enter" || event.key === " ") {
      this.zoom(this.selected);
    } else if (event.key === "Escape") {
      this.zoom(tree.parent[this.focus]);
    } else if (moves[event.key]) {
      const next = moves[event.key]();
      if (next !== undefined) {
        this.selected = next;
        // What is not on the screen is brought there.
        if (!tree.path(next).includes(this.focus)) this.focus = tree.parent[next];
        this.describe(next);
        this.draw();
      }
    } else {
      return;
    }
    event.preventDefault();
  }
}
