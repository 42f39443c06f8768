// Shows what the receivers get, as it arrives. Everything from outside goes into the page as text.
"use strict";

const SECOND = 1000;
const KEPT = 200;

const stateUrl = document.body.dataset.state;
const receivers = document.getElementById("receivers");
const deliveries = document.getElementById("deliveries");
const statusLine = document.getElementById("status");
const pauseButton = document.getElementById("pause");

let run = "";
let last = 0;
let shown = 0;
let paused = false;
let timer = null;

function fromTemplate(id) {
  return document.getElementById(id).content.firstElementChild.cloneNode(true);
}

function say(text) {
  // A live region is read out whenever it is written to, so only when there is something new.
  if (statusLine.textContent !== text) statusLine.textContent = text;
}

function choiceButton(name, behaviour) {
  const button = document.createElement("button");
  button.type = "button";
  button.textContent = behaviour.word;
  button.title = behaviour.meaning;
  button.dataset.word = behaviour.word;
  button.addEventListener("click", () => choose(name, behaviour.word));
  return button;
}

async function choose(name, word) {
  const address = `receivers/${encodeURIComponent(name)}/behaviour`;
  try {
    await fetch(address, {
      method: "POST",
      headers: { "Content-Type": "application/json" },
      body: JSON.stringify({ behaviour: word }),
    });
  } catch {
    say("The service does not answer");
    return;
  }
  look();
}

function showReceiver(receiver, behaviours) {
  const id = `receiver-${receiver.name}`;
  let item = document.getElementById(id);
  if (!item) {
    item = fromTemplate("receiver-template");
    item.id = id;
    item.querySelector(".name").textContent = receiver.name;
    item.querySelector(".path").textContent = new URL(receiver.url).pathname;
    // On a small screen the deliveries should not be far below.
    item.querySelector("details").open = matchMedia("(min-width: 52rem)").matches;
    const choices = item.querySelector(".choices");
    choices.setAttribute("aria-label", `How ${receiver.name} answers`);
    choices.append(...behaviours.map((behaviour) => choiceButton(receiver.name, behaviour)));
    receivers.append(item);
  }
  for (const button of item.querySelectorAll(".choices button")) {
    button.setAttribute("aria-pressed", String(button.dataset.word === receiver.behaviour));
  }
  item.querySelector(".meaning").textContent = receiver.meaning;
}

function outcome(answer) {
  return answer.startsWith("2") ? "good" : "bad";
}

function deliveryCard(delivery) {
  const item = fromTemplate("delivery-template");
  const part = (selector) => item.querySelector(selector);
  part(".event").textContent = delivery.event || `${delivery.method} request`;
  part(".receiver-name").textContent = delivery.receiver;
  part("time").dateTime = delivery.received_at;
  part("time").textContent = new Date(delivery.received_at).toLocaleTimeString();
  part(".signature").textContent = delivery.signature;
  part(".signature").dataset.tone = { "signature valid": "good", "not signed": "plain" }[delivery.signature] || "bad";
  part(".attempt").textContent = delivery.attempt ? `attempt ${delivery.attempt}` : "no attempt number";
  part(".answer").textContent = `we answered ${delivery.answer}`;
  part(".answer").dataset.tone = outcome(delivery.answer);
  part(".body").textContent = delivery.body || "(empty body)";
  const headers = part(".headers");
  for (const [name, value] of Object.entries(delivery.headers)) {
    const term = document.createElement("dt");
    const description = document.createElement("dd");
    term.textContent = name;
    description.textContent = value;
    headers.append(term, description);
  }
  return item;
}

function show(state) {
  if (state.run !== run) {
    run = state.run;
    shown = 0;
    deliveries.replaceChildren();
    receivers.replaceChildren();
  }
  last = state.last;
  shown = Math.min(shown + state.deliveries.length, KEPT);
  for (const receiver of state.receivers) showReceiver(receiver, state.behaviours);
  document.getElementById("pattern").textContent = state.receivers[0].url.replace(/[^/]+$/, "any-name");
  deliveries.prepend(...state.deliveries.map(deliveryCard));
  while (deliveries.childElementCount > KEPT) deliveries.lastElementChild.remove();
  document.getElementById("empty").hidden = shown > 0;
  say(shown === 0 ? "Waiting for the first" : shown === 1 ? "1 delivery" : `${shown} deliveries`);
}

async function look() {
  clearTimeout(timer);
  const after = last;
  try {
    let state = await (await fetch(`${stateUrl}?after=${after}`)).json();
    // Another process answers than before, so its numbers start again.
    if (state.run !== run && after > 0) state = await (await fetch(stateUrl)).json();
    // A button may have looked meanwhile, and what is new is on the page already.
    if (after === last) show(state);
  } catch {
    say("The service does not answer");
  }
  clearTimeout(timer);
  if (!paused && !document.hidden) timer = setTimeout(look, SECOND);
}

pauseButton.addEventListener("click", () => {
  paused = !paused;
  pauseButton.setAttribute("aria-pressed", String(paused));
  pauseButton.textContent = paused ? "Resume" : "Pause";
  if (paused) {
    clearTimeout(timer);
    say("Paused");
  } else {
    look();
  }
});
document.addEventListener("visibilitychange", () => {
  if (!document.hidden && !paused) look();
});

look();
