// One tile: made once from the page's template, and then only what changed is written.
import { STATES, ago, value, visible } from "./words.js";

const template = document.getElementById("tile");
const SPARK_WIDTH = 100;
const SPARK_HEIGHT = 24;

/** The points of a line through *values*, in a box of the given size. */
export function line(values, width, height) {
  const numbers = values.filter(Number.isFinite);
  if (numbers.length < 2) return "";
  let low = Infinity;
  let high = -Infinity;
  for (const each of numbers) {
    if (each < low) low = each;
    if (each > high) high = each;
  }
  const span = high - low || 1;
  const rest = high === low ? height / 2 : 0;
  const step = width / (numbers.length - 1);
  return numbers
    .map((each, at) => `${(at * step).toFixed(1)},${(height - 1 - rest - ((each - low) / span) * (height - 2)).toFixed(1)}`)
    .join(" ");
}

const told = (each) => `${visible(each.name)} ${value(each.value)} ${visible(each.unit)}`.trim();
const beyond = (each) => each.level !== "ok";

/** Why it is not well, if it is not; else what the large number is, and the others. */
function noted(view) {
  if (view.reason) return visible(view.reason);
  const [first, ...others] = view.readings;
  if (view.readings.some(beyond)) return view.readings.filter(beyond).map((each) => `${told(each)}: ${each.level}`).join(" \u00b7 ");
  return [first ? visible(first.name) : "", ...others.map(told)].filter(Boolean).join(" \u00b7 ");
}

export class Tile {
  constructor(view) {
    this.item = template.content.firstElementChild.cloneNode(true);
    this.button = this.item.firstElementChild;
    this.button.dataset.key = view.key;
    this.parts = {};
    for (const name of ["title", "state", "value", "unit", "note", "age"]) {
      const node = document.createTextNode("");
      this.button.querySelector(`.${name}`).append(node);
      this.parts[name] = node;
    }
    this.spark = this.button.querySelector("polyline");
    this.points = "";
    this.searched = "";
    this.show(view);
  }

  show(view) {
    this.view = view;
    const [first] = view.readings;
    if (this.button.dataset.state !== view.state) this.button.dataset.state = view.state;
    this.write("title", visible(view.title));
    if (this.button.title !== this.parts.title.data) this.button.title = this.parts.title.data;
    this.write("state", STATES[view.state]);
    this.write("value", first ? value(first.value) : "");
    this.write("unit", first ? visible(first.unit) : "");
    this.write("note", noted(view));
    const points = line(view.spark, SPARK_WIDTH, SPARK_HEIGHT);
    if (points !== this.points) {
      this.points = points;
      this.spark.setAttribute("points", points);
    }
    this.searched = `${view.title} ${view.group} ${view.kind} ${view.key} ${view.reason}`.toLowerCase();
  }

  /** Tell how old the readings are at *now* (milliseconds). */
  grow(now) {
    const { as_of: at } = this.view;
    this.write("age", at === null ? "never" : ago((now - Date.parse(at)) / 1000));
  }

  write(name, text) {
    const node = this.parts[name];
    if (node.data !== text) node.data = text;
  }
}
