// Elements and figures. Whatever is shown is set as text: names of columns and categories may hold
// anything.

const MANY = { maximumSignificantDigits: 4, useGrouping: "min2" };
const EXACT = { maximumFractionDigits: 0, useGrouping: "min2" };
export const DASH = "–";

export const by = (id) => document.getElementById(id);

/** Return a new element. `set` holds properties (class, text, hidden, …) and attributes. */
export function make(tag, set = {}, ...children) {
  const made = document.createElement(tag);
  for (const [key, value] of Object.entries(set)) {
    if (value === undefined || value === null || value === false) continue;
    if (key === "text") made.textContent = value;
    else if (key === "class") made.className = value;
    else made.setAttribute(key, value === true ? "" : value);
  }
  made.append(...children.filter((child) => child !== null && child !== undefined));
  return made;
}

/** Return a new SVG element with attributes. */
export function draw(tag, set = {}, ...children) {
  const made = document.createElementNS("http://www.w3.org/2000/svg", tag);
  for (const [key, value] of Object.entries(set)) made.setAttribute(key, value);
  made.append(...children);
  return made;
}

/** Show or hide an element, touching it only where that changes. */
export function show(element, shown) {
  if (element.hidden === shown) element.hidden = !shown;
}

/** Set an element's text, touching it only where it changes, so that nothing is read out twice. */
export function tell(element, text) {
  if (element.textContent !== text) element.textContent = text;
}

/** Return a name as it can be shown: shortened, and visible where it is blank. */
export function named(name, most = 120) {
  const text = String(name);
  if (!text.trim()) return text === "" ? "(empty)" : `(${text.length} blanks)`;
  return text.length > most ? `${text.slice(0, most)}…` : text;
}

/** Return a span for a name of the data, whose direction of writing stays its own. */
export function nameOf(name, most) {
  return make("span", { class: "name", text: named(name, most), title: String(name).length > (most || 120) ? String(name).slice(0, 2000) : null });
}

export const known = (value) => typeof value === "number" && Number.isFinite(value);

/** Return a number for a person: 1,234,567; 0.1235; 1.2e-7. */
export function figure(value) {
  if (!known(value)) return DASH;
  if (value < 0) return `−${figure(-value)}`;
  if (Number.isInteger(value) && value < 1e15) return value.toLocaleString("en", EXACT);
  if (value >= 1e15 || (value > 0 && value < 1e-4)) return value.toExponential(2);
  return value.toLocaleString("en", value >= 1e4 ? EXACT : MANY);
}

/** Return a number with its sign, for what is added. */
export function signed(value, shown = figure) {
  if (!known(value)) return DASH;
  return value < 0 ? `−${shown(-value)}` : `+${shown(value)}`;
}

/** Return a share in [0, 1] as a percentage that is neither 0 nor 100 unless it is so. */
export function percent(share) {
  if (!known(share)) return DASH;
  if (share > 0 && share < 0.001) return "<0.1 %";
  if (share < 1 && share > 0.999) return ">99.9 %";
  return `${(100 * share).toLocaleString("en", { maximumFractionDigits: 1 })} %`;
}

/** Return a difference of probabilities in points of a percentage. */
export const points = (value) => figure(Number((100 * value).toPrecision(3)));

/** Return a duration in seconds. */
export function duration(seconds) {
  if (!known(seconds)) return DASH;
  const three = (value) => value.toLocaleString("en", { maximumSignificantDigits: 3 });
  if (seconds < 1e-3) return `${three(seconds * 1e6)} µs`;
  if (seconds < 1) return `${three(seconds * 1e3)} ms`;
  if (seconds < 90) return `${three(seconds)} s`;
  if (seconds < 5400) return `${Math.round(seconds / 60)} min`;
  if (seconds < 129600) return `${Math.round(seconds / 3600)} h`;
  return `${Math.round(seconds / 86400)} days`;
}

export function bytes(size) {
  if (!known(size)) return DASH;
  const three = (value) => value.toLocaleString("en", { maximumSignificantDigits: 3 });
  if (size < 1e3) return `${size} B`;
  return size < 1e6 ? `${three(size / 1e3)} kB` : `${three(size / 1e6)} MB`;
}

/** Return a range, "0 to 72". */
export const range = (low, high, shown = figure) => `${shown(low)} to ${shown(high)}`;

/** Return seconds since 1970 UTC as a date, with its time where it is not midnight. */
export function day(seconds) {
  if (!known(seconds)) return DASH;
  const moment = new Date(seconds * 1000);
  if (Number.isNaN(moment.getTime())) return DASH;
  const text = moment.toISOString();
  return text.includes("T00:00:00") ? text.split("T")[0] : text.slice(0, -5).replace("T", " ");
}

/** Return a moment in the person's own time zone; takes ISO 8601 text or seconds since 1970. */
export function moment(value) {
  const when = new Date(typeof value === "number" ? value * 1000 : value);
  if (Number.isNaN(when.getTime())) return DASH;
  return when.toLocaleString("en", { dateStyle: "medium", timeStyle: "short", hour12: false });
}

/** Return how long ago a moment is. */
export function ago(seconds) {
  return seconds < 5 ? "just now" : `${duration(Math.round(seconds))} ago`;
}

export const plural = (count, noun, more = `${noun}s`) =>
  `${figure(count)} ${count === 1 ? noun : more}`;

/** Return a bar from 0 to a share of its width, for the eye alone. */
export function bar(share, kind = "") {
  const fill = make("span", { class: "fill" });
  fill.style.setProperty("width", `${100 * Math.max(0, Math.min(1, share))}%`);
  return make("span", { class: `track ${kind}`, "aria-hidden": "true" }, fill);
}
