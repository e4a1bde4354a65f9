// The picture: drawing on the canvas, the way from the graph's units to pixels, and what lies below a pointer.

const canvas = byId("picture");
const brush = canvas.getContext("2d");
const sight = { scale: 1, x: 0, y: 0 }; // pixel = unit * scale + offset
const largestFirst = data.radii.map((_, node) => node).sort((a, b) => data.radii[b] - data.radii[a]);
let lassoLine = null; // pixels of the lasso that is being drawn
let frame = 0;

const toPixel = (x, y) => [x * sight.scale + sight.x, y * sight.scale + sight.y];
const centerOf = (node) => toPixel(data.x[node], data.y[node]);
const radiusOf = (node) => Math.max(2, data.radii[node] * sight.scale);
const dotRadius = () => Math.min(Math.max(2.5, data.dot * sight.scale), 14);
canvas.pixelOf = centerOf;

function fitSight() {
  const { clientWidth: width, clientHeight: height } = canvas;
  const shown = data.x.map((_, node) => node).filter(isShown);
  if (!shown.length || !width) return;
  const ends = (places) => [
    shown.reduce((least, node) => Math.min(least, places[node] - data.radii[node]), Infinity),
    shown.reduce((most, node) => Math.max(most, places[node] + data.radii[node]), -Infinity),
  ];
  const [left, right] = ends(data.x);
  const [top, bottom] = ends(data.y);
  const room = { left: 16, top: 56, right: 16, bottom: 16 };
  const inside = [width - room.left - room.right, height - room.top - room.bottom];
  sight.scale = Math.min(inside[0] / (right - left || 1), inside[1] / (bottom - top || 1), 8);
  sight.x = room.left + inside[0] / 2 - ((left + right) / 2) * sight.scale;
  sight.y = room.top + inside[1] / 2 - ((top + bottom) / 2) * sight.scale;
}

function zoomAt(factor, x = canvas.clientWidth / 2, y = canvas.clientHeight / 2) {
  const scale = Math.min(Math.max(sight.scale * factor, 0.02), 60);
  sight.x = x - ((x - sight.x) * scale) / sight.scale;
  sight.y = y - ((y - sight.y) * scale) / sight.scale;
  sight.scale = scale;
  redraw();
}

function bringIntoView(node) {
  const [x, y] = centerOf(node);
  const margin = 40 + radiusOf(node);
  const inside = (place, length) => Math.min(Math.max(place, margin), Math.max(length - margin, margin));
  sight.x += inside(x, canvas.clientWidth) - x;
  sight.y += inside(y, canvas.clientHeight) - y;
}

function resizeCanvas() {
  const density = window.devicePixelRatio || 1;
  canvas.width = Math.round(canvas.clientWidth * density);
  canvas.height = Math.round(canvas.clientHeight * density);
}

function redraw() {
  if (!frame) frame = requestAnimationFrame(draw);
}

function draw() {
  frame = 0;
  const density = window.devicePixelRatio || 1;
  brush.setTransform(density, 0, 0, density, 0, 0);
  brush.clearRect(0, 0, canvas.clientWidth, canvas.clientHeight);
  drawEdges();
  const marked = new Set([...state.selected, state.focused, state.pointed, ...state.expanded]);
  for (const node of largestFirst) if (isShown(node) && !marked.has(node)) drawNode(node);
  for (const node of marked) if (node >= 0 && isShown(node)) drawNode(node);
  for (const node of state.expanded) if (isShown(node)) drawMembers(node);
  if (lassoLine) drawLasso();
}

// Thin where the picture is small, that hubs with many edges are not one spot.
const edgeWidth = (weight) => (0.5 + Math.min(Math.log2(1 + weight) * 0.4, 3)) * Math.min(Math.max(Math.sqrt(sight.scale), 0.5), 2);

// Lines of equal look are one path: thousands of edges then take milliseconds.
function drawEdges() {
  const looks = new Map();
  data.sources.forEach((source, k) => {
    const target = data.targets[k];
    if (!isShown(source) || !isShown(target)) return;
    const touched = [source, target].includes(state.pointed >= 0 ? state.pointed : state.focused);
    const look = `${touched ? "accent" : "edge"} ${data.weights[k] ? Math.round(edgeWidth(data.weights[k]) * 4) / 4 : 0}`;
    if (!looks.has(look)) looks.set(look, new Path2D());
    looks.get(look).moveTo(...centerOf(source));
    looks.get(look).lineTo(...centerOf(target));
  });
  for (const [look, path] of [...looks].sort()) {
    const [color, width] = look.split(" ");
    brush.strokeStyle = theme(color);
    brush.globalAlpha = color === "edge" ? 0.75 : 1;
    brush.lineWidth = Number(width) || 1;
    brush.setLineDash(Number(width) ? [] : [5, 4]); // an edge without a shared sample
    brush.stroke(path);
  }
  brush.setLineDash([]);
  brush.globalAlpha = 1;
}

function disc(x, y, radius) {
  brush.beginPath();
  brush.arc(x, y, radius, 0, 2 * Math.PI);
}

