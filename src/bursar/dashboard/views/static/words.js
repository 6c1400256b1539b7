// Times, numbers and texts as people read them. Texts come from outside: nothing in one may hide or turn another.

const PLAIN = /^[ -~]*$/;
const HIDDEN = /[\p{Cc}\p{Cf}\p{Cs}\p{Co}\p{Zl}\p{Zp}]/gu;
const small = new Intl.NumberFormat(undefined, { maximumSignificantDigits: 4 });
const medium = new Intl.NumberFormat(undefined, { maximumFractionDigits: 4 });
const whole = new Intl.NumberFormat(undefined, { maximumFractionDigits: 2 });
const large = new Intl.NumberFormat(undefined, { notation: "compact", maximumSignificantDigits: 4 });
const full = new Intl.DateTimeFormat(undefined, {
  year: "numeric", month: "short", day: "numeric", hour: "2-digit", minute: "2-digit", second: "2-digit",
  timeZoneName: "short",
});

export const zone = Intl.DateTimeFormat().resolvedOptions().timeZone;

export const STATES = {
  failed: "Failed", critical: "Critical", stale: "Stale", warning: "Warning", ok: "OK",
};

/** The text on one line, of characters that show themselves and nothing else. */
export function visible(text) {
  if (PLAIN.test(text)) return `${text}`;
  return String(text).replace(HIDDEN, (letter) => `\\u{${letter.codePointAt(0).toString(16)}}`);
}

export function number(value) {
  if (value === 0) return "0";
  const size = Math.abs(value);
  return (size < 1 ? small : size < 100 ? medium : size < 1e9 ? whole : large).format(value);
}

/** A reading's value: a number, a text, or that there is none. */
export function value(told) {
  if (told === null || told === undefined) return "none";
  return typeof told === "number" ? number(told) : visible(told);
}

export function duration(seconds) {
  if (seconds < 1) return `${Math.round(seconds * 1000)} ms`;
  if (seconds < 60) return `${seconds < 10 ? seconds.toFixed(1) : Math.round(seconds)} s`;
  if (seconds < 3600) return `${Math.round(seconds / 60)} min`;
  if (seconds < 2 * 86400) return `${Math.round(seconds / 3600)} h`;
  return `${Math.round(seconds / 86400)} days`;
}

/** How long ago, in steps of five seconds at first: a page of hundreds need not flicker. */
export function ago(seconds) {
  if (seconds < 5) return "just now";
  return `${duration(seconds < 60 ? Math.floor(seconds / 5) * 5 : seconds)} ago`.replace(".0 ", " ");
}

/** A moment in the viewer's own zone, which it names. */
export function moment(iso) {
  return full.format(new Date(iso));
}

const short = new Intl.DateTimeFormat(undefined, { month: "short", day: "numeric", hour: "2-digit", minute: "2-digit" });

/** A moment, in seconds since 1970, without its year. */
export function day(seconds) {
  return short.format(new Date(seconds * 1000));
}
