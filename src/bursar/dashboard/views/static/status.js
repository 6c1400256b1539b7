// The status page: shows its time in the time zone of the visitor, and reloads every minute.
import { dateTime } from "./formatting.js";

const RELOAD_MS = 60_000;

for (const time of document.querySelectorAll("time")) time.textContent = dateTime(time.dateTime);
setInterval(() => {
  if (!document.hidden) location.reload();
}, RELOAD_MS);
