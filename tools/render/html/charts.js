// Charts in SVG. Each is drawn for the width that it has, and again when that changes.

// Calls draw(svg, width) now and at every change of width.
function chart(label, height, draw) {
  const canvas = svg("svg", {class: "chart", role: "img", "aria-label": label, height});
  const host = h("div", {class: "chart-host"}, canvas);
  let drawn = 0;
  const redraw = () => {
    const width = Math.floor(host.clientWidth);
    if (width === 0 || width === drawn) return;
    drawn = width;
    canvas.setAttribute("width", width);
    canvas.setAttribute("viewBox", `0 0 ${width} ${height}`);
    canvas.replaceChildren();
    draw(canvas, width);
  };
  new ResizeObserver(redraw).observe(host);
  return host;
}

// Round steps in units of 1024: about `wanted` of them up to `largest`.
function byteTicks(largest, wanted) {
  const unit = 1024 ** Math.max(0, Math.floor(Math.log(Math.max(largest, 1)) / Math.log(1024)));
  const raw = largest / wanted / unit;
  const choices = [0.05, 0.1, 0.2, 0.25, 0.5, 1, 2, 4, 5, 8, 10, 16, 20, 32, 50, 64, 100, 128, 200, 256, 512];
  const step = (choices.find((choice) => choice >= raw) ?? 1024) * unit;
  const ticks = [];
  for (let tick = 0; tick <= largest * 1.0001; tick += step) ticks.push(tick);
  return ticks;
}

function tickBytes(tick) {
  return bytes(Math.round(tick)).replace(/\.0 /, " ");
}

function timeTicks(from, to, wanted) {
  const choices = [0.001, 0.01, 0.1, 0.2, 0.5, 1, 2, 5, 10, 15, 30, 60, 120, 300, 600, 900, 1800, 3600, 7200, 10800,
    21600, 43200, 86400, 172800, 604800];
  const step = choices.find((choice) => choice >= (to - from) / wanted) ?? 2592000 * Math.ceil((to - from) / wanted / 2592000);
  const ticks = [];
  for (let tick = Math.ceil(from / step) * step; tick <= to + step / 1e6; tick += step) ticks.push(tick);
  return {ticks, step};
}

function tickTime(t, step) {
  if (step < 1) return `${t.toFixed(step < 0.01 ? 3 : step < 0.1 ? 2 : 1)} s`;
  if (step < 60 && t < 120) return `${Math.round(t)} s`;
  if (step < 3600 && t < 7200) return `${Math.floor(t / 60)}:${String(Math.round(t % 60)).padStart(2, "0")} min`;
  if (step < 86400) return `${Math.floor(t / 3600)}:${String(Math.round(t / 60) % 60).padStart(2, "0")} h`;
  return `${Math.round(t / 86400)} d`;
}

// "M x y L x y ..." over the points whose value is known; `closed` down to `floor` for an area.
function linePath(points, x, y, floor) {
  let path = "";
  let begin = null;
  let last = null;
  const close = () => {
    if (floor !== undefined && last !== null) path += `L${x(last[0]).toFixed(1)} ${floor}L${x(begin[0]).toFixed(1)} ${floor}Z`;
    begin = last = null;
  };
  for (const point of points) {
    if (point[1] === null) {
      close();
      continue;
    }
    path += `${last === null ? "M" : "L"}${x(point[0]).toFixed(1)} ${y(point[1]).toFixed(1)}`;
    begin ??= point;
    last = point;
  }
  close();
  return path;
}

// --- Where the memory is ---

const bridgeParts = [
  ["native_live_bytes", "native heap, live", "blocks that the program has allocated and not freed"],
  ["allocator_overhead_bytes", "allocator overhead", "free blocks that the allocator keeps, and its own records"],
  ["other_anon_bytes", "managed heap, other anonymous", "mapped by the program itself or by a language runtime, not through malloc"],
  ["stacks_bytes", "thread stacks", "the stacks of the process's threads"],
  ["other_processes_bytes", "other processes", "of the same cgroup"],
  ["file_bytes", "page cache", "files that were read or written; the kernel gives most of it back under pressure"],
  ["shmem_bytes", "shared memory", "tmpfs, /dev/shm and shared anonymous mappings: not given back without swap"],
  ["kernel_bytes", "kernel", "page tables, kernel stacks, slab"],
  ["sock_bytes", "sockets", "buffers of network connections"],
  ["anon_bytes", "anonymous memory", "heaps, stacks and whatever else is no file: without a recording not told apart"],
];

