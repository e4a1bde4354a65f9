// The controls around the picture, the pointer and the keys.

// An element with attributes and children; text goes in as text, never as markup.
function element(name, attributes = {}, ...children) {
  const made = document.createElement(name);
  for (const [key, value] of Object.entries(attributes)) made.setAttribute(key, value);
  made.append(...children);
  return made;
}

// A spot of colour; that of no value follows the scheme.
function swatch(color) {
  const made = element("span", { class: color ? "swatch" : "swatch missing" });
  if (color) made.style.background = color;
  return made;
}

// --- colour and its legend

function showLegend() {
  const column = state.column;
  const missing = column.hasMissing
    ? [element("ul", { class: "classes" }, element("li", {}, swatch(), "no value"))]
    : [];
  byId("legend").replaceChildren(...(column.classes ? classLegend(column) : numberLegend(column)), ...missing);
}

function classLegend(column) {
  const entries = column.classes.map((name, code) => element("li", {}, swatch(column.colors[code]), name));
  const meaning = column.ofNodes ? "of the node" : "of the node's members, as slices";
  return [element("ul", { class: "classes" }, ...entries), element("p", { class: "note" }, `${column.name} ${meaning}`)];
}

function numberLegend(column) {
  const scale = element("div", { class: "scale" });
  scale.style.background = `linear-gradient(to right, ${data.ramp.map((_, k) => rampColor(k / (data.ramp.length - 1))).join(", ")})`;
  const [low, high] = column.limits.map(shortNumber);
  const ends = [column.beyond[0] ? `≤ ${low}` : low, column.beyond[1] ? `≥ ${high}` : high];
  return [
    scale,
    element("div", { class: "ends" }, ...ends.map((end) => element("span", {}, end))),
    element("p", { class: "note" }, column.ofNodes ? `${column.name} of the node` : `mean ${column.name} of the node's members`),
  ];
}

// --- what is said of a node, a sample, a selection

function factsOf(column, found, most = 8) {
  const lacking = found.missing ? ` (${found.missing} without)` : "";
  if (!found.known) return ["no value"];
  if (!column.classes) {
    const deviation = column.ofNodes ? "" : ` ± ${shortNumber(found.deviation)}`;
    return [`${shortNumber(found.mean)}${deviation}${lacking}`];
  }
  if (column.ofNodes) return [column.classes[found.counts[0][0]]];
  const bar = element("div", { class: "bar", "aria-hidden": "true" });
  for (const [code, count] of found.counts) {
    const part = element("span");
    part.style.background = column.colors[code];
    part.style.flexGrow = count;
    bar.append(part);
  }
  const named = found.counts.slice(0, most).map(([code, count]) => `${column.classes[code]}: ${count}`);
  const rest = found.counts.slice(most).reduce((sum, [, count]) => sum + count, 0);
  return [bar, named.join(", ") + (rest ? `, others: ${rest}` : "") + lacking];
}

const facts = (entries) =>
  element("dl", { class: "facts" }, ...entries.flatMap(([name, texts]) => [element("dt", {}, name), element("dd", {}, ...texts)]));

function statisticsOf(samples) {
  const columns = data.columns.filter((column) => !column.ofNodes);
  return columns.map((column) => [column.name, factsOf(column, statistics(column, valuesOf(column, samples)))]);
}

function thumbnail(sample) {
  const [page, left, top, width, height] = data.pictures[sample];
  const picture = element("canvas", { role: "img", "aria-label": `picture of sample ${nameOf(sample)}`, width, height });
  picture.getContext("2d").drawImage(byId(`atlas-${page}`), left, top, width, height, 0, 0, width, height);
  return picture;
}

function sampleTile(sample) {
  const tile = element("li", {}, ...(data.pictures?.[sample] ? [thumbnail(sample)] : []), nameOf(sample));
  if (data.tooltips) tile.append(element("br"), data.tooltips[sample]);
  return tile;
}

const degreeOf = (node) =>
  data.sources.filter((source, k) => (source === node || data.targets[k] === node) && isShown(source) && isShown(data.targets[k])).length;

