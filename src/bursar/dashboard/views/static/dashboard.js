// The dashboard: tiles by group, the filter, keyboard navigation, and announcements for screen readers.
import * as detail from "./detail.js";
import { follow } from "./event_stream.js";
import { STATES, visible, zone } from "./formatting.js";
import { Tile } from "./tiles.js";

const AGE_MS = 5_000;
const ANNOUNCEMENTS_MAX = 3;
/** The size of a tile and a heading in dashboard.css, for the estimated height of groups not yet drawn. */
const TILE = { width: 235, height: 162 };
const HEADING = 46;
const find = (id) => document.getElementById(id);
const container = find("tiles");
const text = find("text");
const group = find("group");
const tiles = new Map(); // by key
const sections = new Map(); // by group: {section, list, tiles}
const saved = new URLSearchParams(location.hash.slice(1));
let state = saved.get("state") || "";
let current = null; // the tile in the tab order
let skew = 0; // the server's clock minus that of the browser, in milliseconds

// --- Tiles -------------------------------------------------------------------------------------

const order = new Intl.Collator(undefined, { numeric: true });
const compare = (a, b) => order.compare(a.status.title, b.status.title) || (a.status.key < b.status.key ? -1 : 1);

function sectionOf(name) {
  let entry = sections.get(name);
  if (entry === undefined) {
    const section = document.createElement("section");
    const heading = document.createElement("h2");
    const list = document.createElement("ul");
    heading.textContent = visible(name);
    heading.dir = "auto";
    list.setAttribute("role", "list");
    section.append(heading, list);
    entry = { name, section, list, tiles: [] };
    sections.set(name, entry);
    const names = [...sections.keys()].sort(order.compare);
    const next = sections.get(names[names.indexOf(name) + 1]);
    container.insertBefore(section, next ? next.section : null);
    const option = new Option(visible(name), name);
    group.insertBefore(option, [...group.options].slice(1).find((each) => order.compare(each.value, name) > 0) || null);
  }
  return entry;
}

function insert(tile) {
  const entry = sectionOf(tile.status.group);
  let index = entry.tiles.length; // statuses arrive nearly sorted: search from the end
  while (index > 0 && compare(tile, entry.tiles[index - 1]) < 0) index -= 1;
  entry.list.insertBefore(tile.item, entry.tiles[index]?.item ?? null);
  entry.tiles.splice(index, 0, tile);
}

function detach(tile, name) {
  const entry = sections.get(name);
  entry.tiles.splice(entry.tiles.indexOf(tile), 1);
  tile.item.remove();
  if (entry.tiles.length === 0) {
    entry.section.remove();
    sections.delete(name);
    [...group.options].find((each) => each.value === name && each.index > 0)?.remove();
  }
}

function remove(key) {
  const tile = tiles.get(key);
  if (tile === undefined) return;
  tiles.delete(key);
  detach(tile, tile.status.group);
  if (current === tile) current = null;
  detail.remove(key);
}

/** Create or update a tile; returns the announcement of a changed state, or "". */
function put(status, now) {
  const tile = tiles.get(status.key);
  if (tile === undefined) {
    const created = new Tile(status);
    created.updateAge(now);
    tiles.set(status.key, created);
    insert(created);
    return "";
  }
  const { group: name, title, state: previous } = tile.status;
  tile.update(status);
  tile.updateAge(now);
  if (name !== status.group || title !== status.title) {
    detach(tile, name);
    insert(tile);
  }
  detail.update(status);
  return previous === status.state ? "" : `${visible(status.title)}: ${STATES[status.state]}`;
}

function applyChanges({ server_time: serverTime, data, removed = [] }) {
  skew = Date.parse(serverTime) - Date.now();
  const now = Date.now() + skew;
  for (const key of removed) remove(key);
  const announcements = data.map((status) => put(status, now)).filter(Boolean);
  if (announcements.length > 0) {
    const more = announcements.length > ANNOUNCEMENTS_MAX ? `, and ${announcements.length - ANNOUNCEMENTS_MAX} more` : "";
    find("announcements").textContent = announcements.slice(0, ANNOUNCEMENTS_MAX).join(", ") + more;
  }
  applyFilter();
}

function applySnapshot(snapshot) {
  const keys = new Set(snapshot.data.map((status) => status.key));
  applyChanges({ ...snapshot, removed: [...tiles.keys()].filter((key) => !keys.has(key)) });
  container.setAttribute("aria-busy", "false");
}

// --- Filter ------------------------------------------------------------------------------------

const CHOICES = { "": "All", failing: "Not OK", ...STATES };
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
text.value = saved.get("text") || "";

const isIn = (tile, name) => name === "" || tile.status.state === name || (name === "failing" && tile.status.state !== "ok");

function choose(name) {
  state = name;
  filterChanged();
  scrollTo(0, 0);
}