function bridgeDetail(key) {
  const {allocator_retained_bytes: retained, allocator_fragmented_bytes: fragmented} = data.memory;
  if (key !== "allocator_overhead_bytes" || retained === null || fragmented === null) return "";
  return `: ${bytes(retained)} that trimming would give back, ${bytes(fragmented)} in pages that are partly used`;
}

function bridgeRows() {
  const memory = data.memory;
  const rows = [];
  let known = 0;
  bridgeParts.forEach(([key, label, explanation], index) => {
    const value = memory[key];
    // With a recording the anonymous memory is the sum of some of the others.
    if (value === null || value === undefined || (key === "anon_bytes" && data.recorded)) return;
    known += value;
    rows.push({label, explanation: explanation + bridgeDetail(key), value, color: `part-${index}`});
  });
  const usage = memory.cgroup_bytes;
  if (usage !== null && usage - known > usage / 1000)
    rows.push({label: "not accounted for", explanation: "in the cgroup, but in none of the known parts", value: usage - known, color: "part-rest"});
  return rows;
}

function bridgeUnknown() {
  return bridgeParts.filter(([key]) => data.memory[key] === null && (key === "anon_bytes") !== data.recorded).map(([, label]) => label);
}

function bridgeChart() {
  const rows = bridgeRows();
  const sum = rows.reduce((total, row) => total + row.value, 0);
  const limit = data.cgroup.limit_bytes;
  const whole = Math.max(limit ?? 0, sum, 1);
  return chart("Memory of the cgroup by kind, against its limit", limit ? 66 : 42, (canvas, width) => {
    const scale = (value) => value / whole * (width - 2);
    let x = 1;
    canvas.append(svg("rect", {class: "headroom", x: 1, y: 1, width: width - 2, height: 38, rx: 5}));
    for (const row of rows) {
      const w = scale(row.value);
      const bar = svg("rect", {class: row.color, x: x.toFixed(2), y: 1, width: Math.max(w, 0).toFixed(2), height: 38});
      bar.addEventListener("mousemove", (event) => tooltip.show(event, h("b", {}, row.label), pairs([
        ["bytes", bytes(row.value)], ["of the cgroup", percent(row.value, data.memory.cgroup_bytes ?? sum)],
        ...(limit ? [["of the limit", percent(row.value, limit)]] : [])]), h("p", {}, row.explanation)));
      bar.addEventListener("mouseleave", () => tooltip.hide());
      canvas.append(bar);
      if (w > 74) canvas.append(svg("text", {class: "in-bar", x: x + 8, y: 25}, bytes(row.value)));
      x += w;
    }
    if (!limit) return;
    const at = 1 + scale(limit);
    canvas.append(svg("line", {class: "limit", x1: at, x2: at, y1: 0, y2: 48}),
      svg("text", {class: "limit-text", x: at, y: 61, "text-anchor": "end"}, `limit ${bytes(limit)}`),
      svg("text", {class: "axis", x: 1, y: 61}, `${bytes(data.memory.cgroup_bytes ?? sum)} used, ${percent(data.memory.cgroup_bytes ?? sum, limit)}`));
  });
}

// --- The time line ---

// When each kill happened on the page's clock; one without a readable time stands at the end.
function killMarks() {
  const start = Date.parse(data.target.start_time);
  return data.oom.kills.map((kill) => {
    const time = Date.parse(kill.time);
    const known = !Number.isNaN(time) && !Number.isNaN(start);
    const t = known ? (time - start) / 1000 : data.timeline.end;
    return {t, label: `OOM kill: ${kill.comm} (${kill.pid})`};
  }).filter((kill) => kill.t >= 0 && kill.t <= data.timeline.end * 1.25 + 60);
}