function nodeFacts(node) {
  const hidden = membersOf(node).length - state.sizes[node];
  const size = String(state.sizes[node]) + (hidden ? ` (${hidden} hidden)` : "");
  const own = data.columns.filter((column) => column.ofNodes && !column.builtIn);
  const body = [
    facts([
      ["members", [size]],
      ["edges", [String(degreeOf(node))]],
      ...own.map((column) => [column.name, factsOf(column, nodeStatistics(column, node))]),
      ...statisticsOf(shownMembers(node)),
    ]),
  ];
  const nearest = (data.nearest?.[node] ?? []).filter((sample) => state.passes[sample]);
  if (nearest.length) {
    body.push(element("p", { class: "note" }, "nearest to the centre"), element("ul", { class: "thumbnails" }, ...nearest.map(sampleTile)));
  }
  return body;
}

function sampleFacts(sample) {
  const columns = data.columns.filter((column) => !column.ofNodes);
  const text = (column, value) => (isMissing(column, value) ? "no value" : column.classes ? column.classes[value] : shortNumber(value));
  const body = [facts(columns.map((column) => [column.name, [text(column, column.values[sample])]]))];
  if (data.pictures?.[sample] || data.tooltips) body.push(element("ul", { class: "thumbnails" }, sampleTile(sample)));
  return body;
}

function showDetails() {
  const node = state.pointed >= 0 ? state.pointed : state.focused;
  const [title, body] = [byId("details-title"), byId("details-body")];
  if (state.pointedSample >= 0) {
    title.textContent = `Sample ${nameOf(state.pointedSample)}`;
    body.replaceChildren(...sampleFacts(state.pointedSample));
  } else if (node >= 0 && isShown(node)) {
    title.textContent = `Node ${node}`;
    body.replaceChildren(...nodeFacts(node));
  } else {
    title.textContent = "Node";
    body.replaceChildren(element("p", { class: "note" }, "Point at a node, or tap it, to see what is in it."));
  }
}

function plainFact(column, node) {
  const found = nodeStatistics(column, node);
  const texts = factsOf(column, found, 3).map((part) => (typeof part === "string" ? part : ""));
  return `${column.name} ${texts.join("")}`;
}

function labelText() {
  if (state.pointedSample >= 0) {
    const said = data.tooltips ? `: ${data.tooltips[state.pointedSample]}` : "";
    return `sample ${nameOf(state.pointedSample)}${said}`;
  }
  const size = counted(state.sizes[state.pointed], "member");
  return `node ${state.pointed}, ${size}${state.column.builtIn ? "" : `; ${plainFact(state.column, state.pointed)}`}`;
}

function showLabel(x, y) {
  const label = byId("label");
  label.hidden = state.pointed < 0;
  if (label.hidden) return;
  label.textContent = labelText();
  const { clientWidth: width, clientHeight: height } = canvas;
  label.style.left = `${Math.max(4, Math.min(x + 14, width - label.offsetWidth - 4))}px`;
  label.style.top = `${y + 18 + label.offsetHeight > height ? y - 12 - label.offsetHeight : y + 18}px`;
}

function showSelection() {
  const samples = samplesOfSelection();
  const count = state.selected.size;
  byId("selection-note").replaceChildren(
    count
      ? `${counted(count, "node")}, ${counted(samples.length, "sample")}`
      : "Click a node, or draw a lasso around several: their samples are listed here.",
  );
  if (count > 1) byId("selection-note").append(facts(statisticsOf(samples)));
  byId("selection-body").hidden = !count;
  byId("samples").value = samples.map(nameOf).join("\n");
  const all = count && [...state.selected].every((node) => state.expanded.has(node));
  byId("expand").textContent = all ? "Collapse" : "Expand";
}

function showCounts() {
  const shown = data.x.filter((_, node) => isShown(node)).length;
  byId("shown").textContent = `${shown} of ${counted(nodeCount, "node")} shown`;
  byId("least-value").textContent = state.leastSize;
}

