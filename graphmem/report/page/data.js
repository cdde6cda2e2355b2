// The document in <script id=data> -> runs: columns unpacked, what every chart looks up made once.
"use strict";

const undelta = (list) => { let sum = 0; return column(list).map((d) => (sum += d)); };

// [value, count, value, count...] -> one value per place.
function unrun(list) {
  const out = [];
  for (let i = 0; i < list.length; i += 2) for (let n = list[i + 1]; n > 0; n--) out.push(list[i]);
  return out;
}

// A list as it is, or its runs.
const column = (list) => (Array.isArray(list) ? list : unrun(list.r));

function unpacked(raw) {
  const scopes = raw.scopes.map(([leaf, parent, module, steps, weights, made, peak, saved], i) =>
    ({ i, leaf, parent, module: raw.modules[module], steps, weights, made, peak, saved, depth: 0, path: leaf, children: [] }));
  for (const scope of scopes.slice(1)) {
    const above = scopes[scope.parent];
    scope.depth = above.depth + 1;
    if (above.path) scope.path = `${above.path}.${scope.leaf}`;
    above.children.push(scope);
  }
  const inScope = unrun(raw.step.scope), sources = unrun(raw.step.source), phases = unrun(raw.step.phase);
  const operators = column(raw.step.op);
  const steps = column(raw.step.name).map((name, s) => ({
    name: raw.names ? raw.names[name] : name, op: raw.ops[operators[s]], scope: inScope[s], path: scopes[inScope[s]].path,
    source: raw.sources[sources[s]], phase: raw.phases[phases[s]],
  }));
  const bands = raw.bands.map(([kind, live], i) => ({ kind, live: undelta(live), hue: kind, place: i, shown: true }));
  // Weights are shown at first where a device is near and they leave room to see anything else.
  const isTight = raw.device && raw.device < 4 * (raw.peak + raw.standing) && raw.standing < 3 * raw.peak;
  if (raw.standing) bands.unshift({ kind: "weights", live: steps.map(() => raw.standing), shown: !!isTight });
  const live = steps.map((_, s) => bands.reduce((sum, band) => sum + (band.kind === "weights" ? 0 : band.live[s]), 0));
  for (const [kind, live] of raw.beside) bands.push({ kind: `${kind} (beside)`, live: undelta(live), place: bands.length, shown: false, beside: true });
  return { ...raw, scopes, steps, bands, live, rows: rowsOf(raw, steps, scopes), rowsOn: [], step: null, ...widths(steps) };
}

// Where every step begins: an optimizer, be it two calls or thousands, gets between a twentieth and a quarter of the rest.
const SCALED = "optimizer";
function widths(steps) {
  const many = steps.reduce((sum, step) => sum + (step.phase === SCALED), 0), others = steps.length - many;
  const wanted = Math.min(Math.max(many, others / 20), others / 4);
  if (!many || !others || wanted === many) return { scale: 1, places: null };
  const scale = wanted / many, places = new Float64Array(steps.length + 1);
  steps.forEach((step, s) => { places[s + 1] = places[s] + (step.phase === SCALED ? scale : 1); });
  return { scale, places };
}

function rowsOf(raw, steps, scopes) {
  const { name, at } = raw.tensor, start = undelta(raw.tensor.start), kinds = unrun(raw.tensor.kind);
  const life = column(raw.tensor.life), types = column(raw.tensor.type);
  const full = (name) => (typeof name === "string" ? name : `${full(raw.tensor.name[name[0]])}.${raw.endings[name[1]]}`);
  const homes = raw.tensor.home ? unrun(raw.tensor.home) : null;
  return name.map((name, i) => {
    const kind = raw.kinds[kinds[i]], [type, nbytes] = raw.types[types[i]];
    const step = raw.given.includes(kind) ? undefined : steps[start[i]];
    const scope = homes && homes[i] >= 0 ? homes[i] : step ? step.scope : -1;
    return {
      i, name: full(name) || `${said(kind)} ${i}`, kind, scope, type, nbytes, start: start[i], stop: start[i] + life[i], at: at ? at[i] : -1, step,
      op: step ? step.op : kind, path: scope < 0 ? "" : scopes[scope].path, source: step ? step.source : "",
      atPeak: start[i] <= raw.peakStep && raw.peakStep < start[i] + life[i],
    };
  });
}

const UNITS = [[2 ** 40, "TiB"], [2 ** 30, "GiB"], [2 ** 20, "MiB"], [2 ** 10, "KiB"], [1, "B"]];
const unitOf = (bytes) => UNITS.find(([unit]) => bytes >= unit) || UNITS[4];

// As the command line writes it: two decimals, a half to the even one.
function size(bytes) {
  const [unit, name] = unitOf(bytes), hundreds = (bytes / unit) * 100;
  const isHalf = hundreds % 1 === 0.5 && Math.floor(hundreds) % 2 === 0;
  return unit === 1 ? `${bytes} B` : `${(isHalf ? Math.floor(hundreds) / 100 : bytes / unit).toFixed(2)} ${name}`;
}

const percent = (part, whole) => (whole ? Math.round((100 * part) / whole) : 0);
const isAlive = (row, step) => row.start <= step && step < row.stop;

// The heat of a share of the peak comes from the document, so that `graphmem draw` paints with the same scale.
const HUES = ["#4e79a7", "#f28e2b", "#59a14f", "#e15759", "#76b7b2", "#b07aa1", "#edc948", "#9c755f", "#ff9da7", "#86bcb6"];
const REST = "#bab0ac";
const KNOWN = ["weights", "inputs", "held", "read", "made", "workspace", "parameter", "optimizer_state", "buffer", "input",
  "constant", "gradient", "saved activation", "recomputed activation", "activation", "temporary", "output"];
const bandHue = (band) => (KNOWN.includes(band.kind) ? `var(--${band.kind.replace(" ", "_")})` : band.beside ? "var(--workspace)" : HUES[band.place % HUES.length]);
const said = (kind) => kind.replaceAll("_", " ");

// Operators by the bytes that they make: the greatest nine have a colour of their own.
function hues(run) {
  const bytes = new Map();
  for (const row of run.rows) bytes.set(row.op, (bytes.get(row.op) || 0) + row.nbytes);
  const ranked = [...bytes].sort((a, b) => b[1] - a[1] || (a[0] < b[0] ? -1 : 1)).map(([op]) => op);
  return new Map(ranked.map((op, i) => [op, i < 9 ? HUES[i] : REST]));
}
