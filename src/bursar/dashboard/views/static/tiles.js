// One tile: created once from the template of the page; later only its changed texts are written.
import { STATES, ago, quantity, value, visible } from "./formatting.js";

const template = document.getElementById("tile");
const SPARK_WIDTH = 600;
const SPARK_HEIGHT = 120;
const SPARK_EDGE = 6;

/** The points of a polyline through *numbers*, as integers: hundreds of tiles are drawn at once. */
function line(numbers) {
  if (numbers.length < 2) return "";
  let min = Infinity;
  let max = -Infinity;
  for (const each of numbers) {
    if (each < min) min = each;
    if (each > max) max = each;
  }
  const isFlat = max === min;
  const scale = isFlat ? 0 : (SPARK_HEIGHT - 2 * SPARK_EDGE) / (max - min);
  const bottom = isFlat ? SPARK_HEIGHT / 2 : SPARK_HEIGHT - SPARK_EDGE;
  const step = SPARK_WIDTH / (numbers.length - 1);
  let points = "";
  for (let index = 0; index < numbers.length; index += 1) {
    points += `${Math.round(index * step)},${Math.round(bottom - (numbers[index] - min) * scale)} `;
  }
  return points;
}

const labelled = (each) => `${visible(each.name)} ${quantity(each)}`;
const isFailing = (each) => each.level !== "ok";

/** The reason or the failing measurements if there are any; else the name of the first measurement, and the others. */
function note(status) {
  if (status.reason) return visible(status.reason);
  const [first, ...others] = status.measurements;
  const failing = status.measurements.filter(isFailing);
  if (failing.length) return failing.map((each) => `${labelled(each)}: ${each.level}`).join(" \u00b7 ");
  return [first ? visible(first.name) : "", ...others.map(labelled)].filter(Boolean).join(" \u00b7 ");
}

export class Tile {
  constructor(status) {
    this.item = template.content.firstElementChild.cloneNode(true);
    this.button = this.item.firstElementChild;
    this.button.dataset.key = status.key;
    this.texts = {};
    for (const name of ["title", "state", "value", "unit", "note", "age"]) {
      const node = document.createTextNode("");
      this.button.querySelector(`.${name}`).append(node);
      this.texts[name] = node;
    }
    this.spark = this.button.querySelector("polyline");
    this.points = "";
    this.searchText = "";
    this.update(status);
  }

  update(status) {
    this.status = status;
    const [first] = status.measurements;
    if (this.button.dataset.state !== status.state) this.button.dataset.state = status.state;
    this.write("title", visible(status.title));
    if (this.button.title !== this.texts.title.data) this.button.title = this.texts.title.data;
    this.write("state", STATES[status.state]);
    this.write("value", first ? value(first) : "");
    this.write("unit", first ? visible(first.unit) : "");
    this.write("note", note(status));
    const points = line(status.sparkline);
    if (points !== this.points) {
      this.points = points;
      this.spark.setAttribute("points", points);
    }
    this.searchText = `${status.title} ${status.group} ${status.kind} ${status.key} ${status.reason}`.toLowerCase();
  }

  /** Show the age of the measurements at *now* (milliseconds). */
  updateAge(now) {
    const { last_success_at: time } = this.status;
    this.write("age", time === null ? "never" : ago((now - Date.parse(time)) / 1000));
  }

  write(name, text) {
    const node = this.texts[name];
    if (node.data !== text) node.data = text;
  }
}