function refresh() {
  refreshModel();
  showLegend();
  showShownNodes();
}

function showShownNodes() {
  for (const node of state.selected) if (!isShown(node)) state.selected.delete(node);
  showCounts();
  showDetails();
  showSelection();
  redraw();
}

function select(nodes, adding) {
  if (!adding) state.selected.clear();
  for (const node of nodes) state.selected.add(node);
  showSelection();
  redraw();
}

function toggle(set, node) {
  if (!set.delete(node)) set.add(node);
  showSelection();
  redraw();
}

function clearSelection() {
  state.selected.clear();
  state.expanded.clear();
  state.focused = -1;
  showDetails();
  showSelection();
  redraw();
}

// --- pointer: one moves or draws a lasso, two pinch

const pointers = new Map();
let way = 0; // pixels that the pointer went since it was pressed
let lassoMode = false;

const placeOf = (event) => {
  const box = canvas.getBoundingClientRect();
  return [event.clientX - box.left, event.clientY - box.top];
};
const adds = (event) => event.shiftKey || event.ctrlKey || event.metaKey;

function pointAt(x, y) {
  const before = [state.pointed, state.pointedSample];
  [state.pointed, state.pointedSample] = whatIsAt(x, y);
  canvas.classList.toggle("pointing", state.pointed >= 0);
  if (state.pointed !== before[0] || state.pointedSample !== before[1]) {
    showDetails();
    redraw();
  }
  showLabel(x, y);
}

function pointNowhere() {
  [state.pointed, state.pointedSample] = [-1, -1];
  byId("label").hidden = true;
  showDetails();
  redraw();
}

canvas.addEventListener("pointerdown", (event) => {
  canvas.setPointerCapture(event.pointerId);
  pointers.set(event.pointerId, placeOf(event));
  way = pointers.size > 1 ? Infinity : 0;
  lassoLine = pointers.size === 1 && (lassoMode || event.shiftKey) ? [placeOf(event)] : null;
});

canvas.addEventListener("pointermove", (event) => {
  const [x, y] = placeOf(event);
  const before = pointers.get(event.pointerId);
  if (!before) {
    if (event.pointerType !== "touch") pointAt(x, y);
    return;
  }
  way += Math.hypot(x - before[0], y - before[1]);
  if (pointers.size === 2) pinch(event.pointerId, [x, y]);
  else if (lassoLine) lassoLine.push([x, y]);
  else if (way > 4) {
    canvas.classList.add("moving");
    byId("label").hidden = true;
    sight.x += x - before[0];
    sight.y += y - before[1];
  }
  pointers.set(event.pointerId, [x, y]);
  redraw();
});

function pinch(moved, now) {
  const before = pointers.get(moved);
  const [, other] = [...pointers].find(([id]) => id !== moved);
  const spread = (place) => Math.max(Math.hypot(place[0] - other[0], place[1] - other[1]), 1);
  sight.x += (now[0] - before[0]) / 2;
  sight.y += (now[1] - before[1]) / 2;
  zoomAt(spread(now) / spread(before), (now[0] + other[0]) / 2, (now[1] + other[1]) / 2);
}

canvas.addEventListener("pointerup", (event) => {
  const [x, y] = placeOf(event);
  if (lassoLine && way > 4) {
    const inside = data.x.map((_, node) => node).filter((node) => isShown(node) && isInside(lassoLine, ...centerOf(node)));
    select(inside, event.ctrlKey || event.metaKey || (lassoMode && event.shiftKey));
  } else if (way <= 4) {
    click(x, y, event);
  }
  release(event);
});

function click(x, y, event) {
  [state.pointed, state.pointedSample] = whatIsAt(x, y);
  if (state.pointed < 0) return;
  state.focused = state.pointed;
  if (adds(event) || lassoMode) toggle(state.selected, state.pointed);
  else select([state.pointed], false);
  showDetails();
  showLabel(x, y);
}

function release(event) {
  pointers.delete(event.pointerId);
  lassoLine = null;
  canvas.classList.remove("moving");
  redraw();
}

