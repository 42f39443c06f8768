// What the console does by itself: keys, copying, and pages that keep up. Everything works without it.
"use strict";

// --- Keys -------------------------------------------------------------------------------------------------

// Boxes and buttons take no text, so the keys go on acting there.
const TYPED_INTO =
  "input:not([type=checkbox], [type=radio], [type=submit], [type=button]), select, textarea, [contenteditable], [role=combobox]";
const isTyping = (element) => element.closest(TYPED_INTO);
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

const BOX = "input.action-select, input.row-choice";
const chosen = () => document.querySelector(`:is(${BOX}):checked`);

function choose() {
  const row = rows().find((each) => each.contains(document.activeElement));
  row?.querySelector(BOX)?.click();
}

// What is chosen, or else what the page shows: neither is run without a question where it is for many.
function sendAgain() {
  if (chosen()?.matches(".row-choice")) {
    chosen().form.querySelector("[type=submit]").focus();
    return;
  }
  const button = document.querySelector("[data-key=r]");
  if (button) {
    button.focus();
    button.click();
    return;
  }
  const actions = document.querySelector("select[name=action]");
  const wanted = actions && [...actions.options].find((option) => option.value === "send_again");
  if (!wanted) return;
  if (!chosen()) choose();
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
  // A key that is held down walks on, and does nothing else a second time.
  if (act && (!event.repeat || event.key === "j" || event.key === "k")) {
    event.preventDefault();
    act();
  }
});

// --- Names ------------------------------------------------------------------------------------------------

// The fields that complete what is typed are made by a script, once the page is there, that does not say what
// they are called.
function nameFields() {
  for (const field of document.querySelectorAll("select.admin-autocomplete")) {
    const name = field.labels[0]?.textContent.replace(":", "").trim();
    const parts = field.nextElementSibling?.querySelectorAll("[role=combobox], [role=textbox]") ?? [];
    for (const part of name ? parts : []) {
      part.removeAttribute("aria-labelledby");
      part.setAttribute("aria-label", name);
    }
  }
}

addEventListener("load", () => setTimeout(nameFields));

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

// --- Pressing twice ---------------------------------------------------------------------------------------

const PRESSED = "button:not([type=button], [type=reset]), input[type=submit]";
const pressed = new Set();

document.addEventListener("submit", (event) => {
  if (event.target.method !== "post") return;
  // Only after the form is sent: a button that is disabled is not sent with it.
  setTimeout(() => {
    if (event.defaultPrevented) return;
    for (const button of event.target.elements) {
      if (!button.matches(PRESSED) || button.disabled) continue;
      button.disabled = true;
      pressed.add(button);
    }
  });
});

// The way back may lead to the page as it was left.
addEventListener("pageshow", () => {
  for (const button of pressed) button.disabled = false;
  pressed.clear();
});

// --- Pages that keep up -----------------------------------------------------------------------------------

function keepUp(part) {
  const status = document.getElementById(part.dataset.status);
  const button = document.getElementById(part.dataset.pause);
  const every = Number(part.dataset.every) * 1000;
  let paused = false;
  let asking = false;

  const say = (text) => {
    if (status.textContent !== text) status.textContent = text;
  };

  function sayHowItIs() {
    const done = part.hasAttribute("data-done");
    say(done ? "Finished" : paused ? "Paused" : "Live");
    button.hidden = done;
  }

  // Whoever is in it, or marks a text to copy it, is not to lose their place.
  const inUse = () => part.contains(document.activeElement) || part.contains(selected());
  const selected = () => (getSelection().isCollapsed ? null : getSelection().anchorNode);
  const boxes = () => [...part.querySelectorAll(".scroll")].map((box) => [nameOf(box), box]);
  const nameOf = (box) => box.getAttribute("aria-label") ?? box.getAttribute("aria-labelledby");

  async function refresh() {
    if (paused || asking || document.hidden || part.hasAttribute("data-done")) return;
    if (inUse()) {
      say("Waits while you are in it");
      return;
    }
    asking = true;
    try {
      const answer = await fetch(location.href, { headers: { Accept: "text/html", "X-Refresh": "1" } });
      if (answer.redirected) {
        // To the login: the form that follows leads back here.
        location.reload();
        return;
      }
      if (!answer.ok) throw new Error(answer.status);
      const page = new DOMParser().parseFromString(await answer.text(), "text/html");
      const fresh = page.getElementById(part.id);
      if (paused || inUse()) return;
      if (fresh.dataset.state !== part.dataset.state) {
        // What stands around it, as its buttons do, is of another state.
        location.reload();
        return;
      }
      const open = new Set([...part.querySelectorAll("details[open]")].map((each) => each.id));
      const places = new Map(boxes().map(([name, box]) => [name, [box.scrollLeft, box.scrollTop]]));
      part.replaceChildren(...fresh.childNodes);
      for (const id of open) document.getElementById(id)?.setAttribute("open", "");
      for (const [name, box] of boxes()) box.scrollTo(...(places.get(name) ?? [0, 0]));
      part.toggleAttribute("data-done", fresh.hasAttribute("data-done"));
      sayHowItIs();
    } catch {
      if (!paused) say("No answer; what is shown is old");
    } finally {
      asking = false;
    }
  }

  button.addEventListener("click", () => {
    paused = !paused;
    button.textContent = paused ? "Go on refreshing" : "Pause refreshing";
    sayHowItIs();
    refresh();
  });
  document.addEventListener("visibilitychange", refresh);
  sayHowItIs();
  setInterval(refresh, every);
}

document.querySelectorAll("[data-every]").forEach(keepUp);
