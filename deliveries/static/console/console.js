// What the console does by itself: keys, copying, and pages that keep up. Everything works without it.
"use strict";

// --- Keys -------------------------------------------------------------------------------------------------

const isTyping = (element) => element.closest("input:not([type=checkbox]), select, textarea, [contenteditable]");
const rows = () => [...document.querySelectorAll("#result_list tbody tr, [data-rows] > *")];
const linkOf = (row) => row.querySelector("th a, td a, a");

function step(by) {
  const all = rows();
  const here = all.findIndex((row) => row.contains(document.activeElement));
  const next = all[Math.min(Math.max(here + by, 0), all.length - 1)];
  const link = next && linkOf(next);
  if (link) {
    link.focus();
    next.scrollIntoView({ block: "nearest" });
  }
}

function choose() {
  const row = rows().find((each) => each.contains(document.activeElement));
  const box = row && row.querySelector("input.action-select, input.row-choice");
  if (box) box.click();
}

// The button of the page, or the action of its list: neither is run without a question where it is for many.
function sendAgain() {
  const button = document.querySelector("[data-key=r]");
  if (button) {
    button.focus();
    button.click();
    return;
  }
  const actions = document.querySelector("select[name=action]");
  const wanted = actions && [...actions.options].find((option) => option.value === "send_again");
  if (!wanted) return;
  actions.value = "send_again";
  actions.form.querySelector("button[name=index]").focus();
}

const KEYS = {
  "/": () => document.querySelector("[data-key='/']")?.focus(),
  "?": () => document.getElementById("keys")?.showModal(),
  j: () => step(1),
  k: () => step(-1),
  r: sendAgain,
  x: choose,
};

document.addEventListener("keydown", (event) => {
  if (event.ctrlKey || event.metaKey || event.altKey || isTyping(event.target)) return;
  if (document.querySelector("dialog[open]")) return;
  const act = KEYS[event.key];
  if (act) {
    event.preventDefault();
    act();
  }
});

// --- Copying ----------------------------------------------------------------------------------------------

for (const button of document.querySelectorAll("[data-copies]")) button.hidden = false;

document.addEventListener("click", async (event) => {
  const button = event.target.closest("[data-copies]");
  if (!button) return;
  const text = document.getElementById(button.dataset.copies).textContent;
  const said = button.textContent;
  try {
    await navigator.clipboard.writeText(text);
    button.textContent = "Copied";
  } catch {
    // Without TLS a browser has no clipboard for us: what is marked can be copied by hand.
    getSelection().selectAllChildren(document.getElementById(button.dataset.copies));
    button.textContent = "Marked";
  }
  setTimeout(() => (button.textContent = said), 2000);
});

// --- Pages that keep up -----------------------------------------------------------------------------------

function keepUp(part) {
  const status = document.getElementById(part.dataset.status);
  const button = document.getElementById(part.dataset.pause);
  const every = Number(part.dataset.every) * 1000;
  let paused = false;

  const say = (text) => {
    if (status.textContent !== text) status.textContent = text;
  };

  async function refresh() {
    if (paused || document.hidden || part.contains(document.activeElement)) return;
    try {
      const answer = await fetch(location.href, { headers: { Accept: "text/html" } });
      if (!answer.ok || answer.redirected) throw new Error(answer.status);
      const page = new DOMParser().parseFromString(await answer.text(), "text/html");
      const fresh = page.getElementById(part.id);
      const open = new Set([...part.querySelectorAll("details[open]")].map((each) => each.id));
      part.replaceChildren(...fresh.childNodes);
      for (const id of open) document.getElementById(id)?.setAttribute("open", "");
      part.toggleAttribute("data-done", fresh.hasAttribute("data-done"));
      say("Live");
    } catch {
      say("No answer; what is shown is old");
    }
  }

  button.hidden = false;
  button.addEventListener("click", () => {
    paused = !paused;
    button.setAttribute("aria-pressed", String(paused));
    button.textContent = paused ? "Go on" : "Pause";
    say(paused ? "Paused" : "Live");
    if (!paused) refresh();
  });
  document.addEventListener("visibilitychange", refresh);
  say("Live");
  setInterval(() => part.hasAttribute("data-done") || refresh(), every);
}

document.querySelectorAll("[data-every]").forEach(keepUp);