canvas.addEventListener("pointercancel", release);
canvas.addEventListener("pointerleave", pointNowhere);
canvas.addEventListener("dblclick", (event) => {
  const [node, sample] = whatIsAt(...placeOf(event));
  if (node >= 0 && sample < 0) toggle(state.expanded, node);
});
canvas.addEventListener(
  "wheel",
  (event) => {
    event.preventDefault();
    const unit = event.deltaMode === WheelEvent.DOM_DELTA_LINE ? 16 : 1;
    zoomAt(Math.exp(-Math.max(Math.min(event.deltaY * unit, 240), -240) * 0.002), ...placeOf(event));
  },
  { passive: false },
);

// --- keys

const ARROWS = { ArrowLeft: [-1, 0], ArrowRight: [1, 0], ArrowUp: [0, -1], ArrowDown: [0, 1] };

function focusNode(node) {
  state.focused = node;
  [state.pointed, state.pointedSample] = [-1, -1];
  bringIntoView(node);
  showDetails();
  const more = state.column.builtIn ? "" : `, ${plainFact(state.column, node)}`;
  byId("spoken").textContent =
    `node ${node}, ${counted(state.sizes[node], "member")}${more}${state.selected.has(node) ? ", selected" : ""}`;
  redraw();
}

const KEYS = {
  Enter: (node) => toggle(state.selected, node),
  " ": (node) => toggle(state.selected, node),
  e: (node) => toggle(state.expanded, node),
};
const PICTURE_KEYS = {
  "+": () => zoomAt(1.25),
  "=": () => zoomAt(1.25),
  "-": () => zoomAt(0.8),
  0: () => (fitSight(), redraw()),
  Escape: clearSelection,
};

canvas.addEventListener("keydown", (event) => {
  if (event.ctrlKey || event.metaKey || event.altKey) return;
  const key = event.key.length === 1 ? event.key.toLowerCase() : event.key;
  const isThere = state.focused >= 0 && isShown(state.focused);
  if (key in PICTURE_KEYS) PICTURE_KEYS[key]();
  else if (key in ARROWS) {
    const first = data.x.findIndex((_, node) => isShown(node));
    const next = isThere ? neighbourTowards(state.focused, ...ARROWS[key]) : first;
    if (next >= 0) focusNode(next);
  } else if (key in KEYS && isThere) {
    KEYS[key](state.focused);
    focusNode(state.focused);
  } else return;
  event.preventDefault();
});
canvas.addEventListener("focus", redraw);
canvas.addEventListener("blur", redraw);

// --- controls

byId("zoom-in").addEventListener("click", () => zoomAt(1.25));
byId("zoom-out").addEventListener("click", () => zoomAt(0.8));
byId("fit").addEventListener("click", () => (fitSight(), redraw()));
byId("clear").addEventListener("click", clearSelection);
byId("lasso").addEventListener("click", (event) => {
  lassoMode = !lassoMode;
  event.currentTarget.setAttribute("aria-pressed", lassoMode);
  canvas.classList.toggle("lasso", lassoMode);
});
byId("expand").addEventListener("click", () => {
  const all = [...state.selected].every((node) => state.expanded.has(node));
  for (const node of state.selected) all ? state.expanded.delete(node) : state.expanded.add(node);
  showSelection();
  redraw();
});

data.columns.forEach((column, k) => byId("color").append(element("option", { value: k }, column.name)));
byId("color").addEventListener("change", (event) => {
  state.column = data.columns[event.target.value];
  refresh();
});

const leastSizes = [...new Set(data.x.map((_, node) => membersOf(node).length))].sort((a, b) => a - b);
if (leastSizes[0] !== 1) leastSizes.unshift(1);
byId("least").max = leastSizes.length - 1;
byId("least").addEventListener("input", (event) => {
  state.leastSize = leastSizes[event.target.value];
  event.target.setAttribute("aria-valuetext", counted(state.leastSize, "member"));
  showShownNodes();
});

