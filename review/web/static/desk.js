// What the pages add to htmx: single keys, clocks that tick, and a word about what arrived.
// Everything works without this script; it only saves hands and eyes.
"use strict";

const say = (words) => { document.getElementById("said").textContent = words; };
const seen = (element) => element.checkVisibility() && !element.disabled;
const typing = (element) => element.matches("textarea, select, input:not([type=radio]):not([type=checkbox])");

// ---- Keys. An element names its own: data-key. With data-focus the key goes there; otherwise it clicks.
function press(event) {
  // A key that is held down decides nothing, and neither does one that was meant for a page still on its way.
  const early = document.querySelector("form.htmx-request:not([hx-target]), a.htmx-request") && event.key !== "Tab";
  if (early || (event.repeat && ["Enter", " "].includes(event.key))) return event.preventDefault();
  if (event.ctrlKey || event.metaKey || event.altKey || event.isComposing || event.repeat) return;
  if (typing(event.target)) {
    if (event.key === "Escape") event.target.blur();
    return;
  }
  if (document.body.dataset.keys === "off") return;
  const key = event.key.toLowerCase();
  if (key === "enter" && event.target.matches("a, button, summary, input, option")) return; // the browser knows
  const scope = document.querySelector(":popover-open") ?? document;
  if (key === "j" || key === "k") return move(key === "j" ? 1 : -1);
  const target = [...scope.querySelectorAll(`[data-key="${CSS.escape(key)}"]`)].find(seen);
  if (!target) return;
  event.preventDefault();
  target.focus();
  if (!("focus" in target.dataset)) target.click();
}

function move(step) {
  const rows = [...document.querySelectorAll("[data-row]")];
  const here = rows.indexOf(document.activeElement);
  rows[Math.min(Math.max(here + step, 0), rows.length - 1)]?.focus();
}

// ---- Clocks. The server says how many seconds are left, so that this machine's time of day plays no part.
function clock(left) {
  const whole = Math.abs(Math.trunc(left));
  const parts = [Math.floor(whole / 3600), Math.floor(whole / 60) % 60, whole % 60];
  const shown = (parts[0] ? parts : parts.slice(1)).map((part, at) => (at ? String(part).padStart(2, "0") : part));
  return (left <= -1 ? "−" : "") + shown.join(":");
}

function tick() {
  for (const element of document.querySelectorAll("[data-left]")) {
    element.due ??= Date.now() + Number(element.dataset.left) * 1000;
    const left = (element.due - Date.now()) / 1000;
    if (Math.abs(left) < 48 * 3600) element.querySelector(".ticks").textContent = clock(left);
    element.classList.toggle("soon", left >= 0 && left < Number(element.dataset.warn ?? 300));
    element.classList.toggle("late", left < 0);
    if ("warning" in element.dataset && left < Number(element.dataset.warn) && !element.warned) {
      element.warned = true;
      say(element.dataset.warning);
    }
    if (left >= 0) continue;
    if ("untilGone" in element.dataset) element.remove();
    // The desk may end it a moment later than this clock: ask again until it has.
    if (element.matches("[hx-get]") && Date.now() > (element.asked ?? 0) + 2000) {
      element.asked = Date.now();
      setTimeout(() => htmx.trigger(element, "lapsed"), 500);
    }
  }
}

// ---- Arrivals: the queue asks for itself, and what is new in it is shown and said.
let before = new Set();
const shown = () => [...document.querySelectorAll("[data-case]")];

document.addEventListener("htmx:beforeSwap", (event) => {
  before = event.detail.target.id === "queue" ? new Set(shown().map((row) => row.dataset.case)) : null;
});
document.addEventListener("htmx:afterSettle", () => {
  const rows = before ? shown().filter((row) => !before.has(row.dataset.case)) : [];
  before = null;
  for (const row of rows) row.classList.add("new");
  const words = document.getElementById("queue")?.dataset.arrived;
  if (rows.length && words) say(words.replace("{n}", rows.length));
});

document.addEventListener("keydown", press);
document.addEventListener("DOMContentLoaded", tick);
document.addEventListener("htmx:load", tick);
setInterval(tick, 1000);
