// One tile: made once from the page's template, and then only what changed is written.
import { STATES, ago, value, visible } from "./words.js";

const template = document.getElementById("tile");
const SPARK_WIDTH = 600;
const SPARK_HEIGHT = 120;
const SPARK_EDGE = 6;

/** The points of a line through *numbers*; whole ones, for hundreds of tiles are drawn at once. */
function line(numbers) {
  if (numbers.length < 2) return "";
  let low = Infinity;
  let high = -Infinity;
  for (const each of numbers) {
    if (each < low) low = each;
    if (each > high) high = each;
  }
  const flat = high === low;
  const size = flat ? 0 : (SPARK_HEIGHT - 2 * SPARK_EDGE) / (high - low);
  const bottom = flat ? SPARK_HEIGHT / 2 : SPARK_HEIGHT - SPARK_EDGE;
  const step = SPARK_WIDTH / (numbers.length - 1);
  let points = "";
  for (let at = 0; at < numbers.length; at += 1) {
    points += `${Math.round(at * step)},${Math.round(bottom - (numbers[at] - low) * size)} `;
  }
  return points;
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
    const points = line(view.spark);
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