byId("copy").addEventListener("click", async (event) => {
  const button = event.currentTarget;
  const text = byId("samples").value;
  try {
    await navigator.clipboard.writeText(text);
  } catch {
    byId("samples").select(); // browsers without a clipboard for local files
    document.execCommand("copy");
  }
  button.textContent = "Copied";
  setTimeout(() => (button.textContent = "Copy"), 1500);
});

byId("save").addEventListener("click", () => {
  const address = URL.createObjectURL(new Blob(["\ufeff", csvOf(samplesOfSelection())], { type: "text/csv" }));
  element("a", { href: address, download: "samples.csv" }).click();
  setTimeout(() => URL.revokeObjectURL(address), 10000);
});

byId("find-form").addEventListener("submit", (event) => {
  event.preventDefault();
  const name = byId("find").value.trim();
  const hasIt = (node) => shownMembers(node).some((sample) => nameOf(sample) === name);
  const nodes = data.x.map((_, node) => node).filter((node) => isShown(node) && hasIt(node));
  byId("found").textContent = nodes.length
    ? `in ${nodes.length === 1 ? "node" : "nodes"} ${nodes.join(", ")}`
    : `no shown node has a sample named “${name}”`;
  if (!nodes.length) return;
  select(nodes, false);
  focusNode(nodes[0]);
});

// --- filters

readTheme();
const ofSamples = data.columns.filter((column) => !column.ofNodes);
byId("filter-card").hidden = !ofSamples.length;
ofSamples.forEach((column, k) => byId("filter").append(element("option", { value: k }, column.name)));
const filterForms = ofSamples.map((column) => (column.classes ? classFilter(column) : numberFilter(column)));
const showFilter = () => byId("filter-body").replaceChildren(...(filterForms[byId("filter").value] ?? []));
byId("filter").addEventListener("change", showFilter);

function setFilter(column, accepts) {
  if (accepts) state.filters.set(column, accepts);
  else state.filters.delete(column);
  const number = ofSamples.indexOf(column);
  byId("filter").options[number].textContent = column.name + (accepts ? " (filtered)" : "");
  refresh();
}

function classFilter(column) {
  const codes = [...column.classes.keys(), ...(column.hasMissing ? [-1] : [])];
  const boxes = codes.map((code) => element("input", { type: "checkbox", checked: "" }));
  const update = () => {
    const chosen = new Set(codes.filter((_, k) => boxes[k].checked));
    setFilter(column, chosen.size < codes.length ? (value) => chosen.has(value) : null);
  };
  return codes.map((code, k) => {
    boxes[k].addEventListener("change", update);
    return element("label", { class: "check" }, boxes[k], swatch(column.colors[code]), column.classes[code] ?? "no value");
  });
}

function numberFilter(column) {
  const input = (name) => element("input", { type: "number", step: "any", "aria-label": `${column.name}: ${name}` });
  const [least, greatest] = [input("least"), input("greatest")];
  const withMissing = element("input", { type: "checkbox", checked: "" });
  const update = () => {
    const low = least.value === "" ? -Infinity : Number(least.value);
    const high = greatest.value === "" ? Infinity : Number(greatest.value);
    const hides = low > -Infinity || high < Infinity || !withMissing.checked;
    setFilter(column, hides ? (value) => (value === null ? withMissing.checked : value >= low && value <= high) : null);
  };
  for (const each of [least, greatest, withMissing]) each.addEventListener("change", update);
  const form = [element("div", { class: "between" }, least, "to", greatest)];
  if (column.hasMissing) form.push(element("label", { class: "check" }, withMissing, "no value"));
  return form;
}

// --- start

document.documentElement.classList.add("live");
matchMedia("(prefers-color-scheme: dark)").addEventListener("change", () => (readTheme(), refresh()));
refresh();
showFilter();
let fitted = false;
new ResizeObserver(() => {
  resizeCanvas();
  if (!fitted) fitSight();
  fitted = true;
  draw();
}).observe(canvas);
Promise.all([...document.querySelectorAll("img.atlas")].map((picture) => picture.decode())).then(showDetails);
