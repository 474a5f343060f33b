// Puts the page together.

const causes = {
  "native-leak": ["Native memory leak", "bad"],
  "limit-too-low": ["The limit is too low", "warn"],
  "allocator-retention": ["The allocator keeps free memory", "warn"],
  "allocator-fragmentation": ["The heap is fragmented", "warn"],
  "managed-heap": ["A managed heap fills the container", "warn"],
  "untracked-anon": ["Memory that does not come from malloc", "warn"],
  "page-cache": ["Page cache fills the container", "warn"],
  "shmem": ["Shared memory fills the container", "warn"],
  "sockets": ["Socket buffers fill the container", "warn"],
  "kernel-memory": ["Kernel memory fills the container", "warn"],
  "threads-or-processes": ["Too many threads or processes", "warn"],
  "other-process": ["Another process holds the memory", "warn"],
  "ancestor-limit": ["The limit of a parent was hit", "warn"],
  "host-oom": ["The host ran out of memory", "warn"],
  "swap-exhausted": ["Swap is exhausted", "warn"],
  "not-oom": ["It was not out of memory", "neutral"],
  "accounting-fault": ["The kernel's accounting is at fault", "warn"],
  "none": ["No problem found", "good"],
  "unknown": ["The cause is not known", "neutral"],
};

function section(id, title, explanation, ...content) {
  return h("section", {id, "aria-labelledby": `${id}-title`}, h("h2", {id: `${id}-title`}, title),
    explanation && h("details", {class: "explain"}, h("summary", {}, "What is this?"), h("p", {}, explanation)), content);
}

function baseName(path) {
  return path === null ? null : path.slice(path.lastIndexOf("/") + 1);
}

// --- The first screen ---

function header() {
  const {target, recording} = data;
  if (!data.recorded) return headerOf("Memory report", "", "Without a recording: from the evidence of the kernel and the container runtime", null);
  const facts = [`${recording.state}${target.uptime_s === null ? "" : ` after ${seconds(target.uptime_s)}`}`, target.start_time && `started ${target.start_time.replace("T", " ").replace(/\.\d+Z$/, " UTC")}`,
    target.hostname && `host ${target.hostname}`, target.container_id && `container ${target.container_id.slice(0, 12)}`, target.libc, data.sampling];
  return headerOf(baseName(target.exe) ?? "unknown program", target.pid === null ? "" : ` pid ${target.pid}`, facts.filter(Boolean).join(" \u00b7 "), target.command);
}

function headerOf(name, more, facts, command) {
  return h("header", {},
    h("div", {}, h("h1", {}, name, h("span", {class: "muted"}, more)), h("p", {class: "muted"}, facts),
      command && h("p", {class: "command"}, h("code", {}, command))),
    h("div", {class: "actions screen-only"},
      h("button", {type: "button", onclick: () => theme.toggle(), "aria-label": "Switch between light and dark"}, "Light / dark"),
      h("button", {type: "button", onclick: () => print()}, "Print")));
}

function navigation(sections) {
  return h("nav", {class: "screen-only", "aria-label": "Sections"}, sections.map((part) =>
    h("button", {type: "button", onclick: () => part.scrollIntoView({behavior: "smooth"})}, part.id === "verdict" ? "Verdict" : part.querySelector("h2").textContent)));
}

function tile(label, value, note) {
  return h("div", {class: "tile"}, h("span", {class: "muted"}, label), h("b", {}, value), note && h("span", {class: "muted"}, note));
}

function tiles() {
  const {cgroup, totals, verdict, suspects} = data;
  const lost = data.recording.reachability;
  const usage = data.memory.cgroup_bytes ?? cgroup.usage_bytes;
  const growth = suspects.filter((suspect) => suspect.kind === "growing").reduce((sum, suspect) => sum + (suspect.growth_bytes_per_s ?? 0), 0);
  return h("div", {class: "tiles"},
    data.recorded && tile("Native heap, live", bytes(totals.live_bytes), `${count(totals.live_allocations)} blocks` + (totals.peak_live_bytes === null ? "" : `, ${bytes(totals.peak_live_bytes)} at the peak`)),
    usage !== null && tile("Container", bytes(usage), cgroup.limit_bytes === null ? "no limit is known" : `${percent(usage, cgroup.limit_bytes)} of ${bytes(cgroup.limit_bytes)}`),
    lost.lost_bytes !== null && tile("Lost for certain", bytes(lost.lost_bytes), lost.lost_bytes > 0 ? `${count(lost.lost_allocations)} block${lost.lost_allocations === 1 ? "" : "s"} that no pointer leads to` : "pointers to all blocks exist"),
    growth > 0 && tile("Growth of the suspects", `${bytes(growth)}/s`, `${bytes(growth * 3600)} an hour`),
    verdict.time_to_limit_s !== null && tile("To the limit", seconds(verdict.time_to_limit_s), "at this rate"),
    verdict.recommended_limit_bytes !== null && tile("Limit that would do", bytes(verdict.recommended_limit_bytes), "recommended"));
}

