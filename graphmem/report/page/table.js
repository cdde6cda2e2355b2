// Tables that sort and filter: the first rows are shown, more on request, so that size never costs a click.
"use strict";

const SHOWN = 200;

// columns: [title, cell text, sort key, is a number, class of the cell?]...; onpick(row) when a line is chosen.
function table(box, columns, rowsOf, isOn, onpick, sort = 2) {
  let down = true, shown = SHOWN, rows = [];
  const body = element("tbody"), more = element("button", { class: "more" }), heads = columns.map(([title, , , isNumber], i) => {
    const button = element("button", { type: "button" }, title);
    button.onclick = () => { down = sort === i ? !down : isNumber; sort = i; draw(); };
    return element("th", { class: isNumber ? "num" : "", scope: "col" }, button);
  });
  more.onclick = () => { shown += 1000; draw(true); };
  box.replaceChildren(element("table", {}, element("thead", {}, element("tr", {}, ...heads)), body), more);

  function draw(keep) {
    if (!keep) shown = SHOWN;
    const key = columns[sort][2], sign = down ? -1 : 1;
    rows = rowsOf().map((row) => [key(row), row]);
    rows.sort((a, b) => (a[0] < b[0] ? -sign : a[0] > b[0] ? sign : a[1].i - b[1].i));
    rows = rows.map(([, row]) => row);
    heads.forEach((head, i) => head.setAttribute("aria-sort", i !== sort ? "none" : down ? "descending" : "ascending"));
    body.replaceChildren(...rows.slice(0, shown).map(line));
    more.hidden = rows.length <= shown;
    more.textContent = `${rows.length - shown} more`;
  }
  function line(row) {
    const cells = columns.map(([, text, , isNumber, look]) =>
      element("td", { class: `${isNumber ? "num" : ""} ${look ? look(row) : ""}` }, String(text(row))));
    const made = element("tr", { tabindex: -1, "data-row": row.i }, ...cells);
    if (isOn(row)) made.className = "on";
    made.onclick = () => onpick(row);
    return made;
  }
  function mark() {
    for (const made of body.children) made.classList.toggle("on", isOn({ i: +made.dataset.row }));
  }
  // The row before or after, for the arrow keys.
  const beside = (row, by) => rows[Math.min(Math.max(rows.indexOf(row) + by, 0), rows.length - 1)];
  const show = (row) => { const made = body.querySelector(`[data-row="${row.i}"]`); if (made) made.scrollIntoView({ block: "nearest" }); };
  return { draw, mark, beside, show, count: () => rows.length };
}