function timelineChart() {
  const line = data.timeline;
  const points = (values) => line.t.map((t, i) => [t, values[i]]);
  const usage = points(line.usage);
  const live = points(line.live);
  const limit = data.cgroup.limit_bytes;
  const kills = killMarks();
  if (kills.length === 0 && data.recording.state === "killed") kills.push({t: line.end, label: "killed"});
  const snapshots = line.marks.map((mark) => ({...mark, label: mark.percent ? `${mark.percent} %` : mark.trigger === "none" ? "snapshot" : mark.trigger}));
  const to = Math.max(line.end, ...line.t, ...kills.map((kill) => kill.t), 1e-3);
  const highest = Math.max(1, ...line.usage.filter((v) => v !== null), ...line.live.filter((v) => v !== null));
  // A limit far above everything would press the curves to the ground: then it is named, not drawn.
  const limitFits = limit !== null && limit < highest * 8;
  const top = Math.max(highest, limitFits ? limit : 0) * 1.06;

  return chart("Memory over time", 260, (canvas, width) => {
    const box = {left: 66, right: width - 14, top: 26, bottom: 228};
    const x = (t) => box.left + t / to * (box.right - box.left);
    const y = (v) => box.bottom - v / top * (box.bottom - box.top);
    for (const tick of byteTicks(top, 5)) {
      canvas.append(svg("line", {class: "grid", x1: box.left, x2: box.right, y1: y(tick), y2: y(tick)}),
        svg("text", {class: "axis", x: box.left - 8, y: y(tick) + 4, "text-anchor": "end"}, tickBytes(tick)));
    }
    const {ticks, step} = timeTicks(0, to, Math.max(3, width / 130));
    for (const tick of ticks) {
      canvas.append(svg("text", {class: "axis", x: x(tick), y: box.bottom + 18, "text-anchor": tick === 0 ? "start" : x(tick) > width - 40 ? "end" : "middle"}, tickTime(tick, step)));
    }
    canvas.append(svg("path", {class: "usage-area", d: linePath(usage, x, y, box.bottom)}),
      svg("path", {class: "usage-line", d: linePath(usage, x, y)}),
      svg("path", {class: "live-line", d: linePath(live, x, y)}));
    if (limitFits) {
      canvas.append(svg("line", {class: "limit", x1: box.left, x2: box.right, y1: y(limit), y2: y(limit)}),
        svg("text", {class: "limit-text", x: box.left + 6, y: y(limit) - 5}, `limit ${bytes(limit)}`));
      for (const share of new Set(snapshots.map((mark) => mark.percent).filter(Boolean))) {
        const at = y(limit * share / 100);
        canvas.append(svg("line", {class: "threshold", x1: box.left, x2: box.right, y1: at, y2: at}));
      }
    }
    let free = -Infinity;  // labels that would overlap are left out: the tooltip has them
    for (const mark of snapshots) {
      canvas.append(svg("line", {class: "snapshot", x1: x(mark.t), x2: x(mark.t), y1: box.top - 8, y2: box.bottom}),
        svg("circle", {class: "snapshot-dot", cx: x(mark.t), cy: box.top - 8, r: 3.5}));
      if (x(mark.t) - free < 44) continue;
      free = x(mark.t);
      canvas.append(svg("text", {class: "axis", x: x(mark.t), y: box.top - 15, "text-anchor": x(mark.t) > width - 60 ? "end" : "middle"}, mark.label));
    }
    for (const kill of kills) {
      const at = x(kill.t);
      canvas.append(svg("line", {class: "kill", x1: at, x2: at, y1: box.top - 8, y2: box.bottom}),
        svg("path", {class: "kill", d: `M${at - 5} ${box.top - 13}l10 10m0 -10l-10 10`}),
        svg("text", {class: "limit-text", x: at - 8, y: box.bottom - 6, "text-anchor": "end"}, kill.label));
    }
    addCrosshair(canvas, box, x, to, y, usage, live, snapshots, kills);
  });
}

