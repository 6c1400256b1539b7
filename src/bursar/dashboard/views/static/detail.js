// What one tile tells in full, in a dialog that goes on changing while it is open.
import * as history from "./history.js";
import { STATES, duration, moment, value, visible } from "./words.js";

const dialog = document.getElementById("detail");
const find = (name) => dialog.querySelector(name);
let shown = null;

function row(...texts) {
  const made = document.createElement("tr");
  for (const text of texts) {
    const cell = document.createElement("td");
    cell.textContent = text;
    cell.dir = "auto";
    made.append(cell);
  }
  return made;
}

function facts(view) {
  const told = [
    ["Readings of", view.as_of === null ? "never" : moment(view.as_of)],
    ["Asked every", duration(view.interval_seconds)],
    ["Answered in", view.seconds === null ? "not yet" : duration(view.seconds)],
    ["Group", visible(view.group)],
    ["Kind", view.kind],
  ];
  return told.map(([name, text]) => {
    const pair = document.createElement("div");
    const term = document.createElement("dt");
    const fact = document.createElement("dd");
    term.textContent = name;
    fact.textContent = text;
    fact.dir = "auto";
    pair.append(term, fact);
    return pair;
  });
}

/** Write *view* into the dialog if it is the one that is open. */
export function refresh(view) {
  if (view.key !== shown) return;
  dialog.dataset.state = view.state;
  find("h2").textContent = visible(view.title);
  find(".state").textContent = STATES[view.state];
  find(".since").textContent = `since ${moment(view.since)}`;
  find(".reason").textContent = visible(view.reason);
  find(".readings").replaceChildren(
    ...view.readings.map((each) => row(visible(each.name), `${value(each.value)} ${visible(each.unit)}`, each.level)),
  );
  find(".facts").replaceChildren(...facts(view));
}

export function open(view) {
  shown = view.key;
  refresh(view);
  dialog.showModal();
  history.open(view);
}

/** The source is watched no longer. */
export function gone(key) {
  if (key === shown) dialog.close();
}

dialog.addEventListener("close", () => {
  shown = null;
  history.close();
});
dialog.querySelector(".close").addEventListener("click", () => dialog.close());
dialog.addEventListener("click", (event) => {
  if (event.target === dialog) dialog.close(); // beside it
});
