// One run (a tab): its charts, graph and tables over one zoom and one pick.
"use strict";

class Run {
  constructor(root, raw) {
    this.root = root;
    this.run = unpacked(raw);
    this.run.hues = hues(this.run);
    this.run.metric = this.run.metrics[0][0];
    this.view = { from: 0, to: Math.max(1, this.run.steps.length), places: this.run.places };
    this.part = (name) => root.querySelector(`[data-part="${name}"]`);
    this.charts = [];
    this.add("timeline", timeline, (tip, step) => this.stepTip(tip, step));
    this.add("blocks", strip, (tip, step) => this.blockTip(tip, step));
    if (this.run.plan) this.add("plan", planChart);
    if (this.run.scopes.length > 1) this.add("modules", icicle);
    this.graph();
    this.tables();
    this.legends();
    if (this.run.saved) this.charts.push(savedBars(this));
    if (this.run.frontier) this.charts.push(frontierChart(this));
    this.redraw();
    const graph = this.part("graph"), ring = graph.querySelector(".ring");
    if (ring) graph.scrollLeft += ring.getBoundingClientRect().left - graph.getBoundingClientRect().left - graph.clientWidth / 2;
  }

  add(name, make, stepTip) {
    const box = this.part(name), chart = make(box, this.run, this.view);
    chart.name = name;
    this.charts.push(chart);
    if (chart.step) zoomable(this, chart);
    box.addEventListener("pointermove", (event) => this.hover(chart, stepTip, event));
    box.addEventListener("pointerleave", hideTip);
    box.addEventListener("click", (event) => !this.dragged && this.click(chart, event));
  }

  // Pointer in the chart's own pixels, whatever the page's scale.
  point(chart, event) {
    const frame = chart.paper().svg.getBoundingClientRect(), scale = chart.paper().width / frame.width;
    return [(event.clientX - frame.left) * scale, (event.clientY - frame.top) * scale];
  }

  stepAt(chart, x) {
    const step = chart.step(x);
    return x >= LEFT && step >= this.view.from - 1 && step < Math.min(this.view.to, this.run.steps.length) && step >= 0 ? step : null;
  }

  hover(chart, stepTip, event) {
    const [x, y] = this.point(chart, event), found = chart.find ? chart.find(x, y) : null;
    if (chart.find && !found) return hideTip();
    if (found && found.children) return showTip(event, (tip) => this.scopeTip(tip, found));
    if (found) return showTip(event, (tip) => tensorTip(tip, this.run, found));
    const step = this.stepAt(chart, x);
    return step === null ? hideTip() : showTip(event, (tip) => stepTip(tip, step));
  }

  click(chart, event) {
    const [x, y] = this.point(chart, event), found = chart.find ? chart.find(x, y) : null;
    if (found && found.children) this.pickScope(found);
    else if (found) this.pick([found]);
    else if (!chart.find && this.stepAt(chart, x) !== null) this.pickStep(this.stepAt(chart, x));
    else this.pick([]);
  }

  pick(rows, step = null) {
    this.run.rowsOn = rows;
    this.run.step = step;
    this.on = new Set(rows.map((row) => row.i));
    for (const chart of this.charts) chart.mark();
    this.markGraph();
    if (this.which.value === "step" || this.which.value === "picked") this.tensors.draw();
    else this.tensors.mark();
    if (rows.length === 1) this.tensors.show(rows[0]);
    showDetail(this.run);
  }

  // A step picks what is alive there, and the table follows.
  pickStep(step) {
    this.which.value = "step";
    this.run.step = step;
    this.which.querySelector("[value=step]").textContent = `alive at step ${step}`;
    this.pick(this.run.rows.filter((row) => isAlive(row, step)), step);
  }

  pickScope(scope) {
    const inside = new Set(), add = (one) => { inside.add(one.i); one.children.forEach(add); };
    add(scope);
    this.which.value = "picked";
    this.pick(this.run.rows.filter((row) => inside.has(row.scope)));
  }

  graph() {
    const box = this.part("graph");
    box.addEventListener("click", (event) => {
      const hit = event.target.closest("[data-row],[data-step]");
      if (!hit) return this.pick([]);
      if (hit.dataset.row) return this.pick([this.run.rows[+hit.dataset.row]]);
      return this.pickStep(+hit.dataset.step);
    });
    box.addEventListener("pointermove", (event) => {
      const hit = event.target.closest("[data-row],[data-step]");
      if (!hit) return hideTip();
      if (hit.dataset.row) return showTip(event, (tip) => tensorTip(tip, this.run, this.run.rows[+hit.dataset.row]));
      return showTip(event, (tip) => this.stepTip(tip, +hit.dataset.step));
    });
    box.addEventListener("pointerleave", hideTip);
  }

  markGraph() {
    for (const one of this.part("graph").querySelectorAll("[data-row],[data-step]")) {
      const row = this.run.rowsOn.length === 1 ? this.run.rowsOn[0] : null;
      const isMaker = one.dataset.step && row && row.step && +one.dataset.step === row.start;
      one.classList.toggle("on", isMaker || (one.dataset.row ? this.on.has(+one.dataset.row) : this.run.step === +one.dataset.step));
    }
  }

