"use strict";
const all = (selector, inside = document) => [...inside.querySelectorAll(selector)];
const named = (name) => document.getElementById(name);
const body = named("rows"), filters = all("#filters [name]"), more = named("more");
let rows = [...body.rows], words, most = Number(body.dataset.most);

function show() {
  words ??= new Map(rows.map((row) => [row, row.textContent.toLowerCase()]));
  const [status, critic, text] = filters.map((one) => one.value);
  const found = rows.filter((row) => (!status || row.dataset.s === status) && (!critic || row.dataset.c === critic)
    && words.get(row).includes(text.toLowerCase()));
  const shown = new Set(found.slice(0, most));
  rows.forEach((row) => { row.hidden = !shown.has(row); });
  more.hidden = shown.size === found.length;
  named("count").textContent = `${found.length} of ${rows.length} match, ${shown.size} shown`;
}

function sort(button) {
  const th = button.closest("th"), column = th.cellIndex, sign = th.ariaSort === "ascending" ? -1 : 1;
  const text = (row) => row.cells[column].dataset.v ?? row.cells[column].textContent;
  const key = (row) => (th.dataset.text ? text(row) : parseFloat(text(row)));
  const compare = ([a], [b]) => sign * (th.dataset.text ? a.localeCompare(b) : a - b) || Number.isNaN(a) - Number.isNaN(b);
  all("th", th.parentNode).forEach((one) => { one.ariaSort = "none"; });
  th.ariaSort = sign > 0 ? "ascending" : "descending";
  rows = rows.map((row) => [key(row), row]).sort(compare).map(([, row]) => row);
  body.append(...rows);
  show();
}

function reveal() {
  const target = named(location.hash.slice(1));
  if (!target) return;
  target.hidden = false;
  if (target.tagName === "DETAILS") target.open = true;
  target.scrollIntoView();
}

function draw(plot) {
  if (plot.dataset.drawn || !window.Plotly) return;
  plot.dataset.drawn = "yes";
  const { data, layout } = figures[plot.dataset.figure];
  data.forEach((trace) => {
    if (!trace.customdata) return;
    trace.text = trace.customdata.map((number) => hovers[number][1]);
    trace.customdata = trace.customdata.map((number) => [number, hovers[number][0]]);
  });
  if (matchMedia("(pointer: coarse)").matches) layout.dragmode = false;
  Plotly.newPlot(plot, data, layout, { responsive: true, displaylogo: false, modeBarButtonsToRemove: ["select2d", "lasso2d"] });
  plot.on("plotly_click", ({ points }) => {
    const [number] = points[0].customdata;
    location.hash = named(`e${number}`) ? `e${number}` : `r${number}`;
  });
}

const { figures, hovers } = JSON.parse(named("data").textContent), plots = all(".plot");
const seen = new IntersectionObserver((found) => found.forEach((one) => one.isIntersecting && draw(one.target)), { rootMargin: "300px" });
plots.forEach((plot) => seen.observe(plot));
filters.forEach((one) => one.addEventListener("input", show));
more.addEventListener("click", () => { most = Infinity; show(); });
all("th button").forEach((button) => button.addEventListener("click", () => sort(button)));
addEventListener("hashchange", reveal);
addEventListener("beforeprint", () => { plots.forEach(draw); all("details.keep").forEach((one) => { one.open = true; }); });
addEventListener("pagehide", () => {
  const open = all("details[open][id]").map((one) => one.id);
  sessionStorage.setItem(location.pathname, JSON.stringify({ open, filters: filters.map((one) => one.value), y: scrollY }));
});
const before = JSON.parse(sessionStorage.getItem(location.pathname));
if (before) {
  filters.forEach((one, index) => { one.value = before.filters[index]; });
  before.open.forEach((name) => { if (named(name)) named(name).open = true; });
  if (before.filters.some(Boolean)) show();
  scrollTo(0, before.y);
} else reveal();