/** Hide the tiles that do not match the filter, and count the matches by state. */
function applyFilter() {
  const terms = text.value.toLowerCase().split(/\s+/).filter(Boolean);
  const groupName = group.value;
  const totals = Object.fromEntries(Object.keys(CHOICES).map((name) => [name, 0]));
  let visibleCount = 0;
  const columns = Math.max(1, Math.floor(container.clientWidth / TILE.width));
  for (const entry of sections.values()) {
    const countBefore = visibleCount;
    for (const tile of entry.tiles) {
      const matches = (groupName === "" || entry.name === groupName) && terms.every((term) => tile.searchText.includes(term));
      if (matches) for (const name of ["", tile.status.state, ...(tile.status.state === "ok" ? [] : ["failing"])]) totals[name] += 1;
      const isVisible = matches && isIn(tile, state);
      if (tile.item.hidden === isVisible) tile.item.hidden = !isVisible;
      visibleCount += isVisible ? 1 : 0;
    }
    const hasTiles = visibleCount > countBefore;
    if (entry.section.hidden === hasTiles) entry.section.hidden = !hasTiles;
    const height = `auto ${HEADING + TILE.height * Math.ceil((visibleCount - countBefore) / columns)}px`;
    if (entry.height !== height) entry.section.style.containIntrinsicHeight = entry.height = height;
  }
  for (const [name, { button, count }] of Object.entries(counts)) {
    if (count.textContent !== `${totals[name]}`) count.textContent = totals[name];
    if (button.ariaPressed !== `${name === state}`) button.ariaPressed = `${name === state}`;
    button.dataset.empty = `${totals[name] === 0}`;
  }
  let failing = 0;
  for (const tile of tiles.values()) failing += tile.status.state === "ok" ? 0 : 1;
  document.title = `${failing ? `(${failing}) ` : ""}Dashboard | Bursar`;
  find("empty").hidden = visibleCount > 0;
  find("empty").textContent = tiles.size ? "No monitor matches the filter. Press Esc to clear it." : "No monitors yet.";
  if (current === null || current.item.hidden) makeCurrent(firstTile());
}

/** Apply the filter and store it in the address, so that it can be bookmarked and shared. */
function filterChanged() {
  const values = Object.entries({ text: text.value, group: group.value, state });
  const parameters = new URLSearchParams(values.filter(([, value]) => value));
  history.replaceState(null, "", `${parameters}` ? `#${parameters}` : location.pathname);
  applyFilter();
}

text.addEventListener("input", filterChanged);
group.addEventListener("change", filterChanged);
find("filter").addEventListener("submit", (event) => event.preventDefault());

// --- Keyboard ----------------------------------------------------------------------------------

const visibleTiles = (entry) => entry.tiles.filter((tile) => !tile.item.hidden);
const rows = () => [...container.children].map((section) => [...sections.values()].find((each) => each.section === section)).filter((each) => !each.section.hidden);
const firstTile = () => rows().map((each) => visibleTiles(each)[0])[0] ?? null;

/** Make *tile* the one tile in the tab order. */
function makeCurrent(tile) {
  if (current !== null) current.button.tabIndex = -1;
  current = tile;
  if (tile !== null) tile.button.tabIndex = 0;
}

function focusTile(tile) {
  if (tile === undefined || tile === null) return;
  makeCurrent(tile);
  tile.button.focus();
  tile.button.scrollIntoView({ block: "nearest" });
}

/** The tile that *key* moves to; up and down keep the column, also across groups. */
function neighbour(tile, key) {
  const all = rows();
  const row = all.findIndex((each) => each.name === tile.status.group);
  const own = visibleTiles(all[row]);
  const index = own.indexOf(tile);
  const flat = key === "ArrowLeft" || key === "ArrowRight" ? all.flatMap(visibleTiles) : [];
  const columns = getComputedStyle(all[row].list).gridTemplateColumns.split(" ").length;
  switch (key) {
    case "ArrowLeft": return flat[flat.indexOf(tile) - 1];
    case "ArrowRight": return flat[flat.indexOf(tile) + 1];
    case "Home": return firstTile();
    case "End": return visibleTiles(all.at(-1)).at(-1);
    case "ArrowDown": {
      if (index + columns < own.length) return own[index + columns];
      if (Math.floor(index / columns) < Math.floor((own.length - 1) / columns)) return own.at(-1);
      const next = all[row + 1] && visibleTiles(all[row + 1]);
      return next && next[Math.min(index % columns, next.length - 1)];
    }
    default: {
      if (index >= columns) return own[index - columns];
      const previous = all[row - 1] && visibleTiles(all[row - 1]);
      return previous && previous[Math.min(Math.floor((previous.length - 1) / columns) * columns + (index % columns), previous.length - 1)];
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
    filterChanged();
    focusTile(current);
  } else if (event.target === text && (event.key === "ArrowDown" || event.key === "Enter")) {
    event.preventDefault();
    focusTile(current);
  } else if (["ArrowLeft", "ArrowRight", "ArrowUp", "ArrowDown", "Home", "End"].includes(event.key)) {
    if (onTile) focusTile(neighbour(tiles.get(onTile.dataset.key), event.key));
    else if (event.target === document.body && event.key.startsWith("Arrow")) focusTile(current);
    else return;
    event.preventDefault();
  }
});

container.addEventListener("focusin", (event) => {
  const tile = tiles.get(event.target.dataset.key);
  if (tile !== undefined && tile !== current) makeCurrent(tile);
});
container.addEventListener("click", (event) => {
  const button = event.target.closest(".tile");
  if (button !== null) detail.open(tiles.get(button.dataset.key).status);
});

// --- Start -------------------------------------------------------------------------------------

setInterval(() => {
  if (document.hidden) return;
  const now = Date.now() + skew;
  for (const tile of tiles.values()) if (!tile.item.hidden) tile.updateAge(now);
}, AGE_MS);

find("zone").textContent = zone;
follow({
  onSnapshot(snapshot) {
    applySnapshot(snapshot);
    const groupName = saved.get("group");
    if (groupName !== null && [...group.options].some((each) => each.value === groupName)) {
      saved.delete("group");
      group.value = groupName;
      applyFilter();
    }
  },
  onChanges: applyChanges,
  onConnection(isLive) {
    const connection = find("connection");
    const label = isLive ? "Live" : "Disconnected, reconnecting";
    if (connection.textContent !== label) connection.textContent = label;
    connection.dataset.live = isLive;
  },
});
