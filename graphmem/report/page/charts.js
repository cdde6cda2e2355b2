// What all charts share, and those over steps: memory over time, blocks. A chart is {box, draw(), mark(), find?}:
// draw lays out for the zoom, mark only moves what shows the pick.
"use strict";

const LEFT = 66, RIGHT = 6;

function element(tag, attributes = {}, ...children) {
  const made = document.createElement(tag);
  for (const [key, value] of Object.entries(attributes)) made.setAttribute(key, value);
  made.append(...children);
  return made;
}

function shape(tag, attributes = {}, text) {
  const made = document.createElementNS("http://www.w3.org/2000/svg", tag);
  for (const [key, value] of Object.entries(attributes)) made.setAttribute(key, value);
  if (text !== undefined) made.textContent = text;
  return made;
}

// A fresh picture of that height, as wide as its box, with an overlay for marks; x and clamp map steps to pixels, by the
// view's own places where steps are not all equally wide.
function paper(box, height, view) {
  const width = Math.max(320, box.clientWidth || 1192), inner = width - LEFT - RIGHT, places = view.places;
  const svg = shape("svg", { viewBox: `0 0 ${width} ${height}`, role: "img", "aria-label": box.getAttribute("aria-label") || "" });
  box.replaceChildren(svg);
  const place = places ? (step) => { const i = Math.floor(step); return i + 1 < places.length ? places[i] + (step - i) * (places[i + 1] - places[i]) : places[places.length - 1]; } : (step) => step;
  const from = place(view.from), scale = inner / (place(view.to) - from);
  const x = (step) => LEFT + (place(step) - from) * scale;
  const clamp = (step) => x(Math.min(Math.max(step, view.from), view.to));
  const step = (px) => placed(places, from + (px - LEFT) / scale);
  return { svg, width, inner, x, clamp, step, overlay: shape("g") };
}

// The step at a place: the other way round.
function placed(places, at) {
  if (!places) return at;
  let low = 0, high = places.length - 2;
  while (low < high) {
    const middle = (low + high + 1) >> 1;
    if (places[middle] <= at) low = middle; else high = middle - 1;
  }
  return low + (at - places[low]) / (places[low + 1] - places[low]);
}

// Round places of an axis from 0 to top, all in one unit: [bytes, label]...
function ticks(top, count) {
  const [unit, name] = unitOf(top), raw = top / unit / count, ten = 10 ** Math.floor(Math.log10(raw || 1));
  const step = ([1, 2, 2.5, 5, 10].map((m) => m * ten).find((m) => m >= raw * 0.999) || ten) * unit;
  const found = [];
  for (let i = 0; i * step <= top * 1.0001; i++) found.push([i * step, `${+((i * step) / unit).toPrecision(4)}${i ? " " + name : ""}`]);
  return found;
}

function axis(at, top, y) {
  for (const [bytes, label] of ticks(top, 4)) {
    at.svg.append(shape("line", { class: "grid", x1: LEFT, x2: at.width - RIGHT, y1: y(bytes), y2: y(bytes) }));
    at.svg.append(shape("text", { class: "soft", x: LEFT - 8, y: y(bytes) + 4, "text-anchor": "end" }, label));
  }
}

// Parts [a, b) of the zoom, one per step or per pixel, each with its step of most bytes: no zoom hides the peak.
function columns(run, view, at) {
  const found = [], last = Math.min(Math.ceil(view.to), run.steps.length);
  for (let a = Math.floor(view.from), b; a < last; a = b) {
    let best = a;
    const left = at.x(a);
    for (b = a + 1; b < last && at.x(b + 1) - left <= 1; b++) if (run.live[b] > run.live[best]) best = b;
    found.push([a, b, best]);
  }
  return found;
}

const FLOOR = 206;

