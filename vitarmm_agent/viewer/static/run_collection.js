"use strict";
// Shows the run that the address names, from the templates in this file.

const collection = document.querySelector("[data-collection]");
const report = document.getElementById("report");
const images = JSON.parse(document.getElementById("images").textContent);

function turn() {
  const kept = /^#run-[0-9]+$/.test(location.hash) && document.getElementById(location.hash.slice(1));
  collection.hidden = !kept;
  report.hidden = Boolean(kept);
  const place = $("[data-run]", collection);
  place.replaceChildren();
  if (!kept) {
    const part = location.hash.length > 1 && document.getElementById(location.hash.slice(1));
    if (part) part.scrollIntoView();
    return;
  }
  const run = kept.content.cloneNode(true);
  for (const image of all("img", run)) image.src = images[image.getAttribute("src").replace("image:", "")] || "";
  place.append(run);
  prepare(place);
  scrollTo(0, 0);
  const heading = $("h1", place);
  if (heading) { heading.tabIndex = -1; heading.focus({ preventScroll: true }); }
}

addEventListener("hashchange", turn);
turn();
