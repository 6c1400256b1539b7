// The dashboard: tiles by group, a filter, the keyboard, and what a screen reader is told.
import * as detail from "./detail.js";
import { follow } from "./feed.js";
import { Tile } from "./tiles.js";
import { STATES, visible, zone } from "./words.js";

const AGE_MS = 5_000;
const NEWS_MAX = 3;
/** What board.css makes of a tile and a heading: how high a group that is not drawn yet will be. */
const TILE = { width: 235, height: 162 };
const HEADING = 46;
const find = (id) => document.getElementById(id);
const board = find("board");
const text = find("text");
const group = find("group");
const tiles = new Map(); // by key
const sections = new Map(); // by group: {section, list, tiles}
const wanted = new URLSearchParams(location.hash.slice(1));
let state = wanted.get("state") || "";
let current = null; // the tile that the Tab key comes to
let skew = 0; // the server's clock less ours, in milliseconds

// --- The tiles ---------------------------------------------------------------------------------

const order = new Intl.Collator(undefined, { numeric: true });
const before = (a, b) => order.compare(a.view.title, b.view.title) || (a.view.key < b.view.key ? -1 : 1);

function sectionOf(name) {
  let found = sections.get(name);
  if (found === undefined) {
    const section = document.createElement("section");
    const heading = document.createElement("h2");
    const list = document.createElement("ul");
    heading.textContent = visible(name);
    heading.dir = "auto";
    list.setAttribute("role", "list");
    section.append(heading, list);
    found = { name, section, list, tiles: [] };
    sections.set(name, found);
    const names = [...sections.keys()].sort(order.compare);
    const next = sections.get(names[names.indexOf(name) + 1]);
    board.insertBefore(section, next ? next.section : null);
    const option = new Option(visible(name), name);
    group.insertBefore(option, [...group.options].slice(1).find((each) => order.compare(each.value, name) > 0) || null);
  }
  return found;
}

function place(tile) {
  const there = sectionOf(tile.view.group);
  let at = there.tiles.length; // they come nearly in order: look from the end
  while (at > 0 && before(tile, there.tiles[at - 1]) < 0) at -= 1;
  there.list.insertBefore(tile.item, there.tiles[at]?.item ?? null);
  there.tiles.splice(at, 0, tile);
}

function take(tile, name) {
  const there = sections.get(name);
  there.tiles.splice(there.tiles.indexOf(tile), 1);
  tile.item.remove();
  if (there.tiles.length === 0) {
    there.section.remove();
    sections.delete(name);
    [...group.options].find((each) => each.value === name && each.index > 0)?.remove();
  }
}

function remove(key) {
  const tile = tiles.get(key);
  if (tile === undefined) return;
  tiles.delete(key);
  take(tile, tile.view.group);
  if (current === tile) current = null;
  detail.gone(key);
}

/** Show *view*; returns what is to be said of it. */
function put(view, now) {
  const tile = tiles.get(view.key);
  let said = "";
  if (tile === undefined) {
    const made = new Tile(view);
    made.grow(now);
    tiles.set(view.key, made);
    place(made);
    return said;
  }
  const { group: name, title, state: old } = tile.view;
  if (old !== view.state) said = `${visible(view.title)}: ${STATES[view.state]}`;
  tile.show(view);
  tile.grow(now);
  if (name !== view.group || title !== view.title) {
    take(tile, name);
    place(tile);
  }
  detail.refresh(view);
  return said;
}

function told({ at, data, removed = [] }) {
  skew = Date.parse(at) - Date.now();
  const now = Date.now() + skew;
  for (const key of removed) remove(key);
  const said = data.map((view) => put(view, now)).filter(Boolean);
  if (said.length > 0) {
    const more = said.length > NEWS_MAX ? `, and ${said.length - NEWS_MAX} more` : "";
    find("news").textContent = said.slice(0, NEWS_MAX).join(", ") + more;
  }
  sift();
}

function whole(news) {
  const there = new Set(news.data.map((view) => view.key));
  told({ ...news, removed: [...tiles.keys()].filter((key) => !there.has(key)) });
  board.setAttribute("aria-busy", "false");
}

// --- The filter --------------------------------------------------------------------------------

const CHOICES = { "": "All", trouble: "Trouble", ...STATES };
const counts = {};
for (const [name, label] of Object.entries(CHOICES)) {
  const button = document.createElement("button");
  const count = document.createElement("b");
  button.type = "button";
  button.dataset.choice = name;
  button.append(`${label} `, count);
  button.addEventListener("click", () => choose(name));
  find("states").append(button);
  counts[name] = { button, count };
}
if (!(state in CHOICES)) state = "";
text.value = wanted.get("text") || "";

const isOf = (tile, name) => name === "" || tile.view.state === name || (name === "trouble" && tile.view.state !== "ok");

function choose(name) {
  state = name;
  changed();
  scrollTo(0, 0);
}

