// Sends decisions, moves between cases, and says when more have arrived. No library, no build step.
"use strict";

const POLL_MS = 15000;
const queue = document.getElementById("queue");
const reviewer = document.getElementById("reviewer");
const said = document.getElementById("said");
const waiting = document.getElementById("waiting");

// A private window, or a full disk, must not stop anyone from deciding.
try {
  reviewer.value = localStorage.getItem("reviewer") ?? "";
  reviewer.addEventListener("change", () => localStorage.setItem("reviewer", reviewer.value.trim()));
} catch { /* the name is then typed once per visit */ }

const cases = () => [...queue.querySelectorAll(".case")];

function move(step) {
  const all = cases();
  const here = all.indexOf(document.activeElement?.closest(".case"));
  const next = all[here < 0 ? 0 : Math.min(Math.max(here + step, 0), all.length - 1)];
  next?.focus();
  next?.scrollIntoView({ block: "start" });
}

function show(form, problem) {
  const place = form.querySelector(".problem");
  place.textContent = problem;
  place.hidden = !problem;
}

function leave(card, words) {
  const all = cases();
  const next = all[all.indexOf(card) + 1] ?? all[all.indexOf(card) - 1];
  card.remove();
  waiting.textContent = Math.max(0, Number(waiting.textContent) - 1);
  said.textContent = words;
  if (next) next.focus();
  else location.reload();
}

function explain(status, answer) {
  const fields = Object.entries(answer.fields ?? {}).map(([name, fault]) => `${name} ${fault}`);
  return fields.length ? fields.join("; ") : answer.error ?? `the desk answered ${status}`;
}

async function decide(card, form, finding) {
  if (!reviewer.value.trim()) {
    show(form, "Give your name first, at the top of the page.");
    reviewer.focus();
    return;
  }
  const fields = new FormData(form);
  const decision = { finding, reviewer: reviewer.value, note: fields.get("note") || null };
  if (finding === "at_risk") decision.severity = fields.get("severity") || null;
  const buttons = form.querySelectorAll("button");
  show(form, "");
  card.classList.add("going");
  buttons.forEach((button) => { button.disabled = true; });
  const send = (step, body) => fetch(`/api/cases/${encodeURIComponent(card.dataset.case)}/${step}`, {
    method: "POST",
    headers: { "Content-Type": "application/json" },
    body: JSON.stringify(body),
  });
  try {
    const claimed = await send("claim", { reviewer: reviewer.value });
    const claim = await claimed.json();
    const response = claimed.ok ? await send("decision", { ...decision, lease: claim.lease }) : claimed;
    const answer = claimed.ok ? await response.json() : claim;
    if (response.status === 201) return leave(card, "Decision recorded.");
    show(form, explain(response.status, answer));
  } catch {
    show(form, "No answer from the desk. Reload the page to see whether the decision was recorded.");
  }
  card.classList.remove("going");
  buttons.forEach((button) => { button.disabled = false; });
}

async function poll() {
  if (document.hidden) return;
  const wanted = new URLSearchParams(location.search);
  wanted.delete("offset");
  wanted.set("limit", "0");
  try {
    const { total } = await (await fetch(`/api/cases?${wanted}`)).json();
    const more = total - Number(waiting.textContent);
    if (!(more > 0)) return;
    const place = document.getElementById("arrivals");
    place.textContent = `${more} more waiting. `;
    const reload = document.createElement("a");
    reload.href = location.href;
    reload.textContent = "Show";
    place.append(reload);
    place.hidden = false;
    if (!cases().length) location.reload();
  } catch { /* the next poll may succeed */ }
}

if (queue) {
  queue.addEventListener("submit", (event) => {
    event.preventDefault();
    if (event.submitter) decide(event.target.closest(".case"), event.target, event.submitter.value);
  });
  // Enter in a field would press the first button, and decide by accident.
  queue.addEventListener("keydown", (event) => {
    if (event.key === "Enter" && event.target.matches("input, select")) event.preventDefault();
  });
  document.addEventListener("keydown", (event) => {
    if (event.ctrlKey || event.metaKey || event.altKey || event.target.matches("input, select, textarea")) return;
    if (event.key === "j") move(1);
    if (event.key === "k") move(-1);
  });
  setInterval(poll, POLL_MS);
}