function addCrosshair(canvas, box, x, to, y, usage, live, snapshots, kills) {
  if (usage.length === 0) return;
  const hair = svg("line", {class: "crosshair", y1: box.top, y2: box.bottom, visibility: "hidden"});
  const dots = [svg("circle", {class: "usage-dot", r: 4, visibility: "hidden"}), svg("circle", {class: "live-dot", r: 4, visibility: "hidden"})];
  canvas.append(hair, ...dots);
  canvas.addEventListener("mousemove", (event) => {
    const t = (event.offsetX - box.left) / (box.right - box.left) * to;
    let nearest = 0;
    usage.forEach((point, i) => { if (Math.abs(point[0] - t) < Math.abs(usage[nearest][0] - t)) nearest = i; });
    const at = x(usage[nearest][0]);
    hair.setAttribute("x1", at);
    hair.setAttribute("x2", at);
    hair.setAttribute("visibility", "visible");
    [usage, live].forEach((points, i) => {
      const value = points[nearest][1];
      dots[i].setAttribute("visibility", value === null ? "hidden" : "visible");
      dots[i].setAttribute("cx", at);
      dots[i].setAttribute("cy", y(value ?? 0));
    });
    const near = [...snapshots.map((mark) => ({t: mark.t, label: `snapshot (${mark.label})`})), ...kills]
      .filter((mark) => Math.abs(x(mark.t) - at) < 8).map((mark) => h("p", {}, mark.label));
    tooltip.show(event, pairs([["after", seconds(usage[nearest][0])], ["cgroup usage", bytes(usage[nearest][1])],
      ["native heap, live", bytes(live[nearest][1])]]), ...near);
  });
  canvas.addEventListener("mouseleave", () => {
    tooltip.hide();
    for (const mark of [hair, ...dots]) mark.setAttribute("visibility", "hidden");
  });
}

// --- Small charts of a suspect ---

function grownChart(suspect) {
  const points = suspect.grown;
  const to = Math.max(data.timeline.end, 1e-3);
  const top = Math.max(suspect.live_bytes, ...suspect.older.map((point) => point[1]), 1) * 1.1;
  return chart("What lives now, by when it was allocated", 128, (canvas, width) => {
    const box = {left: 2, right: width - 4, top: 18, bottom: 108};
    const x = (t) => box.left + Math.max(0, t) / to * (box.right - box.left);
    const y = (v) => box.bottom - v / top * (box.bottom - box.top);
    // Blocks lie between births: steps to the right would claim more than is known.
    const line = [[points.length > 0 ? Math.max(0, points[0][0]) : 0, 0], ...points, [to, points.length > 0 ? points[points.length - 1][1] : 0]];
    canvas.append(svg("line", {class: "grid", x1: box.left, x2: box.right, y1: box.bottom, y2: box.bottom}),
      svg("path", {class: "suspect-area", d: linePath(line, x, y, box.bottom)}),
      svg("path", {class: "suspect-line", d: linePath(line, x, y)}),
      svg("text", {class: "axis", x: box.left, y: 122}, "start"),
      svg("text", {class: "axis", x: box.right, y: 122, "text-anchor": "end"}, seconds(to)),
      svg("text", {class: "axis", x: box.left, y: 12}, bytes(suspect.live_bytes)));
    for (const [t, value] of suspect.older)
      canvas.append(svg("circle", {class: "snapshot-dot", cx: x(t), cy: y(value), r: 3.5}, svg("title", {}, `snapshot after ${seconds(t)}: ${bytes(value)} live`)));
  });
}

function ageChart(suspect) {
  const ages = suspect.ages;
  const top = Math.max(1, ...ages.map(([, , alive, died]) => alive + died));
  return chart("Ages of its blocks", 128, (canvas, width) => {
    const box = {left: 2, right: width - 4, top: 18, bottom: 108};
    const slot = (box.right - box.left) / Math.max(ages.length, 1);
    const height = (v) => v / top * (box.bottom - box.top);
    canvas.append(svg("line", {class: "grid", x1: box.left, x2: box.right, y1: box.bottom, y2: box.bottom}));
    ages.forEach(([work, age, alive, died], i) => {
      const x = box.left + i * slot + slot * 0.1;
      const w = Math.min(slot * 0.8, 40);
      const bar = svg("g", {},
        svg("rect", {class: "alive", x, width: w, y: box.bottom - height(alive), height: height(alive)}),
        svg("rect", {class: "died", x, width: w, y: box.bottom - height(alive + died), height: height(died)}),
        svg("rect", {class: "hit", x: box.left + i * slot, width: slot, y: box.top, height: box.bottom - box.top}));
      bar.addEventListener("mousemove", (event) => tooltip.show(event,
        pairs([["age", `at least ${seconds(age)}`], ["that is", `${bytes(work)} of allocation`], ["alive", bytes(alive)], ["freed at that age", bytes(died)]])));
      bar.addEventListener("mouseleave", () => tooltip.hide());
      canvas.append(bar);
    });
    canvas.append(svg("text", {class: "axis", x: box.left, y: 122}, "young"),
      svg("text", {class: "axis", x: box.right, y: 122, "text-anchor": "end"}, "old"));
  });
}
