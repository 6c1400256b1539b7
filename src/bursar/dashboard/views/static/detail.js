// The details of one tile, in a dialog that is updated while it is open.
import * as history from "./history.js";
import { STATES, dateTime, duration, quantity, visible } from "./formatting.js";

const KINDS = { account: "Provider account", api: "API", certificate: "Certificate" };
const dialog = document.getElementById("detail");
const find = (name) => dialog.querySelector(name);
let openKey = null;

function row(measurement) {
  const element = document.createElement("tr");
  for (const text of [visible(measurement.name), quantity(measurement), measurement.level]) {
    const cell = document.createElement("td");
    cell.textContent = text;
    cell.dir = "auto";
    element.append(cell);
  }
  element.children[1].className = "number";
  return element;
}

function facts(status) {
  const pairs = [
    ["Last success", status.last_success_at === null ? "Never" : dateTime(status.last_success_at)],
    ["Check interval", duration(status.interval_seconds)],
    ["Last check took", status.duration_seconds === null ? "No check yet" : duration(status.duration_seconds)],
    ["Group", visible(status.group)],
    ["Kind", KINDS[status.kind]],
  ];
  return pairs.map(([name, text]) => {
    const pair = document.createElement("div");
    const term = document.createElement("dt");
    const description = document.createElement("dd");
    term.textContent = name;
    description.textContent = text;
    description.dir = "auto";
    pair.append(term, description);
    return pair;
  });
}

/** Update the dialog if it shows this monitor. */
export function update(status) {
  if (status.key !== openKey) return;
  dialog.dataset.state = status.state;
  find("h2").textContent = visible(status.title);
  find(".state").textContent = STATES[status.state];
  find(".since").textContent = `since ${dateTime(status.state_since)}`;
  find(".reason").textContent = visible(status.reason);
  find(".measurements").replaceChildren(...status.measurements.map(row));
  find(".facts").replaceChildren(...facts(status));
}

export function open(status) {
  openKey = status.key;
  update(status);
  dialog.showModal();
  history.open(status);
}

/** Close the dialog if it shows this monitor, which was removed. */
export function remove(key) {
  if (key === openKey) dialog.close();
}

dialog.addEventListener("close", () => {
  openKey = null;
  history.close();
});
dialog.querySelector(".close").addEventListener("click", () => dialog.close());
dialog.addEventListener("click", (event) => {
  if (event.target === dialog) dialog.close(); // on the backdrop
});
