// What only a training step has: its largest saved activations, and the frontier of checkpointing.
"use strict";

const SAVED = "saved activation", LARGEST = 10;

function savedBars(owner) {
  const { run } = owner, box = owner.part("saved");
  const rows = run.rows.filter((row) => row.kind === SAVED).sort((a, b) => b.nbytes - a.nbytes || a.i - b.i).slice(0, LARGEST);
  const lines = rows.map((row) => {
    const bar = element("i", { style: `width:${Math.max(1, (100 * row.nbytes) / (rows[0].nbytes || 1))}%` });
    const from = [row.type, row.op, row.path, row.source].filter(Boolean).join(" · ");
    const line = element("button", { type: "button", "data-row": row.i }, element("b", {}, size(row.nbytes)), bar,
      element("span", {}, `${row.name} `, element("small", {}, from)));
    line.onclick = () => owner.pick([row]);
    return line;
  });
  box.replaceChildren(...lines.map((line) => element("li", {}, line)));
  const mark = () => lines.forEach((line) => line.classList.toggle("on", owner.on.has(+line.dataset.row)));
  return { box, name: "saved", draw: mark, mark };
}

const GRAINS = { operation: "any operation", selective: "modules, some results in them kept", module: "whole modules" };

// Peak across, extra computing up: the points, stairs between them, what is proved necessary, the one to choose.
function frontierChart(owner) {
  const { run } = owner, { points, habits, baseline, floor, chosen } = run.frontier, box = owner.part("frontier"), high = 200;
  const share = (part) => `${(100 * part).toFixed(part < 0.0995 ? 2 : 1)} %`;
  function draw() {
    const at = paper(box, high + 36, { from: 0, to: 1 });
    const most = Math.max(baseline, ...[...points, ...habits].map((point) => point.peak), run.device && run.device < 2 * baseline ? run.device : 0);
    const top = Math.max(0.01, ...[...points, ...habits].map((point) => point.overhead)) * 1.1;
    const low = 0.98 * Math.min(floor || most, most, ...points.map((point) => point.peak)), span = Math.max(1, most - low);
    const x = (bytes) => LEFT + ((bytes - low) / span) * at.inner, y = (part) => high - (part / top) * (high - 24);
    for (let i = 0; i <= 4; i++) {
      const part = (top / 1.1) * (i / 4);
      at.svg.append(shape("line", { class: "grid", x1: LEFT, x2: at.width - RIGHT, y1: y(part), y2: y(part) }));
      at.svg.append(shape("text", { class: "soft", x: LEFT - 8, y: y(part) + 4, "text-anchor": "end" }, share(part)));
    }
    const [, [round]] = ticks(span, 6);
    for (let bytes = Math.ceil(low / round) * round; bytes <= most; bytes += round) {
      const anchor = x(bytes) > at.width - 30 ? "end" : x(bytes) < LEFT + 30 ? "start" : "middle";
      at.svg.append(shape("text", { class: "soft", x: x(bytes), y: high + 18, "text-anchor": anchor }, size(bytes)));
    }
    const stairs = (of) => points.map((point, i) => (i ? `V${y(of(point)).toFixed(1)}` : `M${x(Math.max(most, baseline)).toFixed(1)} ${y(of(point)).toFixed(1)}`) + `H${x(point.peak).toFixed(1)}`).join("");
    at.svg.append(shape("path", { class: "bound", d: stairs((point) => point.bound) }), shape("path", { class: "front", d: stairs((point) => point.overhead) }));
    if (floor) vertical(at, x(floor), 26, "soft", `no less than ${size(floor)}`, "phase");
    if (run.device && run.device <= most) vertical(at, x(run.device), 12, "devicetext", `device ${size(run.device)}`, "device");
    const tipped = (spot, point, is) => {
      spot.addEventListener("pointermove", (event) => showTip(event, (tip) => told(tip, point, is)));
      spot.addEventListener("pointerleave", hideTip);
      at.svg.append(spot);
    };
    for (const point of habits) {
      const u = x(point.peak), v = y(point.overhead);
      tipped(shape("path", { class: "habit", d: `M${u - 5} ${v - 5}l10 10m0 -10l-10 10` }), point, false);
    }
    points.forEach((point, i) => {
      const is = i === chosen, kind = `point ${point.grain}${is ? " chosen" : ""}`;
      tipped(shape("circle", { class: kind, cx: x(point.peak), cy: y(point.overhead), r: is ? 5.5 : 4 }), point, is);
      if (!is) return;
      at.svg.append(shape("circle", { class: "halo", cx: x(point.peak), cy: y(point.overhead), r: 9 }));
      const isRight = x(point.peak) < at.width - 260;
      at.svg.append(shape("text", { class: "stemtext", x: x(point.peak) + (isRight ? 13 : -13), y: y(point.overhead) - 8, "text-anchor": isRight ? "start" : "end" }, `${size(point.peak)} for ${share(point.overhead)} more computing`));
    });
  }
  function vertical(at, x, y, kind, label, line) {
    at.svg.append(shape("line", { class: line, x1: x, x2: x, y1: 14, y2: high }));
    at.svg.append(shape("text", { class: kind, x: x + (x < at.width * 0.8 ? 4 : -4), y, "text-anchor": x < at.width * 0.8 ? "start" : "end" }, label));
  }
  function told(tip, point, isChosen) {
    tip.title(`${size(point.peak)}${isChosen ? ", chosen" : ""}`).line(`${share(point.overhead)} more computing, ${point.grain === "habit" ? `the best plan found there: ${share(point.bound)}` : point.optimal ? "proved least" : `at least ${share(point.bound)} is needed`}`);
    tip.line(`${percent(point.peak, baseline)} % of keeping all, by ${point.strategy}`).line(GRAINS[point.grain]);
  }
  const lines = [...points, ...habits].map((point, i) => ({ i, ...point }));
  table(owner.part("points"), [
    ["strategy", (p) => p.strategy + (p.i === chosen ? ", chosen" : ""), (p) => p.strategy, false],
    ["peak", (p) => size(p.peak), (p) => p.peak, true],
    ["of keeping all", (p) => `${percent(p.peak, baseline)} %`, (p) => p.peak, true],
    ["what is computed again", (p) => GRAINS[p.grain] || "modules, without a plan", (p) => p.grain, false],
    ["more computing", (p) => share(p.overhead), (p) => p.overhead, true],
    ["at least", (p) => (p.grain === "habit" ? `best found ${share(p.bound)}` : p.optimal ? "the same, proved" : share(p.bound)), (p) => p.bound, true],
  ], () => lines, (row) => row.i === chosen, () => {}, 1).draw();
  return { box, name: "frontier", draw, mark: () => {} };
}