/** Hide what is not asked for, and count what there is of each state. */
function sift() {
  const terms = text.value.toLowerCase().split(/\s+/).filter(Boolean);
  const asked = group.value;
  const number = Object.fromEntries(Object.keys(CHOICES).map((name) => [name, 0]));
  let seen = 0;
  const columns = Math.max(1, Math.floor(board.clientWidth / TILE.width));
  for (const there of sections.values()) {
    const before = seen;
    for (const tile of there.tiles) {
      const found = (asked === "" || there.name === asked) && terms.every((term) => tile.searched.includes(term));
      if (found) for (const name of ["", tile.view.state, ...(tile.view.state === "ok" ? [] : ["trouble"])]) number[name] += 1;
      const shown = found && isOf(tile, state);
      if (tile.item.hidden === shown) tile.item.hidden = !shown;
      seen += shown ? 1 : 0;
    }
    const any = seen > before;
    if (there.section.hidden === any) there.section.hidden = !any;
    const height = `auto ${HEADING + TILE.height * Math.ceil((seen - before) / columns)}px`;
    if (there.height !== height) there.section.style.containIntrinsicHeight = there.height = height;
  }
  for (const [name, { button, count }] of Object.entries(counts)) {
    if (count.textContent !== `${number[name]}`) count.textContent = number[name];
    if (button.ariaPressed !== `${name === state}`) button.ariaPressed = `${name === state}`;
    button.dataset.none = `${number[name] === 0}`;
  }
  let trouble = 0;
  for (const tile of tiles.values()) trouble += tile.view.state === "ok" ? 0 : 1;
  document.title = `${trouble ? `(${trouble}) ` : ""}Dashboard | Bursar`;
  find("empty").hidden = seen > 0;
  find("empty").textContent = tiles.size ? "No tile is like that. Escape clears the filter." : "Nothing is watched yet.";
  if (current === null || current.item.hidden) stop(first());
}

/** The filter was changed: it goes into the address too, so that it can be kept and shared. */
function changed() {
  const kept = new URLSearchParams(Object.entries({ text: text.value, group: group.value, state }).filter(([, told]) => told));
  history.replaceState(null, "", `${kept}` ? `#${kept}` : location.pathname);
  sift();
}

text.addEventListener("input", changed);
group.addEventListener("change", changed);
find("filter").addEventListener("submit", (event) => event.preventDefault());

// --- The keyboard ------------------------------------------------------------------------------

const shownOf = (there) => there.tiles.filter((tile) => !tile.item.hidden);
const rows = () => [...board.children].map((section) => [...sections.values()].find((each) => each.section === section)).filter((each) => !each.section.hidden);
const first = () => rows().map((each) => shownOf(each)[0])[0] ?? null;

/** Let the Tab key come to *tile*. */
function stop(tile) {
  if (current !== null) current.button.tabIndex = -1;
  current = tile;
  if (tile !== null) tile.button.tabIndex = 0;
}

function go(tile) {
  if (tile === undefined || tile === null) return;
  stop(tile);
  tile.button.focus();
  tile.button.scrollIntoView({ block: "nearest" });
}

/** The tile that *key* leads to from *tile*; up and down keep the column, from group to group too. */
function beside(tile, key) {
  const all = rows();
  const at = all.findIndex((each) => each.name === tile.view.group);
  const here = shownOf(all[at]);
  const index = here.indexOf(tile);
  const flat = key === "ArrowLeft" || key === "ArrowRight" ? all.flatMap(shownOf) : [];
  const columns = getComputedStyle(all[at].list).gridTemplateColumns.split(" ").length;
  switch (key) {
    case "ArrowLeft": return flat[flat.indexOf(tile) - 1];
    case "ArrowRight": return flat[flat.indexOf(tile) + 1];
    case "Home": return first();
    case "End": return shownOf(all.at(-1)).at(-1);
    case "ArrowDown": {
      if (index + columns < here.length) return here[index + columns];
      if (Math.floor(index / columns) < Math.floor((here.length - 1) / columns)) return here.at(-1);
      const next = all[at + 1] && shownOf(all[at + 1]);
      return next && next[Math.min(index % columns, next.length - 1)];
    }
    default: {
      if (index >= columns) return here[index - columns];
      const last = all[at - 1] && shownOf(all[at - 1]);
      return last && last[Math.min(Math.floor((last.length - 1) / columns) * columns + (index % columns), last.length - 1)];
    }
  }
}

document.addEventListener("keydown", (event) => {
  if (find("detail").open || event.ctrlKey || event.metaKey || event.altKey) return;
  const onTile = event.target.closest?.(".tile");
  if (event.key === "/" && event.target !== text) {
    event.preventDefault();
    text.focus();
    text.select();
  } else if (event.key === "Escape") {
    if (!text.value && !group.value && !state && event.target !== text) return;
    event.preventDefault();
    text.value = group.value = state = "";
    changed();
    go(current);
  } else if (event.target === text && (event.key === "ArrowDown" || event.key === "Enter")) {
    event.preventDefault();
    go(current);
  } else if (["ArrowLeft", "ArrowRight", "ArrowUp", "ArrowDown", "Home", "End"].includes(event.key)) {
    if (onTile) go(beside(tiles.get(onTile.dataset.key), event.key));
    else if (event.target === document.body && event.key.startsWith("Arrow")) go(current);
    else return;
    event.preventDefault();
  }
});

board.addEventListener("focusin", (event) => {
  const tile = tiles.get(event.target.dataset.key);
  if (tile !== undefined && tile !== current) stop(tile);
});
board.addEventListener("click", (event) => {
  const button = event.target.closest(".tile");
  if (button !== null) detail.open(tiles.get(button.dataset.key).view);
});

// --- The beginning -----------------------------------------------------------------------------

setInterval(() => {
  if (document.hidden) return;
  const now = Date.now() + skew;
  for (const tile of tiles.values()) if (!tile.item.hidden) tile.grow(now);
}, AGE_MS);

find("zone").textContent = zone;
follow({
  whole(news) {
    whole(news);
    const asked = wanted.get("group");
    if (asked !== null && [...group.options].some((each) => each.value === asked)) {
      wanted.delete("group");
      group.value = asked;
      sift();
    }
  },
  changes: told,
  live(heard) {
    const live = find("live");
    const words = heard ? "Live" : "Not live: trying again";
    if (live.textContent !== words) live.textContent = words;
    live.dataset.heard = heard;
  },
});