function verdictSection() {
  const {verdict} = data;
  const [title, tone] = causes[verdict.cause] ?? [verdict.cause, "neutral"];
  const sure = {confirmed: "confirmed", likely: "likely", possible: "possible"}[verdict.confidence] ?? verdict.confidence;
  const element = h("section", {id: "verdict", class: `verdict ${tone}`},
    h("h2", {}, title, h("span", {class: "pill"}, sure)),
    h("p", {class: "summary"}, verdict.summary), tiles(),
    verdict.advice.length > 0 && h("div", {}, h("h3", {}, "What to do next"), h("ul", {}, verdict.advice.map((line) => h("li", {}, line)))));
  return element;
}

// --- Memory ---

function memorySection() {
  const rows = bridgeRows();
  if (rows.length === 0) return null;
  const {memory, cgroup} = data;
  const whole = memory.cgroup_bytes ?? rows.reduce((sum, row) => sum + row.value, 0);
  const limit = cgroup.limit_bytes;
  const line = (color, label, explanation, value) => h("tr", {}, h("td", {}, h("span", {class: `swatch ${color}`}), label, h("span", {class: "muted small"}, ` ${explanation}`)),
    h("td", {class: "number"}, bytes(value)), h("td", {class: "number"}, percent(value, whole)), limit !== null && h("td", {class: "number"}, percent(value, limit)));
  const body = rows.map((row) => line(row.color, row.label, row.explanation, row.value));
  if (limit !== null && limit > whole) body.push(line("headroom", "headroom", "up to the limit", limit - whole));
  const when = memory.snapshot_before_end_s === null ? "" : ` As of the snapshot ${seconds(memory.snapshot_before_end_s)} before the end.`;
  const unknown = bridgeUnknown();
  return section("memory", "Where the memory is",
    "Every byte that the kernel counts against the container's limit, put somewhere. Only the native heap can leak through malloc; the other parts have other reasons and other remedies." + when,
    bridgeChart(),
    h("div", {class: "scroll"}, h("table", {class: "bridge"}, h("thead", {}, h("tr", {}, h("th", {class: "text"}, "Part"), h("th", {class: "number"}, "Bytes"), h("th", {class: "number"}, "of usage"), limit !== null && h("th", {class: "number"}, "of limit"))),
      h("tbody", {}, body))),
    (when || unknown.length > 0) && h("p", {class: "muted"}, when, unknown.length > 0 && ` Not known: ${unknown.join(", ")}.`));
}

function timelineSection() {
  const {timeline} = data;
  if (timeline.t.length + timeline.marks.length === 0) return null;
  const key = (name, text) => h("span", {}, h("span", {class: `key ${name}`}), text);
  return section("timeline", "Over time",
    "Cgroup usage is what counts against the limit; below it the native heap. Dots are snapshots, dotted lines the shares of the limit at which some were taken, a cross is a kill. Page cache lets usage run ahead of the heap without harm.",
    h("p", {class: "legend"}, key("usage", "cgroup usage"), key("live", "native heap, live"), data.cgroup.limit_bytes !== null && key("limit-key", `limit ${bytes(data.cgroup.limit_bytes)}`), timeline.marks.length > 0 && key("mark", "snapshot")),
    timelineChart());
}

// --- Suspects ---

function suspectText(suspect) {
  const stack = suspect.stack.map((frame) => `    ${frame.f}${frame.p ? ` (${frame.p})` : ""}`).join("\n");
  return `Problem suspect ${suspect.rank} [${suspect.id}] ${suspect.words}, ${suspect.confidence}\n${suspect.paragraph}\n${stack}\n`;
}

function frameItem(frame) {
  return h("li", {class: frame.h ? "helper" : null}, h("code", {}, frame.f), frame.i && h("span", {class: "muted small"}, " inlined"), " ",
    h("span", {class: "muted"}, [frame.p && baseName(frame.p), frame.m && baseName(frame.m)].filter(Boolean).join(" \u00b7 ")));
}

