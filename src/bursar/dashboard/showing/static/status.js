// The status page: its one time, in the zone of whoever looks.
import { moment } from "./words.js";

for (const time of document.querySelectorAll("time")) time.textContent = moment(time.dateTime);
