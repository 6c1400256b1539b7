// The history of one series: a band from minimum to maximum of each bucket, and a line through the means.
import { dateTime, number, visible } from "./formatting.js";

const RANGES = { day: ["Day", 86_400], week: ["Week", 7 * 86_400], month: ["Month", 30 * 86_400], year: ["Year", 365 * 86_400] };
const WIDTH = 640;
const HEIGHT = 200;
const EDGE = 6;
const RELOAD_MS = 60_000;
const figure = document.querySelector("#detail figure");
const find = (name) => figure.querySelector(name);
const series = find(".series");
let key = null;
let range = "day";
let timer = 0;
let decimals = {}; // by series

for (const [name, [label]] of Object.entries(RANGES)) {
  const button = document.createElement("button");
  button.type = "button";
  button.textContent = label;
  button.dataset.range = name;
  button.addEventListener("click", () => {
    range = name;
    load();
  });
  find(".ranges").append(button);
}
series.addEventListener("change", load);

/** Split where buckets are missing, so that no line is drawn across a gap. */
function segments(buckets, step) {
  const result = [];
  let previous = -Infinity;
  for (const bucket of buckets) {
    const start = Date.parse(bucket.starts_at) / 1000;
    if (start - previous > 1.5 * step) result.push([]);
    result.at(-1).push({ ...bucket, start });
    previous = start;
  }
  return result;
}

function draw({ data, step_seconds: step }) {
  const until = Date.now() / 1000;
  // A monitor that is one hour old shows that hour and not an empty day.
  const age = data.length ? until - Date.parse(data[0].starts_at) / 1000 : 0;
  const seconds = age > 0 ? Math.min(RANGES[range][1], age) : RANGES[range][1];
  let min = Infinity;
  let max = -Infinity;
  for (const bucket of data) {
    min = Math.min(min, bucket.min);
    max = Math.max(max, bucket.max);
  }
  const size = max - min;
  const x = (time) => (Math.max(0, 1 - (until - time) / seconds) * WIDTH).toFixed(1);
  const y = (value) => (size ? HEIGHT - EDGE - ((value - min) / size) * (HEIGHT - 2 * EDGE) : HEIGHT / 2).toFixed(1);
  let band = "";
  let line = "";
  for (const segment of segments(data, step)) {
    // A bucket is as wide as its step, so that a single one is visible too.
    const ends = segment.map((bucket) => [x(bucket.start), x(Math.min(until, bucket.start + step)), bucket]);
    const tops = ends.map(([from, to, bucket]) => `${from},${y(bucket.max)}L${to},${y(bucket.max)}`);
    const bottoms = ends.map(([from, to, bucket]) => `${to},${y(bucket.min)}L${from},${y(bucket.min)}`).reverse();
    band += `M${tops.join("L")}L${bottoms.join("L")}Z`;
    line += `M${ends.map(([from, to, bucket]) => `${from},${y(bucket.mean)}L${to},${y(bucket.mean)}`).join("L")}`;
  }
  const format = (value) => number(value, decimals[series.value] ?? null);
  find(".band").setAttribute("d", band);
  find(".line").setAttribute("d", line);
  find(".max").textContent = data.length ? format(max) : "";
  find(".min").textContent = data.length && size ? format(min) : "";
  find(".from").textContent = dateTime((until - seconds) * 1000);
  find(".until").textContent = "now";
  const caption = data.length ? "Mean, minimum and maximum" : "No data for this range yet";
  find(".caption").textContent = caption;
  const limits = data.length ? `, from ${format(min)} to ${format(max)}` : "";
  find(".chart").setAttribute("aria-label", `${visible(series.selectedOptions[0].text)}, last ${range}: ${caption}${limits}`);
}

async function load() {
  const query = new URLSearchParams({ key, series: series.value, range });
  for (const button of find(".ranges").children) button.ariaPressed = `${button.dataset.range === range}`;
  let loaded;
  try {
    const response = await fetch(`/v1/dashboard/history?${query}`);
    if (!response.ok) throw new Error(`${response.status}`);
    loaded = await response.json();
  } catch {
    find(".caption").textContent = "The history is not available right now";
    return;
  }
  if (loaded.key === key && loaded.series === series.value) draw(loaded);
}

/** The name of a series with its unit, unless the name ends with it, such as `balance KWD`. */
function label({ name, unit }) {
  return visible(unit && !name.endsWith(unit) ? `${name} (${unit})` : name);
}

export function open(status) {
  const numeric = status.measurements.filter((each) => typeof each.value === "number");
  key = status.key;
  decimals = Object.fromEntries(numeric.map((each) => [each.name, each.decimals]));
  series.replaceChildren(
    ...numeric.map((each) => new Option(label(each), each.name)),
    new Option("Check duration (s)", "duration_seconds"),
  );
  find(".band").setAttribute("d", "");
  find(".line").setAttribute("d", "");
  find(".caption").textContent = "";
  load();
  timer = setInterval(load, RELOAD_MS);
}

export function close() {
  key = null;
  clearInterval(timer);
}