function suspectCard(suspect, showInGraph) {
  const own = suspect.stack.filter((frame) => !frame.h);
  const helpers = suspect.stack.length - own.length;
  const copy = h("button", {type: "button", onclick: () => copyText(suspectText(suspect), copy)}, "Copy for a ticket");
  return h("article", {class: `card suspect ${suspect.kind}`, id: suspect.id},
    h("h3", {}, `Problem suspect ${suspect.rank}`, h("span", {class: "pill"}, suspect.words), h("span", {class: "pill"}, suspect.confidence),
      suspect.lost_bytes > 0 && h("span", {class: "pill"}, `${bytes(suspect.lost_bytes)} lost for certain`), h("code", {class: "muted"}, suspect.id)),
    h("p", {class: "place"}, h("code", {}, suspect.name)),
    h("p", {}, suspect.paragraph),
    h("div", {class: "pair"},
      h("figure", {}, h("figcaption", {}, "What lives now, by when it was allocated"), grownChart(suspect)),
      h("figure", {}, h("figcaption", {}, "Ages: ", h("span", {class: "key alive-key"}), "alive ", h("span", {class: "key died-key"}), "freed at that age"), ageChart(suspect))),
    h("details", {open: suspect.rank === 1}, h("summary", {}, `Stack, ${suspect.stack.length} frames`),
      h("ol", {class: "stack"}, helpers > 0 && h("li", {class: "muted"}, `\u2026 ${helpers} frame${helpers === 1 ? "" : "s"} of libraries that only pass the allocation on`), own.map(frameItem))),
    h("div", {class: "toolbar screen-only"}, copy, h("button", {type: "button", onclick: () => showInGraph(suspect.node)}, "Show in the flame graph")));
}

function suspectsSection(showInGraph) {
  const {suspects, suspects_in_all: all, suppressed} = data;
  const notes = [];
  if (suspects.length === 0) notes.push("No site keeps a share of what it allocates that matters.");
  if (all > suspects.length) notes.push(`${all - suspects.length} more suspects are in --json.`);
  if (suppressed > 0) notes.push(`${suppressed} suspect${suppressed === 1 ? " was" : "s were"} passed over, as the suppressions say.`);
  return section("suspects", "Suspects",
    "A leak is a place whose blocks stop dying while more of them come. For each place memtrace knows at which age its blocks were freed, and how old those are that live. From that it estimates the share that is never freed. A place that only holds much, such as a table that is loaded at the start, is none. The left chart of a leak is a straight line up to now; that of a start-up table ends early; that of a cache is steep only at its end.",
    suspects.map((suspect) => suspectCard(suspect, showInGraph)), notes.map((note) => h("p", {class: "muted"}, note)));
}

// --- The flame graph ---

function flameSection(graph) {
  const shown = metrics.filter((metric) => data.tree.self[metric.index].some((value) => value > 0));
  const choices = [...(data.baseline ? [difference] : []), ...(shown.length > 0 ? shown : metrics.slice(0, 1))];
  let metric = choices.find((choice) => choice.key === (state.get("metric") ?? (data.baseline ? "difference" : data.metric))) ?? choices[0];
  let inverted = state.get("view") === "inverted";
  const matched = h("output", {class: "muted"});
  const note = h("p", {class: "muted small"});
  const reset = h("button", {type: "button", onclick: () => graph.zoom(0)}, "Whole graph");
  const search = h("input", {type: "search", placeholder: "Search, / for a regular expression/", "aria-label": "Search in the flame graph", value: state.get("search") ?? ""});
  const invert = h("button", {type: "button", "aria-pressed": String(inverted)}, "Inverted");
  const buttons = choices.map((choice) => h("button", {type: "button", role: "radio", onclick: () => choose(choice)}, choice.label));

  const find = () => {
    const sum = graph.search(search.value);
    matched.textContent = search.value === "" ? "" : `${metric.unit(sum)} matched, ${percent(sum, graph.tree.total[0]) || "0 %"}`;
    remember("search", search.value);
  };
  const update = (focus) => {
    buttons.forEach((button, i) => button.setAttribute("aria-checked", String(choices[i] === metric)));
    invert.setAttribute("aria-pressed", String(inverted));
    graph.show(metric, inverted, focus);
    note.textContent = `${metric.label}: ${metric.explanation}. ${inverted ? "Each allocating function at the top, its callers below." : "The program's entry at the top, what it calls below."}`;
    reset.hidden = graph.focus === 0;
    find();
  };
  const choose = (choice) => {
    metric = choice;
    remember("metric", choice.key);
    remember("zoom", null);
    update(0);
  };
  search.addEventListener("input", find);
  invert.addEventListener("click", () => {
    inverted = !inverted;
    remember("view", inverted ? "inverted" : null);
    remember("zoom", null);
    update(0);
  });
  graph.onzoom = (node) => { reset.hidden = node === 0; };
  const element = section("flame", "Flame graph",
    "Each box is a function; its width is what was allocated by it and by everything that it called. A click zooms, Escape zooms out, the search marks matching functions and says what they weigh together. Colours tell modules apart. In the difference, orange is what came since the baseline and blue what went.",
    h("div", {class: "toolbar screen-only"}, h("div", {class: "segments", role: "radiogroup", "aria-label": "What the width means"}, buttons), invert, search, matched, reset),
    note, graph.host, graph.details);
  update(Number(state.get("zoom") ?? 0));
  return {element, showNode(node) {
    inverted = false;
    if (metric !== difference && graph.tree.total[node] === 0) metric = choices[0];
    update(0);
    graph.zoom(node);
    element.scrollIntoView({behavior: "smooth"});
    graph.canvas.focus({preventScroll: true});
  }, search};
}

