// The page around the runs: tip, detail line, zoom by drag, keys, tabs, theme.
"use strict";

const tipBox = document.getElementById("tip"), detailBox = document.getElementById("detail");
const hideTip = () => { tipBox.style.display = "none"; };

function showTip(event, fill) {
  const made = [];
  const tip = {
    title: (text) => { made.push(element("b", {}, text)); return tip; },
    line: (text) => { if (text) made.push(element("div", {}, text)); return tip; },
  };
  fill(tip);
  tipBox.replaceChildren(...made);
  tipBox.style.display = "block";
  const left = Math.min(event.clientX + 14, innerWidth - tipBox.offsetWidth - 8), below = event.clientY + 18;
  tipBox.style.left = `${Math.max(4, left)}px`;
  tipBox.style.top = `${below + tipBox.offsetHeight > innerHeight ? event.clientY - tipBox.offsetHeight - 12 : below}px`;
}

const facts = (run, row) => [
  ["type", row.type], ["bytes", `${size(row.nbytes)} · ${percent(row.nbytes, run.peak)} % of the peak`],
  ["life", `steps ${row.start}–${Math.max(row.start, row.stop - 1)}${row.atPeak ? ", alive at the peak" : ""}`],
  ["made by", row.step ? `${row.op} ${row.step.name}` : ""], ["kind", said(row.kind)], ["module", row.path], ["source", row.source],
  ["address", row.at < 0 ? "" : `${row.at} … ${row.at + row.nbytes}`],
].filter(([, text]) => text);

function tensorTip(tip, run, row) {
  tip.title(row.name);
  for (const [name, text] of facts(run, row)) tip.line(`${name}: ${text}`);
}

function showDetail(run) {
  const rows = run.rowsOn, total = rows.reduce((sum, row) => sum + row.nbytes, 0);
  const told = rows.length === 1 ? [["tensor", rows[0].name], ...facts(run, rows[0])]
    : [["picked", run.step === null ? `${rows.length} tensors` : `step ${run.step}: ${rows.length} tensors alive`], ["bytes", size(total)]];
  detailBox.style.display = rows.length ? "block" : "none";
  detailBox.replaceChildren(element("dl", {}, ...told.map(([name, text]) =>
    element("div", {}, element("dt", {}, name), element("dd", {}, text)))));
}

// Drag across a chart of steps to zoom into them, double-click to see all again.
function zoomable(owner, chart) {
  let from = null, band = null;
  chart.box.addEventListener("pointerdown", (event) => {
    owner.dragged = false;
    if (event.button === 0) from = owner.point(chart, event)[0];
  });
  chart.box.addEventListener("pointermove", (event) => {
    if (from === null || event.buttons !== 1) return;
    const to = owner.point(chart, event)[0], x = Math.min(from, to), svg = chart.paper().svg;
    if (Math.abs(to - from) < 5) return;
    owner.dragged = true;
    if (!band) svg.append((band = shape("rect", { class: "drag", y: 0, height: "100%" })));
    band.setAttribute("x", x);
    band.setAttribute("width", Math.abs(to - from));
  });
  addEventListener("pointerup", (event) => {
    if (band) {
      const ends = [from, owner.point(chart, event)[0]].map((x) => chart.paper().step(x)).sort((a, b) => a - b);
      band.remove();
      owner.zoom(Math.floor(ends[0]), Math.ceil(ends[1]));
    }
    from = band = null;
  });
  chart.box.addEventListener("dblclick", () => owner.zoom(0, Infinity));
}

const runs = [...document.querySelectorAll("section.run")];
const raws = JSON.parse(document.getElementById("data").textContent);
const opened = new Map();
let current = null;

function open(i) {
  runs.forEach((root, j) => { root.hidden = j !== i; });
  document.querySelectorAll("[role=tab]").forEach((tab, j) => tab.setAttribute("aria-selected", i === j));
  if (!opened.has(i)) opened.set(i, new Run(runs[i], raws[i]));
  else opened.get(i).redraw();
  current = opened.get(i);
}

function keyed(event) {
  if (event.target.matches("input, select")) return event.key === "Escape" ? event.target.blur() : undefined;
  if (event.ctrlKey || event.metaKey || event.altKey) return undefined;
  if (!current) return undefined;
  const { run, view } = current, span = view.to - view.from, at = run.step ?? (run.rowsOn.length === 1 ? run.rowsOn[0].start : run.peakStep);
  const last = run.steps.length - 1, near = (step) => Math.max(0, Math.min(last, step));
  const row = run.rowsOn.length === 1 ? run.rowsOn[0] : null;
  const deeds = {
    ArrowRight: () => current.pickStep(near(at + 1)), ArrowLeft: () => current.pickStep(near(at - 1)),
    ArrowDown: () => current.pick([current.tensors.beside(row, 1)]), ArrowUp: () => current.pick([current.tensors.beside(row, -1)]),
    "+": () => current.zoom(Math.floor(at - span / 4), Math.ceil(at + span / 4)), "-": () => current.zoom(Math.floor(view.from - span / 2), Math.ceil(view.to + span / 2)),
    0: () => current.zoom(0, Infinity), p: () => current.pickStep(run.peakStep), "/": () => current.part("filter").focus(),
    t: () => open((runs.indexOf(current.root) + 1) % runs.length), Escape: () => current.pick([]),
  };
  if (!deeds[event.key] || !run.steps.length) return undefined;
  event.preventDefault();
  return deeds[event.key]();
}

document.querySelectorAll("[role=tab]").forEach((tab, i) => { tab.onclick = () => open(i); });
addEventListener("keydown", keyed);
let width = innerWidth;
addEventListener("resize", () => { if (innerWidth !== width) { width = innerWidth; current.redraw(); } });
open(0);
