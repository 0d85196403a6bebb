// Puts the HTML of a run in place. What has not changed is not touched, so that a reader's selection, focus and opened
// parts survive a stream. A <template> is inert: nothing in it loads or runs. Announcements go to one status region.
const root = element.querySelector(".gz-view");
let ticker = 0;
let announced = "";
let autos = {};
let running = false;

function keyed(parent) {
  const found = {};
  for (const child of parent.children) if (child.dataset.key) found[child.dataset.key] = child;
  return found;
}

function morph(from, to) {
  for (const name of from.getAttributeNames()) {
    if (!to.hasAttribute(name) && name !== "open") from.removeAttribute(name);
  }
  for (const name of to.getAttributeNames()) {
    if (name !== "open" && from.getAttribute(name) !== to.getAttribute(name)) from.setAttribute(name, to.getAttribute(name));
  }
  const kept = keyed(from);
  let at = from.firstChild;
  for (const wanted of [...to.childNodes]) {
    const key = wanted.nodeType === 1 ? wanted.dataset.key : undefined;
    const same = key ? kept[key] : at && !(at.dataset && at.dataset.key) ? at : null;
    if (same && same.nodeType === wanted.nodeType && same.nodeName === wanted.nodeName) {
      if (same !== at) from.insertBefore(same, at);
      if (same.nodeType === 1) {
        if (!same.isEqualNode(wanted)) morph(same, wanted);
      } else if (same.data !== wanted.data) {
        same.data = wanted.data;
      }
      at = same.nextSibling;
    } else {
      from.insertBefore(wanted, at);
    }
  }
  while (at) {
    const next = at.nextSibling;
    at.remove();
    at = next;
  }
}

function openByItself() {
  for (const details of root.querySelectorAll("details[data-auto]")) {
    const wanted = details.dataset.auto;
    if (autos[details.dataset.key] !== wanted) details.open = wanted === "open";
    autos[details.dataset.key] = wanted;
  }
}

function tick() {
  const shown = root.querySelector(".gz-elapsed[data-ticking]");
  clearInterval(ticker);
  if (!shown) return;
  const began = performance.now() - 1000 * Number(shown.dataset.elapsed);
  ticker = setInterval(() => {
    const now = root.querySelector(".gz-elapsed[data-ticking]");
    if (now) now.textContent = ((performance.now() - began) / 1000).toFixed(1);
    else clearInterval(ticker);
  }, 200);
}

function announce() {
  const told = root.firstElementChild ? root.firstElementChild.dataset.announce || "" : "";
  const status = document.getElementById("gz-status");
  if (status && told && told !== announced) status.textContent = told;
  announced = told;
}

function show() {
  const template = document.createElement("template");
  template.innerHTML = props.value || "";
  const wanted = root.cloneNode(false);
  wanted.append(template.content);
  if (!wanted.querySelector("details[data-auto]")) autos = {};
  morph(root, wanted);
  openByItself();
  bringIntoView();
  tick();
  announce();
}

function bringIntoView() {
  const now = Boolean(root.querySelector(".gz-running"));
  const top = root.getBoundingClientRect().top;
  if (now && !running && (top < 0 || top > 0.6 * window.innerHeight)) root.scrollIntoView({ block: "start" });
  running = now;
}

element.addEventListener("click", (event) => {
  const button = event.target.closest("[data-close]");
  if (!button) return;
  const details = button.closest("details");
  details.open = false;
  details.querySelector("summary").focus();
  details.scrollIntoView({ block: "nearest" });
});
watch("value", show);
show();