function timeline(box, run, view) {
  let at, y, shown;
  const total = (s) => shown.reduce((sum, band) => sum + band.live[s], 0);
  const hasWeights = () => !run.standing || run.bands[0].shown;
  const device = () => (run.device ? run.device - (hasWeights() ? 0 : run.standing) : 0);

  function draw() {
    at = paper(box, run.scale === 1 ? 236 : 250, view);
    shown = run.bands.filter((band) => band.shown);
    let top = 1;
    for (let s = 0; s < run.steps.length; s++) top = Math.max(top, total(s));
    if (device() < 2.5 * top) top = Math.max(top, device());
    y = (bytes) => FLOOR - (bytes / top) * 176;
    axis(at, top, y);
    stack(columns(run, view, at));
    phases();
    if (device()) deviceLine(top);
    stem();
    at.svg.append(shape("text", { class: "soft", x: LEFT, y: 234 }, `step ${Math.floor(view.from)}`));
    at.svg.append(shape("text", { class: "soft", x: at.width - RIGHT, y: 234, "text-anchor": "end" }, `${Math.ceil(view.to) - 1}`));
    at.svg.append(at.overlay);
    mark();
  }

  function stack(parts) {
    const floor = parts.map(() => 0);
    for (const band of shown) {
      const up = [], down = [];
      parts.forEach(([a, b, s], i) => {
        const x1 = at.clamp(a).toFixed(1), x2 = at.clamp(b).toFixed(1);
        down.push(`L${x1} ${y(floor[i]).toFixed(1)}`, `L${x2} ${y(floor[i]).toFixed(1)}`);
        floor[i] += band.live[s];
        up.push(`${i ? "L" : "M"}${x1} ${y(floor[i]).toFixed(1)}L${x2} ${y(floor[i]).toFixed(1)}`);
      });
      if (up.length) at.svg.append(shape("path", { d: up.join("") + down.reverse().join("") + "Z", style: `fill:${bandHue(band)}`, class: "band" }));
    }
  }

  function phases() {
    for (let s = Math.max(1, Math.ceil(view.from)); s < Math.min(view.to, run.steps.length); s++) {
      if (run.steps[s].phase === run.steps[s - 1].phase) continue;
      at.svg.append(shape("line", { class: "phase", x1: at.x(s), x2: at.x(s), y1: 16, y2: FLOOR }));
      const phase = run.steps[s].phase, isLeft = at.x(s) < at.width - 150;
      at.svg.append(shape("text", { class: "soft", x: at.x(s) + (isLeft ? 5 : -5), y: 234, "text-anchor": isLeft ? "start" : "end" }, `${phase} →`));
      if (run.scale === 1 || phase !== SCALED) continue;
      const times = run.scale < 1 ? `${(1 / run.scale).toFixed(1)} times narrower` : `${run.scale.toFixed(1)} times wider`;
      at.svg.append(shape("text", { class: "soft", x: at.width - RIGHT, y: 248, "text-anchor": "end" }, `optimizer drawn ${times}`));
    }
  }

  function deviceLine(top) {
    const height = Math.min(y(device()), FLOOR), isOff = device() > top;
    const label = `device ${size(run.device)}${hasWeights() ? "" : " less weights"}${isOff ? `: ${(device() / top).toFixed(1)} times this scale ↑` : ""}`;
    if (!isOff) at.svg.append(shape("line", { class: "device", x1: LEFT, x2: at.width - RIGHT, y1: height, y2: height }));
    const right = isOff && run.peakStep > (view.from + view.to) / 2 ? LEFT : at.width - RIGHT;
    at.svg.append(shape("text", { class: "devicetext", x: right, y: isOff ? 12 : height - 5, "text-anchor": right === LEFT ? "start" : "end" }, label));
  }

  function stem() {
    const s = run.peakStep;
    if (s < view.from || s >= view.to || s >= run.steps.length) return;
    const x = at.x(s + 0.5), top = y(total(s)), right = x < at.width * 0.6;
    at.svg.append(shape("line", { class: "stem", x1: x, x2: x, y1: top, y2: FLOOR }));
    at.svg.append(shape("circle", { class: "dot", cx: x, cy: top, r: 4.5 }));
    const figure = `${run.sign}${size(total(s))}`, room = (right ? at.width - RIGHT - x : x - LEFT) / 7.2;
    const label = [`${figure} at step ${s} · ${run.steps[s].op}`, `${figure} at step ${s}`, figure].find((text, i) => i === 2 || text.length < room);
    at.svg.append(shape("text", { class: "stemtext", x: x + (right ? 8 : -8), y: top - 9, "text-anchor": right ? "start" : "end" }, label));
  }

  function mark() {
    const marks = [];
    if (run.step !== null) marks.push(shape("line", { class: "cross", x1: at.clamp(run.step + 0.5), x2: at.clamp(run.step + 0.5), y1: 16, y2: FLOOR }));
    run.rowsOn.slice(0, 4).forEach((row, i) => {
      const x1 = at.clamp(row.start), x2 = at.clamp(row.stop), height = FLOOR + 4 + 4 * i;
      if (x2 <= x1) return;
      if (run.rowsOn.length === 1) marks.push(shape("rect", { class: "span", x: x1, y: 16, width: x2 - x1, height: FLOOR - 16 }));
      marks.push(shape("line", { class: "life", x1, x2, y1: height, y2: height }));
    });
    at.overlay.replaceChildren(...marks);
  }
  return { box, draw, mark, step: (px) => Math.floor(at.step(px)), paper: () => at };
}

function strip(box, run, view) {
  let at;
  function draw() {
    at = paper(box, 32, view);
    const top = run.blocks.reduce((most, [, , peak]) => Math.max(most, peak), 1), [unit, name] = unitOf(top);
    for (const [start, stop, peak] of run.blocks) {
      const x = at.clamp(start), wide = at.clamp(stop) - x, gap = wide > 5 ? 0.8 : 0;
      if (wide < 0.3) continue;
      const [fill, ink] = run.heat[Math.min(run.heat.length - 1, Math.floor((peak / top) * run.heat.length))];
      at.svg.append(shape("rect", { x: x + gap, y: 1, width: wide - 2 * gap, height: 26, rx: wide > 14 ? 3 : 0, fill }));
      const figure = (peak / unit).toFixed(1), label = [`${figure} ${name}`, figure, (peak / unit).toFixed(0)].find((text) => text.length * 6.6 + 6 < wide);
      if (label) at.svg.append(shape("text", { x: x + wide / 2, y: 18, "text-anchor": "middle", style: `fill:${ink}` }, label));
    }
    at.svg.append(at.overlay);
    mark();
  }
  function mark() {
    const lines = run.rowsOn.slice(0, 1).map((row) => shape("line", { class: "life", x1: at.clamp(row.start), x2: at.clamp(row.stop), y1: 30, y2: 30 }));
    at.overlay.replaceChildren(...lines);
  }
  return { box, draw, mark, step: (px) => Math.floor(at.step(px)), paper: () => at };
}
