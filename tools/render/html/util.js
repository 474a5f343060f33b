"use strict";

// Names come from recordings: nothing in them may steer the page. All texts are set as text, never as markup; characters
// that hide or reorder what stands beside them are shown as what they are, replaced.
const data = JSON.parse(document.getElementById("data").textContent, (key, value) =>
  typeof value === "string"
    ? value.replace(/[\u0000-\u001f\u007f-\u009f\u200b-\u200f\u2028-\u202e\u2060-\u2069\ufeff]/g, "\ufffd")
    : value);

// --- Quantities, as the text report has them ---

function bytes(n) {
  if (n === null || n === undefined) return "unknown";
  const units = ["B", "KiB", "MiB", "GiB", "TiB", "PiB", "EiB"];
  let size = Math.abs(n);
  let unit = 0;
  while (size >= 1024 && unit < 6) {
    size /= 1024;
    unit += 1;
  }
  return `${n < 0 ? "\u2212" : ""}${unit > 0 ? size.toFixed(1) : size} ${units[unit]}`;
}

function signedBytes(n) {
  return (n > 0 ? "+" : "") + bytes(n);
}

function count(n) {
  if (n === null || n === undefined) return "unknown";
  for (const [size, letter] of [[1e9, "G"], [1e6, "M"], [1e3, "k"]]) {
    if (Math.abs(n) >= size) return (n / size).toFixed(1) + letter;
  }
  return String(n);
}

function seconds(s) {
  if (s === null || s === undefined) return "unknown";
  if (s > 0 && s < 0.0005) return "<1 ms";
  if (s > 0 && s < 0.0995) return `${(s * 1000).toFixed(0)} ms`;
  if (s < 10) return `${s.toFixed(1)} s`;
  if (s < 120) return `${s.toFixed(0)} s`;
  if (s < 7200) return `${(s / 60).toFixed(0)} min`;
  if (s < 172800) return `${(s / 3600).toFixed(1)} h`;
  return `${(s / 86400).toFixed(1)} days`;
}

function percent(part, whole) {
  if (!(whole > 0)) return "";
  const share = 100 * part / whole;
  if (share !== 0 && Math.abs(share) < 0.1) return share > 0 ? "<0.1 %" : ">\u22120.1 %";
  return `${Math.abs(share) < 9.95 ? share.toFixed(1) : share.toFixed(0)} %`;
}

// --- Elements ---

// h("p", {class: "note", onclick: f, "aria-label": "..."}, "text", h("b", {}, "more"))
function h(tag, properties, ...children) {
  return fill(document.createElement(tag), properties, children);
}

// The namespace of SVG without writing its name: it looks like an address, and there is none in this file.
const svgNamespace = (() => {
  const holder = document.createElement("template");
  holder.innerHTML = "<svg></svg>";
  return holder.content.firstChild.namespaceURI;
})();

function svg(tag, properties, ...children) {
  return fill(document.createElementNS(svgNamespace, tag), properties, children);
}

function fill(element, properties, children) {
  for (const [name, value] of Object.entries(properties ?? {})) {
    if (value === null || value === undefined || value === false) continue;
    if (name.startsWith("on")) element.addEventListener(name.slice(2), value);
    else element.setAttribute(name, value === true ? "" : value);
  }
  element.append(...children.flat(Infinity).filter((child) => child !== null && child !== undefined && child !== false));
  return element;
}

// --- The state of the page in its address: "#metric=peak&search=malloc" can be sent along with the file ---

const state = new URLSearchParams(location.hash.includes("=") ? location.hash.slice(1) : "");

function remember(key, value) {
  if (value === null || value === undefined || value === "" || value === false) state.delete(key);
  else state.set(key, value);
  try {
    history.replaceState(null, "", "#" + state);
  } catch {
    // Some viewers of attachments allow no history.
  }
}

// --- Light and dark ---

const theme = {
  listeners: [],
  dark() {
    return document.documentElement.dataset.theme === "dark";
  },
  set(name) {
    document.documentElement.dataset.theme = name;
    for (const listener of this.listeners) listener();
  },
  begin() {
    const system = matchMedia("(prefers-color-scheme: dark)");
    const automatic = () => this.set(system.matches ? "dark" : "light");
    if (state.has("theme")) this.set(state.get("theme") === "dark" ? "dark" : "light");
    else automatic();
    system.addEventListener("change", automatic);
    // Paper is white.
    let before = "light";
    addEventListener("beforeprint", () => {
      before = document.documentElement.dataset.theme;
      this.set("light");
    });
    addEventListener("afterprint", () => this.set(before));
  },
  toggle() {
    this.set(this.dark() ? "light" : "dark");
    remember("theme", document.documentElement.dataset.theme);
  },
};

// --- One tooltip for all charts ---

const tooltip = {
  element: h("div", {class: "tooltip", role: "tooltip", hidden: true}),
  show(event, ...content) {
    this.element.replaceChildren(...content);
    this.element.hidden = false;
    const box = this.element.getBoundingClientRect();
    const gap = 14;
    let x = event.clientX + gap;
    if (x + box.width > innerWidth - 4) x = Math.max(4, event.clientX - gap - box.width);
    let y = event.clientY + gap;
    if (y + box.height > innerHeight - 4) y = Math.max(4, event.clientY - gap - box.height);
    this.element.style.left = `${x}px`;
    this.element.style.top = `${y}px`;
  },
  hide() {
    this.element.hidden = true;
  },
};

function pairs(rows) {
  return h("table", {class: "pairs"}, h("tbody", {},
    rows.map(([name, ...values]) => h("tr", {}, h("th", {}, name), values.map((value) => h("td", {}, value))))));
}

// --- Copying, also where the clipboard is not allowed ---

function copyText(text, button) {
  const done = () => {
    const label = button.textContent;
    button.textContent = "Copied";
    setTimeout(() => { button.textContent = label; }, 1500);
  };
  const byHand = () => {
    const area = h("textarea", {class: "offscreen", readonly: true});
    area.value = text;
    document.body.append(area);
    area.select();
    if (document.execCommand("copy")) done();
    area.remove();
  };
  if (navigator.clipboard) navigator.clipboard.writeText(text).then(done, byHand);
  else byHand();
}
