// Shows the document of the contract that the address names after "#": the first one unless it says otherwise.
"use strict";

const links = [...document.querySelectorAll("[data-document]")];
const download = document.getElementById("download");

function chosen() {
  return links.find((link) => link.hash === location.hash) || links[0];
}

function mark(link) {
  for (const each of links) each.removeAttribute("aria-current");
  link.setAttribute("aria-current", "page");
  download.href = link.dataset.document;
  document.title = `${link.textContent.trim()} API`;
}

const ui = SwaggerUIBundle({
  dom_id: "#swagger",
  url: chosen().dataset.document,
  validatorUrl: null, // would ask a server on the internet
  tryItOutEnabled: true,
  displayRequestDuration: true,
  defaultModelsExpandDepth: 0,
  docExpansion: "list",
});
mark(chosen());

// The same page goes on, so a key that was entered stays. It is in its memory only, and gone with it.
addEventListener("hashchange", () => {
  const link = chosen();
  mark(link);
  ui.specActions.updateUrl(link.dataset.document);
  ui.specActions.download(link.dataset.document);
});