  stepTip(tip, step) {
    const { run } = this, made = run.steps[step];
    tip.title(`step ${step} · ${made.op}`).line(made.name).line([made.path, made.source].filter(Boolean).join(" · "));
    tip.line(`${run.sign}${size(run.live[step])} alive${run.standing ? " + " + size(run.standing) + " weights" : ""}`);
    for (const band of run.bands) if (band.kind !== "weights" && band.live[step]) tip.line(`${said(band.kind)} ${size(band.live[step])}`);
  }

  blockTip(tip, step) {
    const [start, stop, peak] = this.run.blocks.find(([a, b]) => a <= step && step < b);
    tip.title(`steps ${start}–${stop - 1}`).line(`peak ${this.run.sign}${size(peak)}`);
  }

  scopeTip(tip, scope) {
    tip.title(scope.path || "whole model").line(scope.module).line(`${scope.steps} steps`);
    for (const [key, name] of this.run.metrics) tip.line(`${name} ${size(scope[key])}`);
  }

  legends() {
    const box = this.part("bands"), at = this.run.peakStep, whole = this.run.live[at] || 0;
    for (const band of [...this.run.bands].reverse()) {
      const bytes = band.live[at] || 0, share = band.kind === "weights" || band.beside ? "" : ` · ${percent(bytes, whole)} %`;
      const dot = element("i", { style: `background:${bandHue(band)}` });
      const chip = element("button", { type: "button", "aria-pressed": band.shown }, dot, `${said(band.kind)} `, element("b", {}, size(bytes)), share);
      chip.onclick = () => {
        band.shown = !band.shown;
        chip.setAttribute("aria-pressed", band.shown);
        this.charts[0].draw();
      };
      box.append(chip);
    }
    if (!this.run.plan) return;
    const shown = [...this.run.hues].filter(([, hue]) => hue !== REST), rest = this.run.hues.size > shown.length ? [["other", REST]] : [];
    this.part("operators").append(...[...shown, ...rest].map(([op, hue]) => element("span", {}, element("i", { style: `background:${hue}` }), op)));
  }

  zoom(from, to) {
    const steps = Math.max(1, this.run.steps.length);
    this.view.from = Math.max(0, Math.min(from, steps - 1));
    this.view.to = Math.min(steps, Math.max(to, this.view.from + 1));
    for (const chart of this.charts) if (chart.step) chart.draw();
    this.root.dataset.zoom = `${this.view.from}-${this.view.to}`;
  }

  redraw() {
    for (const chart of this.charts) chart.draw();
  }

  tables() {
    const { run } = this, filter = this.part("filter");
    this.on = new Set();
    this.which = this.part("which");
    const wanted = () => {
      const text = filter.value.toLowerCase(), which = this.which.value;
      const inIt = { peak: (row) => row.atPeak, saved: (row) => row.kind === SAVED, all: () => true, picked: (row) => this.on.has(row.i), step: (row) => isAlive(row, run.step ?? run.peakStep) }[which];
      return run.rows.filter((row) => inIt(row) && (!text || `${row.name} ${row.type} ${row.kind} ${row.op} ${row.path} ${row.source}`.toLowerCase().includes(text)));
    };
    if (run.saved) this.which.children[1].after(element("option", { value: "saved" }, "waiting for the backward pass"));
    const hasPath = run.rows.some((row) => row.path), hasSource = run.rows.some((row) => row.source);
    this.tensors = table(this.part("tensors"), [
      ["tensor", (r) => r.name, (r) => r.name, false],
      ["type", (r) => r.type, (r) => r.type, false],
      ["size", (r) => size(r.nbytes), (r) => r.nbytes, true],
      ["% of peak", (r) => percent(r.nbytes, run.peak), (r) => r.nbytes, true],
      ["steps", (r) => `${r.start}–${Math.max(r.start, r.stop - 1)}`, (r) => r.start, true],
      ...(run.saved ? [["kind", (r) => said(r.kind), (r) => r.kind, false]] : []),
      ["made by", (r) => said(r.op), (r) => r.op, false],
      ...(hasPath ? [["module", (r) => r.path, (r) => r.path, false]] : []),
      ...(hasSource ? [["source", (r) => r.source, (r) => r.source, false]] : []),
    ], wanted, (row) => this.on.has(row.i), (row) => this.pick([row]));
    filter.oninput = this.which.onchange = () => this.tensors.draw();
    this.tensors.draw();
    const metrics = this.part("metrics");
    for (const [key, name] of run.metrics) {
      const button = element("button", { type: "button", value: key, "aria-pressed": key === run.metric }, name);
      button.onclick = () => {
        run.metric = key;
        for (const other of metrics.children) other.setAttribute("aria-pressed", other === button);
        this.charts.find((chart) => chart.name === "modules").draw();
      };
      metrics.append(button);
    }
    if (run.scopes.length < 2) return;
    this.scopes = table(this.part("scopes"), [
      ["module", (s) => s.path || "whole model", (s) => s.path, false],
      ["class", (s) => s.module, (s) => s.module, false],
      ...run.metrics.map(([key, name]) => [name, (s) => size(s[key]), (s) => s[key], true]),
      ["steps", (s) => s.steps, (s) => s.steps, true],
    ], () => run.scopes, () => false, (scope) => this.pickScope(scope));
    this.scopes.draw();
  }
}
