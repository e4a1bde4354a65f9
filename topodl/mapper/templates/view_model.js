// What the page knows: nodes, samples, columns, and what of them is shown. Nothing here touches the picture.

const byId = (id) => document.getElementById(id);
const data = JSON.parse(byId("graph-data").textContent);
const nodeCount = data.x.length;
const sampleCount = data.samples.length;
const members = Int32Array.from(data.members);

const state = {
  column: data.columns[0],
  leastSize: 1,
  filters: new Map(), // column -> what it says of one value: shown or not
  passes: new Uint8Array(sampleCount).fill(1), // samples that no filter hides
  sizes: new Int32Array(nodeCount), // members that no filter hides
  fills: [], // of each node: slices [colour, share]
  selected: new Set(),
  expanded: new Set(),
  pointed: -1, // node below the pointer
  pointedSample: -1, // sample below the pointer, in an expanded node
  focused: -1, // node that was clicked or reached by keys
};

const membersOf = (node) => members.subarray(data.ptr[node], data.ptr[node + 1]);
const shownMembers = (node) => membersOf(node).filter((sample) => state.passes[sample]);
const isShown = (node) => state.sizes[node] >= state.leastSize;
const nameOf = (sample) => (data.ids ? data.ids[sample] : String(data.samples[sample]));
const isMissing = (column, value) => (column.classes ? value < 0 : value === null);

// A number to four digits, with an exponent where it would be long.
function shortNumber(value) {
  const rounded = Number(value.toPrecision(4));
  if (rounded === 0 || (Math.abs(rounded) >= 1e-4 && Math.abs(rounded) < 1e6)) return String(rounded);
  const [mantissa, exponent] = rounded.toExponential(3).split("e");
  return `${Number(mantissa)}e${Number(exponent)}`;
}
const counted = (count, word) => `${count} ${word}${count === 1 ? "" : "s"}`;

// Count, mean and deviation of numbers, or how many of each class; what is missing is counted apart.
function statistics(column, values) {
  const known = values.filter((value) => !isMissing(column, value));
  const missing = values.length - known.length;
  if (column.classes) {
    const counts = new Map();
    for (const code of known) counts.set(code, (counts.get(code) ?? 0) + 1);
    return { missing, known: known.length, counts: [...counts].sort((a, b) => b[1] - a[1] || a[0] - b[0]) };
  }
  const scale = known.length || 1;
  const mean = known.reduce((sum, value) => sum + value / scale, 0);
  const unit = known.reduce((most, value) => Math.max(most, Math.abs(value - mean)), 0) || 1; // squares could overflow
  const deviation = unit * Math.sqrt(known.reduce((sum, value) => sum + ((value - mean) / unit) ** 2 / scale, 0));
  return { missing, known: known.length, mean, deviation };
}

const valuesOf = (column, samples) => Array.from(samples, (sample) => column.values[sample]);
const nodeStatistics = (column, node) =>
  statistics(column, column.ofNodes ? [column.values[node]] : valuesOf(column, shownMembers(node)));

function rampColor(share) {
  const place = Math.min(Math.max(share, 0), 1) * (data.ramp.length - 1);
  const below = Math.min(Math.floor(place), data.ramp.length - 2);
  const [from, to] = [data.ramp[below], data.ramp[below + 1]];
  return `rgb(${from.map((level, k) => Math.round(level + (to[k] - level) * (place - below))).join(" ")})`;
}

// Colours of the style sheet, read anew when the scheme changes: to ask for one takes longer than to draw a node.
const inks = {};
const theme = (name) => inks[name];
function readTheme() {
  const styles = getComputedStyle(document.documentElement);
  for (const name of ["accent", "card", "edge", "ink", "missing", "rim", "soft"]) {
    inks[name] = styles.getPropertyValue(`--${name}`).trim();
  }
}

function colorOf(column, value) {
  if (isMissing(column, value)) return theme("missing");
  if (column.classes) return column.colors[value];
  const [low, high] = column.limits;
  return rampColor(high > low ? (value - low) / (high - low) : 0.5);
}

function fillOf(node) {
  const found = nodeStatistics(state.column, node);
  if (!found.known) return [[theme("missing"), 1]];
  if (!state.column.classes) return [[colorOf(state.column, found.mean), 1]];
  const slices = found.counts.map(([code, count]) => [code, count]).sort((a, b) => a[0] - b[0]);
  if (found.missing) slices.push([-1, found.missing]);
  const all = found.known + found.missing;
  return slices.map(([code, count]) => [colorOf(state.column, code), count / all]);
}

// Bring what hangs on filters and the column up to date, but not on the least size.
function refreshModel() {
  for (let sample = 0; sample < sampleCount; sample++) {
    state.passes[sample] = 1;
    for (const [column, accepts] of state.filters) {
      if (!accepts(column.values[sample])) state.passes[sample] = 0;
    }
  }
  for (let node = 0; node < nodeCount; node++) {
    state.sizes[node] = membersOf(node).reduce((sum, sample) => sum + state.passes[sample], 0);
  }
  state.fills = Array.from(data.x, (_, node) => fillOf(node));
}

function samplesOfSelection() {
  const samples = new Set();
  for (const node of state.selected) for (const sample of shownMembers(node)) samples.add(sample);
  return [...samples].sort((a, b) => a - b);
}

const csvCell = (value) => (/[",\r\n]/.test(value) ? `"${value.replaceAll('"', '""')}"` : value);

function csvOf(samples) {
  const columns = data.columns.filter((column) => !column.ofNodes);
  const nodes = new Map(samples.map((sample) => [sample, []]));
  for (const node of [...state.selected].sort((a, b) => a - b)) {
    for (const sample of shownMembers(node)) nodes.get(sample).push(node);
  }
  const cell = (column, value) => (isMissing(column, value) ? "" : String(column.classes ? column.classes[value] : value));
  const rows = samples.map((sample) => [
    nameOf(sample),
    nodes.get(sample).join(" "),
    ...columns.map((column) => cell(column, column.values[sample])),
  ]);
  const header = ["sample", "nodes", ...columns.map((column) => column.name)];
  return [header, ...rows].map((row) => row.map(csvCell).join(",")).join("\r\n") + "\r\n";
}
