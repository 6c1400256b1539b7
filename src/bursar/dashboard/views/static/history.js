// How a source was: a band from the lowest to the highest value of each span of time, a line through the means.
import { day, number, visible } from "./words.js";

const RANGES = { day: ["Day", 86_400], week: ["Week", 7 * 86_400], month: ["Month", 30 * 86_400], year: ["Year", 365 * 86_400] };
const WIDTH = 640;
const HEIGHT = 200;
const EDGE = 6;
const AGAIN_MS = 60_000;
const figure = document.querySelector("#detail figure");
const find = (name) => figure.querySelector(name);
const series = find(".series");
let key = null;
let range = "day";
let timer = 0;

for (const [name, [label]] of Object.entries(RANGES)) {
  const button = document.createElement("button");
  button.type = "button";
  button.textContent = label;
  button.dataset.range = name;
  button.addEventListener("click", () => {
    range = name;
    show();
  });
  find(".ranges").append(button);
}
series.addEventListener("change", show);

/** Cut where nothing came for longer than a span lasts: a line must not make up what was not there. */
function pieces(spans, step) {
  const cut = [];
  let last = -Infinity;
  for (const span of spans) {
    const at = Date.parse(span.at) / 1000;
    if (at - last > 1.5 * step) cut.push([]);
    cut.at(-1).push({ ...span, at });
    last = at;
  }
  return cut;
}

function draw({ data, step_seconds: step }) {
  const until = Date.now() / 1000;
  // Of a source that is watched since an hour, a day is shown as that hour.
  const known = data.length ? until - Date.parse(data[0].at) / 1000 : 0;
  const seconds = known > 0 ? Math.min(RANGES[range][1], known) : RANGES[range][1];
  let low = Infinity;
  let high = -Infinity;
  for (const span of data) {
    low = Math.min(low, span.low);
    high = Math.max(high, span.high);
  }
  const size = high - low;
  const x = (at) => (Math.max(0, 1 - (until - at) / seconds) * WIDTH).toFixed(1);
  const y = (value) => (size ? HEIGHT - EDGE - ((value - low) / size) * (HEIGHT - 2 * EDGE) : HEIGHT / 2).toFixed(1);
  let band = "";
  let line = "";
  for (const piece of pieces(data, step)) {
    // A span is as wide as its time, so that one alone is seen too.
    const ends = piece.map((span) => [x(span.at), x(Math.min(until, span.at + step)), span]);
    const tops = ends.map(([from, to, span]) => `${from},${y(span.high)}L${to},${y(span.high)}`);
    const bottoms = ends.map(([from, to, span]) => `${to},${y(span.low)}L${from},${y(span.low)}`).reverse();
    band += `M${tops.join("L")}L${bottoms.join("L")}Z`;
    line += `M${ends.map(([from, to, span]) => `${from},${y(span.mean)}L${to},${y(span.mean)}`).join("L")}`;
  }
  find(".band").setAttribute("d", band);
  find(".line").setAttribute("d", line);
  find(".high").textContent = data.length ? number(high) : "";
  find(".low").textContent = data.length && size ? number(low) : "";
  find(".from").textContent = day(until - seconds);
  find(".until").textContent = "now";
  const told = data.length ? "mean, lowest and highest" : "nothing is kept of this time yet";
  find(".told").textContent = told;
  const limits = data.length ? `, from ${number(low)} to ${number(high)}` : "";
  find(".chart").setAttribute("aria-label", `${visible(series.value)} of the last ${range}: ${told}${limits}`);
}

async function show() {
  const asked = new URLSearchParams({ key, series: series.value, back: range });
  for (const button of find(".ranges").children) button.ariaPressed = `${button.dataset.range === range}`;
  let told;
  try {
    const answer = await fetch(`/v1/dashboard/history?${asked}`);
    if (!answer.ok) throw new Error(`${answer.status}`);
    told = await answer.json();
  } catch {
    find(".told").textContent = "the history cannot be read now";
    return;
  }
  if (told.key === key && told.series === series.value) draw(told);
}

export function open(view) {
  const numbers = view.readings.filter((each) => typeof each.value === "number").map((each) => each.name);
  key = view.key;
  series.replaceChildren(...numbers.map((name) => new Option(visible(name), name)), new Option("time to answer, in seconds", "seconds"));
  find(".band").setAttribute("d", "");
  find(".line").setAttribute("d", "");
  find(".told").textContent = "";
  show();
  timer = setInterval(show, AGAIN_MS);
}

export function close() {
  key = null;
  clearInterval(timer);
}
