"use strict";
// The page works without this file, except for what is live. No framework, nothing from elsewhere.

const $ = (selector, root = document) => root.querySelector(selector);
const all = (selector, root = document) => [...root.querySelectorAll(selector)];

function drawFormulas(root) {
  if (!window.katex) return;
  for (const span of all(".tex:not([data-drawn])", root)) {
    span.dataset.drawn = "yes";
    try {
      window.katex.render(span.dataset.tex, span, {
        displayMode: span.dataset.display === "block", throwOnError: true, trust: false, strict: "ignore", maxExpand: 500,
      });
    } catch {
      span.title = "not a formula that can be drawn";  // the source stays readable
    }
  }
}

function setTheme() {
  const root = document.documentElement;
  const dark = root.dataset.theme
    ? root.dataset.theme === "dark" : matchMedia("(prefers-color-scheme: dark)").matches;
  root.dataset.theme = dark ? "light" : "dark";
  localStorage.setItem("vitarmm-theme", root.dataset.theme);
}

// The slider: what had not happened yet at a checkpoint fades, and its node is lit.
function moveSlider(slider) {
  const moments = JSON.parse(slider.dataset.moments);
  const at = Number(slider.value);
  const moment = moments[at];
  const root = slider.closest("[data-run]");
  $("output", root).textContent = moment.label;
  slider.setAttribute("aria-valuetext", moment.label);
  light(root, [moment.node]);
  for (const part of all("[data-seen]", root)) part.classList.toggle("later", Number(part.dataset.seen) > at);
  const fork = $("[data-fork]", root);
  if (fork) {
    fork.hidden = !moment.fork;
    fork.href = `${fork.dataset.fork}?checkpoint=${encodeURIComponent(moment.id)}`;
  }
}

function light(root, nodes) {
  for (const node of all("svg.machine [data-node]", root)) node.classList.toggle("lit", nodes.includes(node.dataset.node));
}

// Two runs are compared, no more and no less.
function countTicked(root) {
  for (const button of all("[data-two]", root)) button.disabled = all("input[name=run]:checked", button.form).length !== 2;
}

function prepare(root) {
  countTicked(root);
  drawFormulas(root);
  for (const slider of all("input[data-moments]", root)) {
    slider.addEventListener("input", () => moveSlider(slider));
    slider.dataset.touched = "";
  }
}

// Take a new version of a part of the page, keeping open what was open and the place of the slider.
async function refresh(part, url) {
  const answer = await fetch(url, { headers: { "X-Fragment": "1" } });
  if (!answer.ok) return;
  const open = all("details[open][id]", part).map((element) => element.id);
  const focus = document.activeElement && part.contains(document.activeElement) ? document.activeElement.id : "";
  const ticked = new Set(all("input[type=checkbox]:checked", part).map((box) => box.value));
  const scroll = $(".attempts", part)?.scrollLeft;
  part.innerHTML = await answer.text();
  for (const id of open) document.getElementById(id)?.setAttribute("open", "");
  for (const box of all("input[type=checkbox]", part)) box.checked = ticked.has(box.value);
  countTicked(part);
  if (scroll !== undefined && $(".attempts", part)) $(".attempts", part).scrollLeft = scroll;
  prepare(part);
  if (focus) document.getElementById(focus)?.focus({ preventScroll: true });
}

function queued(work) {
  let running = false, again = false;
  return async function next() {
    if (running) { again = true; return; }
    running = true;
    try { await work(); } finally { running = false; }
    if (again) { again = false; await next(); }
  };
}

function watchRun(part) {
  const events = new EventSource(part.dataset.events);
  const update = queued(() => refresh(part, part.dataset.live));
  let text = "", now = null, began = performance.now();
  const tick = () => {
    const clock = $("[data-clock]", part), seconds = Math.floor((performance.now() - began) / 1000);
    if (clock) clock.textContent = seconds > 0 ? `${seconds} s` : "";
  };
  const show = () => {
    const pre = $("[data-live-text]", part);
    if (pre) { pre.textContent = text; pre.hidden = !text; pre.scrollTop = pre.scrollHeight; }
    if (now) {
      const node = now.nodes[now.nodes.length - 1] || "", live = $("[data-live-part]", part);
      if (now.nodes.length) light(part, now.nodes);
      if (live) { live.className = `on-${node}`; $("[data-live-node]", live).textContent = node; }
      for (const words of all("[data-doing]", part)) words.textContent = now.doing;
    }
    tick();
  };
  const clock = setInterval(tick, 1000);
  events.addEventListener("node", (event) => {
    now = JSON.parse(event.data); began = performance.now() - now.elapsed * 1000; text = ""; show();
  });
  events.addEventListener("token", (event) => { text += JSON.parse(event.data).text; show(); });
  events.addEventListener("refresh", async () => { await update(); show(); });
  events.addEventListener("end", async () => {
    events.close(); clearInterval(clock); text = ""; now = null;
    await update();
    part.removeAttribute("data-events");
    document.title = document.title.replace(/^● /, "");
    say($("[data-outcome]", part)?.textContent || "the run is over");
  });
}

function watchList(part) {
  const update = queued(() => refresh(part, part.dataset.live));
  const events = new EventSource("/events");
  events.addEventListener("refresh", update);
  events.addEventListener("end", update);
  setInterval(() => { if (!document.hidden && $("[data-going]", part)) update(); }, 5000);
}