// --- Baseline, evidence, limits of the recording ---

function baselineSection() {
  const {baseline} = data;
  if (!baseline) return null;
  const rows = [["Live in the baseline", baseline.before_bytes, baseline.before_allocations], ["Live now", data.totals.live_bytes, data.totals.live_allocations], ["Difference", baseline.difference_bytes, baseline.difference_allocations]];
  if (baseline.same_process) rows.push(["New since then", baseline.new_bytes, baseline.new_allocations], ["Freed since then", baseline.freed_bytes, baseline.freed_allocations], ["Survived", baseline.survived_bytes, baseline.survived_allocations]);
  return section("baseline", "Against the baseline", null,
    h("p", {}, "Compared with ", h("code", {}, baseline.file), baseline.time ? ` of ${baseline.time}` : "", baseline.same_process ? ", an earlier state of this process." : ", another process: single blocks cannot be followed."),
    h("div", {class: "scroll"}, h("table", {}, h("thead", {}, h("tr", {}, h("th", {}), h("th", {class: "number"}, "Bytes"), h("th", {class: "number"}, "Blocks"))),
      h("tbody", {}, rows.map(([label, size, blocks]) => h("tr", {}, h("td", {}, label), h("td", {class: "number"}, bytes(size)), h("td", {class: "number"}, count(blocks))))))),
    baseline.sites_gone > 0 && h("p", {class: "muted"}, `${baseline.sites_gone} sites of the baseline hold nothing any more.`));
}

function evidenceSection() {
  const {verdict, oom, cgroup} = data;
  const parts = [];
  if (verdict.evidence.length > 0) parts.push(h("ul", {class: "evidence"}, verdict.evidence.map((line) => h("li", {}, line))));
  if (oom.kills.length > 0) {
    parts.push(h("h3", {}, "Kills by the kernel"), h("div", {class: "scroll"}, h("table", {}, h("thead", {}, h("tr", {}, ["Time", "Process", "Scope", "Resident", "Usage", "Limit", "Cgroup"].map((name) => h("th", {}, name)))),
      h("tbody", {}, oom.kills.map((kill) => h("tr", {class: kill.is_target ? "target" : null}, [kill.time ?? "unknown", `${kill.comm} (${kill.pid})`, kill.scope ?? "unknown",
        kill.anon_rss_kb === null ? "unknown" : bytes(1024 * (kill.anon_rss_kb + (kill.file_rss_kb ?? 0) + (kill.shmem_rss_kb ?? 0))), kill.usage_kb === null ? "unknown" : bytes(1024 * kill.usage_kb),
        kill.limit_kb === null ? "unknown" : bytes(1024 * kill.limit_kb), kill.oom_memcg ?? kill.task_memcg ?? ""].map((text) => h("td", {}, text))))))));
  }
  if (oom.container_oom_killed !== null || oom.exit_code !== null)
    parts.push(h("p", {}, `The container runtime says: OOM killed ${oom.container_oom_killed ?? "unknown"}, exit code ${oom.exit_code ?? "unknown"}.`));
  const facts = [["path", cgroup.path], ["version", cgroup.version], ["limit", cgroup.limit_bytes === null ? null : bytes(cgroup.limit_bytes)], ["usage", cgroup.usage_bytes === null ? null : bytes(cgroup.usage_bytes)],
    ["working set", cgroup.working_set_bytes === null ? null : bytes(cgroup.working_set_bytes)], ["peak", cgroup.peak_bytes === null ? null : bytes(cgroup.peak_bytes)], ["swap", cgroup.swap_bytes === null ? null : bytes(cgroup.swap_bytes)],
    ["kills counted", cgroup.oom_kills], ["processes", cgroup.pids === null ? null : `${cgroup.pids}${cgroup.pids_limit === null ? "" : ` of ${cgroup.pids_limit}`}`],
    ["full memory pressure, 10 s", cgroup.pressure_full_avg10 === null ? null : `${cgroup.pressure_full_avg10} %`]].filter(([, value]) => value !== null && value !== undefined);
  if (facts.length > 0) parts.push(h("h3", {}, "The cgroup"), pairs(facts.map(([name, value]) => [name, String(value)])));
  return parts.length === 0 ? null : section("evidence", "Evidence", "What the verdict rests on, for and against. Where it was read from a file, the file and the line are named.", parts);
}

