// The page of a fleet: tables of what fits, of changes and of all rows, each with its filter.
"use strict";

const raw = JSON.parse(document.getElementById("data").textContent);
const part = (name) => document.querySelector(`[data-part="${name}"]`);
const detailBox = document.getElementById("detail");
const SIGN = { "at most": "<= ", "at least": ">= " };
const bytes = (n, proof) => (n === null ? "" : n < 0 ? `-${size(-n)}` : (SIGN[proof] || "") + size(n));
const last = (n) => (n === null || n === undefined ? -Infinity : n);

// A column is a list of numbers, or {at, of}: places in a list of texts.
const columnOf = (column) => (Array.isArray(column) ? (i) => column[i] : (i) => column.of[column.at[i]]);
const getters = Object.entries(raw.columns).map(([name, column]) => [name, columnOf(column)]);
const lengthOf = (column) => (Array.isArray(column) ? column : column.at).length;
const rows = Array.from({ length: lengthOf(raw.columns.model) }, (_, i) => {
  const row = { i };
  for (const [name, get] of getters) row[name] = get(i);
  return row;
});

let picked = null;
function detail(title, facts) {
  const told = facts.filter(([, text]) => text !== "" && text !== null);
  detailBox.style.display = "block";
  detailBox.replaceChildren(element("dl", {}, ...[["", title], ...told].map(([name, text]) =>
    element("div", {}, element("dt", {}, name), element("dd", {}, String(text))))));
}
addEventListener("keydown", (event) => { if (event.key === "Escape") { detailBox.style.display = "none"; picked = null; all.mark(); } });

// Every word must occur; the words of a row are put together once.
function matcher(input, textOf) {
  const texts = new Map();
  return (row) => {
    const words = input.value.toLowerCase().split(/\s+/).filter(Boolean);
    if (!words.length) return true;
    if (!texts.has(row.i)) texts.set(row.i, textOf(row).toLowerCase());
    return words.every((word) => texts.get(row.i).includes(word));
  };
}

function filtered(name, columns, rows, textOf) {
  const input = part(`${name}-filter`), has = matcher(input, textOf);
  const made = table(part(name), columns, () => rows.filter(has), () => false, (row) =>
    detail(row.model, columns.slice(1).map(([title, text]) => [title, text(row)])));
  input.oninput = () => made.draw();
  made.draw();
}

// What fits where: `of` counts rows that fit, do not, and are undecided.
const lines = raw.lines.map(([model, variant, peak, largest, of], i) => ({ i, model, variant, peak, largest, of }));
const look = ([yes, no, open]) => (yes && !no && !open ? "good" : yes ? "part" : open && !no ? "open" : "none");
const fitting = (row, d) => (row.largest[d] === null ? (row.of[d][2] && !row.of[d][1] ? "?" : "none") : row.largest[d] || "fits");
filtered("fits", [
  ["model", (row) => row.model, (row) => row.model, false],
  ["variant", (row) => row.variant, (row) => row.variant, false],
  ["greatest peak", (row) => bytes(row.peak), (row) => last(row.peak), true],
  ...raw.devices.map((device, d) => [device, (row) => fitting(row, d), (row) => last(row.largest[d]), true, (row) => look(row.of[d])]),
], lines, (row) => `${row.model} ${row.variant}`);

const worse = new Set(["fails", "no longer fits", "grew", "proves less"]), better = new Set(["shrank", "now fits", "mended", "proves more"]);
const changes = raw.changes.map(([what, model, variant, delta, then, now, why], i) => ({ i, what, model, variant, delta, then, now, why }));
filtered("changes", [
  ["model", (row) => row.model, (row) => row.model, false],
  ["setting", (row) => row.variant, (row) => row.variant, false],
  ["what", (row) => row.what, (row) => -row.i, true, (row) => (worse.has(row.what) ? "none" : better.has(row.what) ? "good" : "")],
  ["by", (row) => (row.delta ? (row.delta > 0 ? "+" : "") + bytes(row.delta) : ""), (row) => row.delta, true],
  ["then", (row) => row.then, (row) => row.then, false], ["now", (row) => row.now, (row) => row.now, false],
], changes, (row) => `${row.model} ${row.variant} ${row.what}`);

// All rows; a choice for every setting that varies.
const fitsLook = { yes: "good", no: "none", unknown: "open" };
const chosen = new Map();
const selects = [...raw.varied, "fits", "exactness"].map((name) => {
  const values = [...new Set(rows.map((row) => row[name]))].filter((value) => value !== "" && value !== null);
  const select = element("select", { "data-part": `by-${name}`, "aria-label": name }, element("option", { value: "" }, `any ${name}`),
    ...values.map((value) => element("option", { value: String(value) }, String(value))), ...(name === "fits" ? [element("option", { value: "failed" }, "failed")] : []));
  select.onchange = () => { chosen.set(name, select.value); all.draw(); count(); };
  return select;
});
part("selects").replaceChildren(...selects);
const isChosen = (row) => [...chosen].every(([name, value]) => !value || (value === "failed" ? row.error : String(row[name]) === value));
const words = ["model", "mode", "precision", "optimizer", "checkpoint", "device", "note", "error"];
const has = matcher(part("filter"), (row) => words.map((name) => row[name]).join(" "));
const text = (name) => [name, (row) => row[name] ?? "", (row) => row[name] ?? "", false];
const all = table(part("rows"), [
  text("model"), ["batch", (row) => row.batch ?? "", (row) => last(row.batch), true],
  ["peak", (row) => bytes(row.peak_bytes, row.exactness), (row) => last(row.peak_bytes), true],
  ...raw.varied.filter((name) => name !== "batch").map(text),
  ["needed", (row) => bytes(row.needed_bytes, row.exactness), (row) => last(row.needed_bytes), true],
  ["headroom", (row) => bytes(row.headroom_bytes), (row) => last(row.headroom_bytes), true, (row) => (row.headroom_bytes < 0 ? "none" : "")],
  ["fits", (row) => row.fits, (row) => row.fits, false, (row) => fitsLook[row.fits] || ""],
  ["error or note", (row) => row.error || row.note, (row) => row.error || row.note, false, (row) => (row.error ? "none" : "open")],
], () => rows.filter((row) => isChosen(row) && has(row)), (row) => row.i === picked, (row) => {
  picked = row.i;
  all.mark();
  detail(row.model, [...words.slice(1).map((name) => [name, row[name]]), ["batch", row.batch], ["peak", bytes(row.peak_bytes, row.exactness)],
    ["needed", bytes(row.needed_bytes, row.exactness)], ["headroom", bytes(row.headroom_bytes)], ["fits", row.fits], ["seconds", row.seconds]]);
});
const count = () => {
  part("count").textContent = `${all.count().toLocaleString("en")} of ${rows.length.toLocaleString("en")}` +
    (raw.left ? `; ${raw.left.toLocaleString("en")} more in the results file` : "");
};
part("filter").oninput = () => { all.draw(); count(); };
all.draw();
count();