function say(words) { const region = $("#said"); if (region) region.textContent = words.trim(); }

function prepareDrop(zone) {
  const input = $("input[type=file]", zone), previews = $(".previews", zone);
  const draw = () => {
    previews.replaceChildren(...[...input.files].map((file) => {
      const image = document.createElement("img");
      image.src = URL.createObjectURL(file);
      image.alt = file.name;
      return image;
    }));
  };
  input.addEventListener("change", draw);
  for (const kind of ["dragover", "dragenter"])
    zone.addEventListener(kind, (event) => { event.preventDefault(); zone.classList.add("over"); });
  for (const kind of ["dragleave", "drop"]) zone.addEventListener(kind, () => zone.classList.remove("over"));
  zone.addEventListener("drop", (event) => {
    event.preventDefault();
    const files = new DataTransfer();
    for (const file of [...input.files, ...event.dataTransfer.files]) files.items.add(file);
    input.files = files.files;
    draw();
  });
}

// The steps before the one that is put right go into the form, and the wrong one with them, to write over.
function teachFrom(link) {
  const form = $("#teach"), area = $("textarea", form);
  if (area.value.trim() && area.value !== area.dataset.put && !window.confirm("Replace what is written in the form?")) return;
  const steps = all("[data-mend]", link.closest("ol"));
  const lines = steps.slice(0, steps.indexOf(link) + 1).map(({ dataset }) => `${dataset.number}. ${dataset.step}`);
  area.value = area.dataset.put = lines.join("\n");
  form.elements.attempt.value = link.dataset.mend;
  form.scrollIntoView();
  area.focus();
  area.setSelectionRange(area.value.length - link.dataset.step.length, area.value.length);
}

// An image in full, over the page: fitted, or at its own size. Escape closes it, and focus goes back.
function enlarge(button) {
  const small = $("img", button), dialog = document.createElement("dialog"), image = new Image(), place = document.createElement("div");
  const control = (words, act) => {
    const made = document.createElement("button");
    made.type = "button"; made.textContent = words; made.addEventListener("click", () => act(made));
    return made;
  };
  const size = control("Actual size", (made) => {
    made.textContent = dialog.classList.toggle("whole") ? "Fit to the window" : "Actual size";
  });
  const controls = document.createElement("p");
  controls.className = "row";
  controls.append(size, control("Close", () => dialog.close()));
  dialog.className = "enlarged";
  dialog.setAttribute("aria-label", small.alt);
  image.src = small.src; image.alt = small.alt;
  place.className = "place"; place.tabIndex = 0; place.setAttribute("role", "region"); place.setAttribute("aria-label", "The image");
  place.append(image);
  dialog.append(controls, place);
  dialog.addEventListener("click", (event) => { if (event.target === dialog) dialog.close(); });
  dialog.addEventListener("close", () => { dialog.remove(); button.focus(); });
  document.body.append(dialog);
  dialog.showModal();
}

document.addEventListener("click", (event) => {
  const link = event.target.closest("a[href^='/']:not([download])");
  if (link && !event.ctrlKey && !event.metaKey && !event.shiftKey) working();
  const target = event.target.closest("[data-theme-toggle], [data-confirm], [data-mend], [data-zoom]");
  if (!target) return;
  if (target.matches("[data-theme-toggle]")) setTheme();
  else if (target.matches("[data-zoom]")) enlarge(target);
  else if (target.matches("[data-mend]")) { event.preventDefault(); teachFrom(target); }
  else if (!window.confirm(target.dataset.confirm)) event.preventDefault();
});
// What was asked for may take a while, such as a model or the embedder to load; that is said after a second.
const TWICE = 2000;  // milliseconds in which a form that is sent again was clicked twice
let waits = null;
function working() {
  waits?.();
  const began = performance.now(), line = document.createElement("p");
  line.className = "waits";
  line.setAttribute("role", "status");
  const clock = setInterval(() => {
    line.textContent = `working, ${Math.round((performance.now() - began) / 1000)} s`;
    if (!line.isConnected) document.body.append(line);
  }, 1000);
  waits = () => { clearInterval(clock); line.remove(); waits = null; };
}
document.addEventListener("submit", (event) => {
  const now = performance.now(), form = event.target;
  if (event.defaultPrevented) return;
  if (now - (form.dataset.sent || -TWICE) < TWICE) { event.preventDefault(); return; }
  form.dataset.sent = now;
  working();
});
addEventListener("pageshow", () => waits?.());

document.addEventListener("change", (event) => {
  if (event.target.matches("input[name=run]")) countTicked(document);
  if (event.target.matches("[data-submit]")) event.target.form.requestSubmit();
});
document.addEventListener("keydown", (event) => {
  const typing = event.target.matches("input, textarea, select");
  if (event.key === "/" && !typing && $("[type=search]")) { event.preventDefault(); $("[type=search]").focus(); }
  const slider = $("input[data-moments]");
  if ((event.key === "[" || event.key === "]") && !typing && slider) {
    slider.value = Number(slider.value) + (event.key === "]" ? 1 : -1);
    moveSlider(slider);
  }
});

prepare(document);
for (const zone of all(".drop")) prepareDrop(zone);
for (const part of all("[data-events]")) watchRun(part);
for (const part of all("[data-list]")) watchList(part);