function recordingSection() {
  const {recording, blind_spots: blind, losses, others, others_in_all: all} = data;
  const parts = [];
  if (losses.length > 0) parts.push(h("p", {class: "warning"}, "The input is damaged or truncated. Lost: ", losses.map((loss) => `${loss.amount} ${loss.what}`).join("; "), "."));
  if (blind.length > 0) parts.push(h("ul", {}, blind.map((line) => h("li", {}, line))));
  parts.push(h("p", {}, recording.coarsest_sample_bytes <= 1 ? "Every allocation was recorded: the figures are exact." :
    `Recorded was ${data.sampling}. The figures are estimates without bias; where they scatter, the range of 95 % confidence is in the table of sites.`));
  if (recording.reachability.lost_bytes !== null && recording.reachability.pause_s !== null)
    parts.push(h("p", {}, `Lost blocks were looked for in a copy of the process, for which it stood still for ${(1000 * recording.reachability.pause_s).toFixed(1)} ms.`));
  parts.push(pairs([["allocations", count(data.totals.allocations)], ["allocated", bytes(data.totals.allocated_bytes)], ["frees", count(data.totals.frees)], ["freed", bytes(data.totals.freed_bytes)], ["input", data.file]]));
  if (others.length > 0) {
    parts.push(h("h3", {}, "Other processes"), h("div", {class: "scroll"}, h("table", {}, h("thead", {}, h("tr", {}, h("th", {class: "text"}, "Program"), h("th", {class: "number"}, "Live"), h("th", {}, "Verdict"))),
      h("tbody", {}, others.map((other) => h("tr", {}, h("td", {}, `${other.exe ?? "unknown program"} (pid ${other.pid})`), h("td", {class: "number"}, bytes(other.live)), h("td", {}, other.cause)))))));
    if (all > others.length) parts.push(h("p", {class: "muted"}, `${all - others.length} more are in --json.`));
  }
  return section("recording", "The recording, and its limits", null, parts);
}

// --- All of it ---

function begin() {
  theme.begin();
  const graph = new FlameGraph();
  let flame = null;
  const showInGraph = (node) => flame.showNode(node);
  flame = flameSection(graph);
  const sites = data.recorded && new SiteTable(showInGraph);
  const sections = [verdictSection(), memorySection(), timelineSection(), baselineSection(), data.recorded && suspectsSection(showInGraph), data.recorded && flame.element,
    data.recorded && section("sites", "Allocation sites", "A site is a stack that allocates. Click a name for its stack, a heading to sort. Temporary ones were freed before the next allocation of their thread. Grows by: bytes that will never be freed, if the site goes on as it did. Behaviour: what becomes of its blocks; unknown where too few were recorded to tell.", sites.element),
    evidenceSection(), data.recorded && recordingSection()].filter(Boolean);
  document.getElementById("page").append(header(), navigation(sections), ...sections,
    h("footer", {class: "muted"}, "Written by memtrace-report. This file loads nothing and sends nothing. Keys: / search, arrows and Enter in the flame graph, Escape back, t light or dark."));
  document.body.append(tooltip.element);
  graph.draw();
  document.addEventListener("keydown", (event) => {
    if (event.target instanceof HTMLInputElement || event.ctrlKey || event.altKey || event.metaKey) return;
    if (event.key === "/" && data.recorded) {
      flame.search.focus();
      flame.element.scrollIntoView({behavior: "smooth"});
    } else if (event.key === "t") {
      theme.toggle();
    } else {
      return;
    }
    event.preventDefault();
  });
  // Closed details would be missing on paper.
  addEventListener("beforeprint", () => { for (const details of document.querySelectorAll("details:not(.explain)")) details.open = true; });
  document.documentElement.dataset.ready = "true";
}

begin();
