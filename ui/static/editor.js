// Rows of measurements or answer options, made of the browser's own fields. The value is a list: of
// {key, name, value, unit} for vital signs and tests, of texts for options. Limits are shown here and checked in Python.
const kind = props.kind;
const words = props.words;
const quantities = props.quantities || [];
const box = element.querySelector(".gz-editor");
const letters = "ABCDEFGHIJ";
let own = "";

function make(tag, attributes, ...children) {
  const node = document.createElement(tag);
  for (const [name, value] of Object.entries(attributes)) {
    if (name === "text") node.textContent = value;
    else if (value !== undefined) node.setAttribute(name, value);
  }
  node.append(...children);
  return node;
}

function field(label, tag = "input") {
  return make(tag, { "aria-label": label, autocomplete: "off", spellcheck: "false", dir: "auto" });
}

function send() {
  const rows = [...box.querySelectorAll("[data-row]")].map((row) => row.read());
  own = JSON.stringify(rows);
  props.value = rows;
}

function unitChooser(quantity, label, chosen) {
  const select = make("select", { "aria-label": `${label}: ${words.unit}`, dir: "ltr" });
  for (const each of quantity.units) select.append(make("option", { value: each.unit, text: each.unit }));
  if (chosen && quantity.units.some((each) => each.unit === chosen)) select.value = chosen;
  if (quantity.units.length === 1) select.disabled = true;
  return select;
}

function check(quantity, input, unit, note) {
  const typed = input.value.trim();
  const limits = quantity && quantity.units.find((each) => each.unit === unit.value);
  let problem = "";
  if (typed && !/^[+-]?(\p{Nd}+\.?\p{Nd}*|\.\p{Nd}+)([eE][+-]?\d+)?$/u.test(typed)) problem = words.no_number;
  else if (typed && limits && /^[\d.+-]+$/.test(typed) && (Number(typed) < limits.low || Number(typed) > limits.high)) {
    problem = words.range.replace("{low}", limits.low).replace("{high}", `${limits.high} ${limits.unit}`);
  }
  note.textContent = problem;
  input.setAttribute("aria-invalid", problem ? "true" : "false");
}

function vitalRow(quantity, given) {
  const label = words[`v_${quantity.key}`] || quantity.label;
  const input = make("input", { type: "text", inputmode: "decimal", "aria-label": label, autocomplete: "off", dir: "ltr" });
  const unit = unitChooser(quantity, label, given.unit);
  const note = make("span", { class: "gz-row-note" });
  input.value = given.value || "";
  const row = make("div", { "data-row": quantity.key, class: "gz-vital" }, make("span", { text: label, class: "gz-row-label", "aria-hidden": "true" }), input, unit, note);
  row.read = () => ({ key: quantity.key, value: input.value, unit: unit.value });
  row.addEventListener("input", () => { check(quantity, input, unit, note); send(); });
  check(quantity, input, unit, note);
  return row;
}

function labRow(given) {
  const chooser = make("select", { "aria-label": words.test });
  for (const each of quantities) chooser.append(make("option", { value: each.key, text: each.label }));
  chooser.append(make("option", { value: "", text: words.other_test }));
  chooser.value = given.key !== undefined ? given.key : quantities[0].key;
  const name = field(words.test_name);
  name.value = given.name || "";
  name.placeholder = words.test_name;
  const input = make("input", { type: "text", inputmode: "decimal", "aria-label": words.value, autocomplete: "off", dir: "ltr" });
  input.value = given.value || "";
  input.placeholder = words.value;
  const note = make("span", { class: "gz-row-note" });
  let quantity;
  let unit;
  const remove = make("button", { type: "button", class: "gz-remove", "aria-label": words.remove, title: words.remove, text: "×" });
  const row = make("div", { "data-row": "lab", class: "gz-lab" }, chooser, name, input, remove, note);
  function choose(chosen) {
    quantity = quantities.find((each) => each.key === chooser.value);
    name.hidden = Boolean(quantity);
    const made = quantity ? unitChooser(quantity, quantity.label, chosen) : field(words.unit);
    if (!quantity) { made.value = chosen || ""; made.placeholder = words.unit; }
    if (unit) unit.replaceWith(made); else input.after(made);
    unit = made;
    check(quantity, input, unit, note);
  }
  choose(given.unit);
  row.read = () => ({ key: chooser.value, name: name.value, value: input.value, unit: unit.value });
  chooser.addEventListener("change", () => choose());
  row.addEventListener("input", () => { check(quantity, input, unit, note); send(); });
  row.addEventListener("change", send);
  remove.addEventListener("click", () => { row.remove(); send(); box.querySelector(".gz-add").focus(); });
  return row;
}

function optionRow(text) {
  const letter = make("span", { class: "gz-letter", "aria-hidden": "true" });
  const input = field(words.option, "textarea");
  input.rows = 1;
  input.value = text;
  const remove = make("button", { type: "button", class: "gz-remove", "aria-label": words.remove, title: words.remove, text: "×" });
  const row = make("div", { "data-row": "option", class: "gz-option" }, letter, input, remove);
  row.read = () => input.value;
  row.addEventListener("input", send);
  remove.addEventListener("click", () => { row.remove(); number(); send(); box.querySelector(".gz-add").focus(); });
  return row;
}

function number() {
  [...box.querySelectorAll(".gz-option")].forEach((row, index) => {
    row.querySelector(".gz-letter").textContent = letters[index] || "";
    row.querySelector("textarea").setAttribute("aria-label", `${words.option} ${letters[index]}`);
  });
  const add = box.querySelector(".gz-add");
  if (kind === "options" && add) add.disabled = box.querySelectorAll(".gz-option").length >= letters.length;
}

function addButton(text, row) {
  const add = make("button", { type: "button", class: "gz-add", text });
  add.addEventListener("click", () => {
    const made = row();
    add.before(made);
    number();
    made.querySelector("textarea, select").focus();
    send();
  });
  return add;
}

function draw() {
  const rows = Array.isArray(props.value) ? props.value : [];
  box.replaceChildren();
  if (kind === "vitals") {
    for (const each of quantities) box.append(vitalRow(each, rows.find((row) => row.key === each.key) || {}));
  } else if (kind === "labs") {
    box.append(...rows.map(labRow), addButton(words.add_lab, () => labRow({})));
  } else {
    const texts = rows.length ? rows : ["", ""];
    box.append(...texts.map(optionRow), addButton(words.add_option, () => optionRow("")));
  }
  number();
}

watch("value", () => { if (JSON.stringify(props.value) !== own) draw(); own = ""; });
draw();
