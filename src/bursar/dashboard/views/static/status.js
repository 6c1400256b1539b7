// The status page: its one time in the zone of whoever looks, and a newer page every minute.
import { moment } from "./words.js";

const AGAIN_MS = 60_000;

for (const time of document.querySelectorAll("time")) time.textContent = moment(time.dateTime);
setInterval(() => {
  if (!document.hidden) location.reload();
}, AGAIN_MS);
