// What only scripts can do: panes that scroll together, keys, the overlay, dropped files, and
// parts of pages that refresh. Everything can be read and done without.
"use strict";
document.documentElement.classList.add("scripts");

const panes = [...document.querySelectorAll("[data-pane]")];
const anchors = pane => [...pane.querySelectorAll("[data-anchor]")];
const sight = pane => Math.min(pane.clientHeight / 3, 140); // where in a pane a passage is brought to
const offset = (pane, mark) => mark.getBoundingClientRect().top - pane.getBoundingClientRect().top + pane.scrollTop;

// Panes scroll together: between two passages both are as far.
let led = null, release = 0;
function follow(leader, other) {
  const own = anchors(leader), theirs = new Map(anchors(other).map(a => [a.dataset.anchor, a]));
  const pairs = own.filter(a => theirs.has(a.dataset.anchor)).map(a => [offset(leader, a), offset(other, theirs.get(a.dataset.anchor))]);
  if (!pairs.length) return;
  const at = leader.scrollTop + sight(leader);
  pairs.sort((a, b) => a[0] - b[0]);
  let next = pairs.findIndex(p => p[0] > at);
  let to;
  if (next === 0) to = pairs[0][1] - (pairs[0][0] - at);
  else if (next < 0) { const last = pairs[pairs.length - 1]; to = last[1] + (at - last[0]); }
  else { const [a, b] = [pairs[next - 1], pairs[next]]; to = a[1] + (b[1] - a[1]) * (at - a[0]) / Math.max(b[0] - a[0], 1); }
  other.scrollTop = to - sight(other);
}
if (panes.length === 2) {
  for (const pane of panes) {
    const other = panes.find(p => p !== pane);
    pane.addEventListener("scroll", () => {
      if (led && led !== pane) return;
      led = pane;
      clearTimeout(release);
      release = setTimeout(() => { led = null; }, 120);
      requestAnimationFrame(() => follow(pane, other));
    }, { passive: true });
  }
}

// Go to a passage, on both sides.
let current = 0;
// Addresses of passages on pages of the document that are not shown now.
const elsewhere = new Map([...document.querySelectorAll(".pairs a:not([href^='#'])")].map(a => [+a.dataset.go, a.href]));
const numbers = () => [...new Set([...[...document.querySelectorAll("[data-anchor]")].map(a => +a.dataset.anchor), ...elsewhere.keys()])].sort((a, b) => a - b);
function go(number) {
  if (elsewhere.has(number)) {
    location.assign(elsewhere.get(number));
    return true;
  }
  const marks = [...document.querySelectorAll(`[data-passage="${number}"]`)];
  const found = [...document.querySelectorAll(`[data-anchor="${number}"]`)];
  if (!found.length) return false;
  document.querySelectorAll("mark.now").forEach(m => m.classList.remove("now"));
  marks.forEach(m => m.classList.add("now"));
  led = document.body; // nobody follows meanwhile
  const bring = () => found.forEach(mark => {
    const pane = mark.closest("[data-pane]");
    pane.scrollTop = offset(pane, mark) - sight(pane);
  });
  bring();
  requestAnimationFrame(() => { bring(); requestAnimationFrame(bring); }); // what came into sight is laid out only then
  found.forEach(mark => mark.scrollIntoView({ block: "nearest" }));
  clearTimeout(release);
  release = setTimeout(() => { led = null; }, 300);
  current = number;
  return true;
}
document.addEventListener("click", event => {
  const link = event.target.closest("[data-go], a[href^='#']");
  const number = link && (link.dataset.go || /^#[sd](\d+)$/.exec(link.getAttribute("href"))?.[1]);
  if (number && go(+number)) event.preventDefault();
});
document.addEventListener("keydown", event => {
  if (event.target.closest("input, textarea, select") || event.ctrlKey || event.metaKey || event.altKey) return;
  const all = numbers(), step = { j: 1, n: 1, k: -1, p: -1 }[event.key];
  if (!step || !all.length) return;
  const at = all.indexOf(current);
  go(all[at < 0 ? (step > 0 ? 0 : all.length - 1) : (at + step + all.length) % all.length]);
});
if (panes.length) {
  const asked = /^#[sd](\d+)$/.exec(location.hash);
  const first = asked ? +asked[1] : numbers().find(n => !elsewhere.has(n));
  if (first) addEventListener("load", () => { const y = scrollY; go(first); if (!asked) scrollTo(0, y); });
}

// The picture over the page: the part that was found covers the region that it shows.
for (const overlay of document.querySelectorAll("[data-overlay]")) {
  const over = overlay.querySelector(".over"), slider = overlay.querySelector("[data-opacity]");
  const [qx, qy, qw, qh] = over.dataset.query.split(" ").map(Number), [x, y, w, h] = over.dataset.on.split(" ").map(Number);
  const place = () => {
    const page = overlay.querySelector("img"), W = page.clientWidth, H = page.clientHeight;
    over.style.width = `${W * w / qw}px`; over.style.height = `${H * h / qh}px`;
    over.style.left = `${W * x - W * w / qw * qx}px`; over.style.top = `${H * y - H * h / qh * qy}px`;
  };
  slider.addEventListener("input", () => { over.style.opacity = slider.value / 100; });
  overlay.querySelectorAll("img").forEach(i => i.addEventListener("load", place));
  addEventListener("resize", place);
  overlay.addEventListener("toggle", place);
}

// Files can be dropped, and pictures pasted.
for (const zone of document.querySelectorAll("[data-drop]")) {
  const input = zone.querySelector("input[type=file]");
  const scope = zone.closest("form");
  scope.addEventListener("dragover", event => { event.preventDefault(); zone.classList.add("over"); });
  scope.addEventListener("dragleave", () => zone.classList.remove("over"));
  scope.addEventListener("drop", event => {
    event.preventDefault();
    zone.classList.remove("over");
    if (event.dataTransfer.files.length) input.files = event.dataTransfer.files;
  });
  scope.addEventListener("paste", event => {
    if (event.clipboardData.files.length) { input.files = event.clipboardData.files; event.preventDefault(); }
  });
}

// Parts that change while they are looked at.
function refresh(part) {
  setTimeout(async () => {
    try {
      const answer = await fetch(location.href, { headers: { Accept: "text/html" } });
      const fresh = answer.ok && new DOMParser().parseFromString(await answer.text(), "text/html").getElementById(part.id);
      if (fresh) { part.replaceWith(fresh); part = fresh; }
    } catch { /* the next time */ }
    if (part.dataset.refresh) refresh(part);
  }, 1000 * part.dataset.refresh);
}
document.querySelectorAll("[data-refresh]").forEach(refresh);

// On a narrow screen a row of a table is a list, and each value says what it is.
for (const table of document.querySelectorAll("table")) {
  const names = [...table.querySelectorAll("thead th")].map(th => th.textContent);
  for (const row of table.querySelectorAll("tbody tr")) [...row.cells].forEach((cell, i) => { if (i && names[i]) cell.dataset.label = names[i]; });
}
