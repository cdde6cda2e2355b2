// Charts of places: the buffer plan (step by address) and the module tree as an icicle.
"use strict";

function planChart(box, run, view) {
  let at, y;
  const placed = run.rows.filter((row) => row.at >= 0 && row.nbytes && row.stop > row.start);
  function outline(row) {
    const x = at.clamp(row.start), wide = at.clamp(row.stop) - x;
    if (wide <= 0) return "";
    const top = y(row.at + row.nbytes), high = y(row.at) - top;
    return `M${x.toFixed(1)} ${top.toFixed(1)}h${wide.toFixed(1)}v${high.toFixed(1)}h${(-wide).toFixed(1)}z`;
  }
  function draw() {
    at = paper(box, 250, view);
    y = (bytes) => 244 - (bytes / (run.plan.arena || 1)) * 230;
    axis(at, run.plan.arena, y);
    const paths = new Map();
    for (const row of placed) {
      const d = outline(row), hue = run.hues.get(row.op);
      if (d) paths.set(hue, (paths.get(hue) || "") + d);
    }
    const edge = placed.length < 3000 ? "stroke:var(--paper);stroke-width:.8" : "";
    for (const [fill, d] of paths) at.svg.append(shape("path", { d, fill, style: edge }));
    at.svg.append(shape("path", { class: "atpeak", d: placed.filter((row) => row.atPeak).map(outline).join("") || "M0 0" }));
    at.svg.append(at.overlay);
    mark();
  }
  function mark() {
    const d = run.rowsOn.filter((row) => row.at >= 0).map(outline).join("");
    at.overlay.replaceChildren(...(d ? [shape("path", { class: "picked", d })] : []));
  }
  function find(px, py) {
    const step = Math.floor(at.step(px)), bytes = ((244 - py) / 230) * run.plan.arena;
    return placed.find((row) => isAlive(row, step) && row.at <= bytes && bytes < row.at + row.nbytes);
  }
  return { box, draw, mark, find, step: (px) => Math.floor(at.step(px)), paper: () => at };
}

const HIGH = 25;

// A number alone says nothing: "layer1.0" rather than "0".
function shortName(run, scope) {
  const above = run.scopes[scope.parent];
  return /^\d+$/.test(scope.leaf) && above && above.leaf ? `${above.leaf}.${scope.leaf}` : scope.leaf || "whole model";
}

// Modules that hold more than half give each part its own colour; below, a branch keeps the colour it has.
function icicle(box, run) {
  let at, spots;
  const deepest = Math.min(7, run.scopes.reduce((most, scope) => Math.max(most, scope.depth), 0) + 1);
  function place(scope, x, hue, unit) {
    const wide = scope[run.metric] * unit;
    if (wide < 0.5 || scope.depth >= deepest) return;
    spots.push({ scope, x, wide, y: scope.depth * HIGH, hue });
    scope.children.forEach((child, i) => {
      place(child, x, 2 * scope[run.metric] > run.scopes[0][run.metric] ? HUES[i % HUES.length] : hue, unit);
      x += child[run.metric] * unit;
    });
  }
  function draw() {
    at = paper(box, deepest * HIGH + 2, { from: 0, to: 1 });
    spots = [];
    place(run.scopes[0], 1, REST, run.scopes[0][run.metric] ? (at.width - 2) / run.scopes[0][run.metric] : 0);
    for (const { scope, x, y, wide, hue } of spots) {
      const part = { x, y, width: Math.max(wide - (wide > 3 ? 1 : 0), 0.4), height: HIGH - 1, rx: wide > 8 ? 3 : 0, fill: hue };
      at.svg.append(shape("rect", { ...part, "fill-opacity": scope.depth ? 0.72 - 0.07 * scope.depth : 0.3 }));
      const name = shortName(run, scope), figure = size(scope[run.metric]), room = Math.floor((wide - 10) / 6.6);
      const label = name.length + figure.length + 2 <= room ? `${name}  ${figure}` : name.length <= room ? name : "";
      if (label) at.svg.append(shape("text", { x: x + 5, y: y + 16 }, label));
    }
    at.svg.append(at.overlay);
    mark();
  }
  function mark() {
    const on = new Set(run.rowsOn.map((row) => row.scope));
    const marks = spots.filter((spot) => on.has(spot.scope.i)).map((spot) =>
      shape("rect", { class: "picked", x: spot.x + 1, y: spot.y + 1, width: Math.max(spot.wide - 3, 1), height: HIGH - 3 }));
    at.overlay.replaceChildren(...marks.slice(0, 400));
  }
  const find = (px, py) => (spots.find((s) => s.y <= py && py < s.y + HIGH && s.x <= px && px < s.x + s.wide) || {}).scope;
  return { box, draw, mark, find, paper: () => at };
}