function drawNode(node) {
  const [x, y] = centerOf(node);
  const radius = radiusOf(node);
  if (x < -radius || y < -radius || x > canvas.clientWidth + radius || y > canvas.clientHeight + radius) return;
  const ring = state.selected.has(node) ? "accent" : node === state.focused || node === state.pointed ? "ink" : "rim";
  if (radius < 3.5 && ring === "rim") { // slices of a few pixels could not be told apart
    brush.fillStyle = state.fills[node].reduce((most, slice) => (slice[1] > most[1] ? slice : most))[0];
    disc(x, y, radius);
    brush.fill();
    return;
  }
  let turn = -Math.PI / 2;
  for (const [color, share] of state.fills[node]) {
    brush.beginPath();
    if (share < 1) brush.moveTo(x, y);
    brush.arc(x, y, radius, turn, (turn += share * 2 * Math.PI));
    brush.fillStyle = color;
    brush.fill();
  }
  disc(x, y, radius);
  brush.strokeStyle = theme(ring);
  brush.lineWidth = ring === "rim" ? 1 : 3;
  brush.stroke();
  if (node === state.focused && document.activeElement === canvas) {
    disc(x, y, radius + 5);
    brush.strokeStyle = theme("ink");
    brush.lineWidth = 2;
    brush.stroke();
  }
}

// Members of an expanded node lie around it as seeds in a sunflower, so that none covers another.
function memberDistance(node, k) {
  const [inner, step] = [radiusOf(node) + dotRadius() * 1.5, dotRadius() * 2.1];
  return step * Math.sqrt((inner / step) ** 2 + k + 0.5);
}

const hullRadius = (node) => memberDistance(node, state.sizes[node]) + dotRadius() * 1.6;

function memberPlaces(node) {
  const [x, y] = centerOf(node);
  return Array.from(shownMembers(node), (sample, k) => {
    const distance = memberDistance(node, k);
    const angle = k * Math.PI * (3 - Math.sqrt(5));
    return [sample, x + distance * Math.cos(angle), y + distance * Math.sin(angle)];
  });
}

function drawMembers(node) {
  const [x, y] = centerOf(node);
  const places = memberPlaces(node);
  const reach = hullRadius(node);
  brush.globalAlpha = 0.88;
  disc(x, y, reach);
  brush.fillStyle = theme("card");
  brush.fill();
  brush.globalAlpha = 1;
  brush.strokeStyle = theme("soft");
  brush.lineWidth = 1;
  brush.stroke();
  drawNode(node);
  for (const [sample, px, py] of places) {
    disc(px, py, dotRadius());
    const column = state.column;
    brush.fillStyle = colorOf(column, column.ofNodes ? column.values[node] : column.values[sample]);
    brush.fill();
    if (sample === state.pointedSample) {
      brush.strokeStyle = theme("ink");
      brush.lineWidth = 2;
      brush.stroke();
    }
  }
}

function drawLasso() {
  brush.beginPath();
  lassoLine.forEach(([x, y], k) => (k ? brush.lineTo(x, y) : brush.moveTo(x, y)));
  brush.closePath();
  brush.globalAlpha = 0.15;
  brush.fillStyle = theme("accent");
  brush.fill();
  brush.globalAlpha = 1;
  brush.strokeStyle = theme("accent");
  brush.lineWidth = 1.5;
  brush.stroke();
}

// What lies at a pixel: [node, sample], -1 for none. An expanded node covers what is below it.
function whatIsAt(x, y) {
  for (const node of [...state.expanded].reverse()) {
    const [nx, ny] = centerOf(node);
    if (!isShown(node) || Math.hypot(nx - x, ny - y) > hullRadius(node)) continue;
    const near = memberPlaces(node).find(([, px, py]) => Math.hypot(px - x, py - y) <= dotRadius() + 1);
    return [node, near ? near[0] : -1];
  }
  let [found, least] = [-1, Infinity];
  for (let node = 0; node < nodeCount; node++) {
    if (!isShown(node)) continue;
    const [nx, ny] = centerOf(node);
    const distance = Math.hypot(nx - x, ny - y) - radiusOf(node);
    if (distance < Math.min(least, 4)) [found, least] = [node, distance];
  }
  return [found, -1];
}

// The even-odd rule: a line from the point crosses the lasso an odd number of times.
function isInside(line, x, y) {
  let inside = false;
  line.forEach(([ax, ay], k) => {
    const [bx, by] = line[(k + 1) % line.length];
    if (ay > y !== by > y && x < ((bx - ax) * (y - ay)) / (by - ay) + ax) inside = !inside;
  });
  return inside;
}

// The nearest shown node in a direction, where one to the side counts as farther away.
function neighbourTowards(node, dx, dy) {
  let [found, least] = [node, Infinity];
  for (let other = 0; other < nodeCount; other++) {
    if (other === node || !isShown(other)) continue;
    const [x, y] = [data.x[other] - data.x[node], data.y[other] - data.y[node]];
    const [ahead, aside] = [x * dx + y * dy, Math.abs(x * dy - y * dx)];
    if (ahead > 0 && aside <= 2 * ahead && ahead + 2 * aside < least) [found, least] = [other, ahead + 2 * aside];
  }
  return found;
}
