// Small plots of the last hour as SVG. What they show comes as numbers, and nothing here reads a text of somebody else's.

const SAMPLES = 240;
// A daemon that has just started has a shorter past, and its plots show that one.
const SAMPLES_MIN = 20;
const SVG = "http://www.w3.org/2000/svg";

// Zero at the bottom and an hour or more at the top, so that the same height means the same in every plot: what is usual is
// low and calm, and what is late stands out.
const SCALES = {
  lag: { knee: 30, top: 3600 },
  freshness: { knee: 4, top: 3600 },
};

function heightOf(value, scale) {
  const high = (number) => Math.log10(1 + number / scale.knee);
  return Math.min(1, Math.max(0, high(value) / high(scale.top)));
}

// The largest sample is the top; at least 4, so that a single event is no peak.
function linear(values) {
  const top = Math.max(4, ...values.filter((value) => value !== null));
  return (value) => Math.min(1, value / top);
}

function shape(name) {
  const path = document.createElementNS(SVG, "path");
  path.setAttribute("class", name);
  return path;
}

function plot(className, height, label) {
  const svg = document.createElementNS(SVG, "svg");
  svg.setAttribute("viewBox", `0 0 ${SAMPLES} ${height}`);
  svg.setAttribute("preserveAspectRatio", "none");
  svg.setAttribute("role", "img");
  svg.setAttribute("aria-label", label);
  if (className) svg.setAttribute("class", className);
  for (const part of ["base", "limit", "area", "lineplot", "stems", "cursor"]) svg.append(shape(part));
  return svg;
}

function draw(svg, part, path) {
  const shape = svg.querySelector(`.${part}`);
  if (shape.getAttribute("d") !== path) shape.setAttribute("d", path);
}

// How many samples a plot is wide.
function width(values) {
  return Math.min(SAMPLES, Math.max(SAMPLES_MIN, values.length));
}

// The newest sample is at the right edge, wherever the first one is.
function placed(values, height, high) {
  const wide = width(values), first = wide - values.length;
  const across = (at) => (((first + at + 0.5) / wide) * SAMPLES);
  return values.map((value, at) => (value === null ? null : [across(at), height - 1 - high(value) * (height - 2)]));
}

function drawLine(svg, values, height, high, limit) {
  const points = placed(values, height, high);
  let line = "", area = "", begun = null;
  const close = (last) => { if (begun !== null) area += `V${height}H${begun}Z`; begun = null; return last; };
  let last = null;
  for (const point of points) {
    if (point === null) { last = close(null); continue; }
    const [x, y] = point.map((number) => Number(number.toFixed(1)));
    line += last === null ? `M${x} ${y}` : `L${x} ${y}`;
    area += last === null ? `M${x} ${y}` : `L${x} ${y}`;
    if (last === null) begun = x;
    last = point;
  }
  close(null);
  draw(svg, "lineplot", line);
  draw(svg, "area", area);
  draw(svg, "base", `M0 ${height - 0.5}H${SAMPLES}`);
  draw(svg, "limit", limit === undefined ? "" : `M0 ${(height - 1 - high(limit) * (height - 2)).toFixed(1)}H${SAMPLES}`);
}

function drawStems(svg, values, height, high) {
  const points = placed(values, height, high).filter((point) => point !== null);
  draw(svg, "stems", points.map(([x, y]) => `M${x.toFixed(1)} ${height - 1}V${Math.min(y, height - 2).toFixed(1)}`).join(""));
  draw(svg, "base", `M0 ${height - 0.5}H${SAMPLES}`);
}
