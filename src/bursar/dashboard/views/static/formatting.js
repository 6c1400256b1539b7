// Formatting of times, numbers and external texts. No character of an external text may hide or reorder others.

const PLAIN = /^[ -~]*$/;
const HIDDEN = /[\p{Cc}\p{Cf}\p{Cs}\p{Co}\p{Zl}\p{Zp}]/gu;
const small = new Intl.NumberFormat(undefined, { maximumSignificantDigits: 4 });
const medium = new Intl.NumberFormat(undefined, { maximumFractionDigits: 4 });
const large = new Intl.NumberFormat(undefined, { maximumFractionDigits: 2 });
const compact = new Intl.NumberFormat(undefined, { notation: "compact", maximumSignificantDigits: 4 });
const fixed = new Map(); // by number of decimal places
const timestamp = new Intl.DateTimeFormat("en", {
  year: "numeric", month: "2-digit", day: "2-digit", hour: "2-digit", minute: "2-digit", hourCycle: "h23",
  timeZoneName: "short",
});

export const zone = Intl.DateTimeFormat().resolvedOptions().timeZone;

export const STATES = {
  failed: "Failed", critical: "Critical", stale: "Stale", warning: "Warning", ok: "OK",
};

/** The text on one line, with hidden characters written as escapes. */
export function visible(text) {
  if (PLAIN.test(text)) return `${text}`;
  return String(text).replace(HIDDEN, (letter) => `\\u{${letter.codePointAt(0).toString(16)}}`);
}

function withDecimals(number, decimals) {
  let format = fixed.get(decimals);
  if (format === undefined) {
    format = new Intl.NumberFormat(undefined, { minimumFractionDigits: decimals, maximumFractionDigits: decimals });
    fixed.set(decimals, format);
  }
  return format.format(number);
}

/** The number with *decimals* decimal places, such as those of its currency; else by its size. */
export function number(value, decimals = null) {
  if (decimals !== null) return withDecimals(value, decimals);
  if (value === 0) return "0";
  const size = Math.abs(value);
  return (size < 1 ? small : size < 100 ? medium : size < 1e9 ? large : compact).format(value);
}

/** The value of a measurement: a number, a text, or "no value". */
export function value(measurement) {
  const { value: content, decimals } = measurement;
  if (content === null) return "no value";
  return typeof content === "number" ? number(content, decimals) : visible(content);
}

/** The value with its unit. */
export function quantity(measurement) {
  return `${value(measurement)} ${visible(measurement.unit)}`.trim();
}

export function duration(seconds) {
  if (seconds < 1) return `${Math.round(seconds * 1000)} ms`;
  if (seconds < 60) return `${seconds < 10 ? seconds.toFixed(1).replace(".0", "") : Math.round(seconds)} s`;
  if (seconds < 3600) return `${Math.round(seconds / 60)} min`;
  if (seconds < 2 * 86400) return `${Math.round(seconds / 3600)} h`;
  return `${Math.round(seconds / 86400)} days`;
}

/** The age, in steps of five seconds below one minute, so that hundreds of tiles do not flicker. */
export function ago(seconds) {
  if (seconds < 5) return "just now";
  return `${duration(seconds < 60 ? Math.floor(seconds / 5) * 5 : seconds)} ago`;
}

/** A time as `2026-12-01 14:05 CET`, in the time zone of the viewer. */
export function dateTime(time) {
  const parts = Object.fromEntries(timestamp.formatToParts(new Date(time)).map(({ type, value: text }) => [type, text]));
  return `${parts.year}-${parts.month}-${parts.day} ${parts.hour}:${parts.minute} ${parts.timeZoneName}`;
}
