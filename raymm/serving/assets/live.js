// What changes while one looks: who is served, traffic, times to answer, errors, quality.

import { DASH, ago, by, draw, duration, figure, known, make, moment, named, percent, plural, range, show, tell } from "./dom.js";

const ROLES = { champion: "Champion", canary: "Canary", shadow: "Shadow", "": "No role" };
const KEPT = 360; // seconds of traffic that are drawn
const WINDOW = 60; // seconds that "now" means
const SMOOTH = 15; // seconds behind each point, as a replica's counts are a few seconds old

export const roleOf = (one) => ROLES[one.role] ?? ROLES[""];

/** Counts that came one after another, so that what happened lately can be told. */
export class Pace {
  constructor() {
    this.samples = [];
    this.last = new Map();
    this.total = 0;
  }

  /** Take in a status that came at a time in seconds; versions in shadow answer nobody. */
  add(status, now) {
    const answering = status.versions.filter((one) => one.role !== "shadow");
    for (const one of answering) {
      const before = this.last.get(one.number);
      if (before === undefined || one.requests < before / 2) this.last.set(one.number, one.requests);
      else if (one.requests > before) {
        this.total += one.requests - before;
        this.last.set(one.number, one.requests);
      }
    }
    const within = new Map(answering.map((one) => [one.number, one.within]));
    this.samples.push({ time: now, total: this.total, within });
    while (now - this.samples[0].time > KEPT) this.samples.shift();
  }

  /** Return the sample that lies so many seconds before another one, or the last before it. */
  before(place, seconds) {
    const { time } = this.samples[place];
    const found = this.samples.findIndex((one) => time - one.time <= seconds);
    return this.samples[Math.min(found, place - 1)];
  }

  /** Return the requests a second at each sample but the first. */
  rates() {
    return this.samples.slice(1).map((one, place) => {
      const from = this.before(place + 1, SMOOTH);
      return { time: one.time, rate: (one.total - from.total) / Math.max(one.time - from.time, 1e-3) };
    });
  }

  /** Return the seconds that the samples reach back. */
  span() {
    return this.samples.length ? this.samples[this.samples.length - 1].time - this.samples[0].time : 0;
  }

  /** Return requests a second of the last minute; null before there are two samples. */
  now() {
    if (this.samples.length < 2) return null;
    const last = this.samples[this.samples.length - 1];
    const from = this.before(this.samples.length - 1, WINDOW);
    return (last.total - from.total) / Math.max(last.time - from.time, 1e-3);
  }

  /** Return the quantiles of the last minute's times to answer; null where nothing was answered. */
  latency(bounds) {
    if (this.samples.length < 2) return null;
    const last = this.samples[this.samples.length - 1];
    const from = this.before(this.samples.length - 1, WINDOW);
    const counts = bounds.map(() => 0);
    for (const [number, within] of last.within) {
      const old = from.within.get(number);
      const whole = !old || within.some((count, place) => count < old[place]); // it was counted anew
      if (!old) continue;
      within.forEach((count, place) => (counts[place] += whole ? count : count - old[place]));
    }
    const total = counts.reduce((sum, count) => sum + count, 0);
    if (!total) return null;
    const quantile = (share) => {
      let seen = 0;
      const place = counts.findIndex((count) => (seen += count) >= share * total);
      return bounds[place];
    };
    return { p50: quantile(0.5), p95: quantile(0.95), p99: quantile(0.99) };
  }
}

const term = (name, value, hint) =>
  make("div", {}, make("dt", { text: name }), make("dd", {}, make("span", { class: "value", text: value }), hint ? " " : null, hint ? make("span", { class: "soft", text: hint }) : null));

const answered = (one) => [
  term("Requests", figure(one.requests)),
  known(one.refused) ? term("Refused", one.requests ? percent(one.refused / one.requests) : DASH, "4xx") : null,
  term("Failed", one.requests ? percent(one.failed / one.requests) : DASH, "5xx"),
  term("99 % within", duration(one.latency.p99)),
];

/** What a canary answered since it is that; its monitor knows of earlier trials, too. */
const tried = ({ requests, trial }) => [
  term("Requests as the canary", figure(trial.requests), `${figure(requests)} in all`),
  term("Failed", trial.requests ? percent(trial.failed / trial.requests) : DASH),
  term("99 % within", duration(trial.latency.p99)),
];

/** Show the versions that answer or are watched. */
export function showServed(status) {
  const cards = status.versions.filter((one) => one.role).map((one) => {
    const share = one.role === "canary" || (one.role === "champion" && one.share < 1) ? ` ${percent(one.share)}` : "";
    const quality = one.quality?.recent?.value ?? one.quality?.value;
    const facts = make("dl", { class: "facts" },
      ...(one.trial ? tried(one) : answered(one)),
      known(quality) ? term(one.quality.metric, figure(quality)) : known(one.estimated?.accuracy?.value) ? term("accuracy, estimated", figure(one.estimated.accuracy.value)) : null,
      known(one.drifted) ? term("Drifted", one.drifted ? plural(one.drifted, "feature") : "nothing") : null,
    );
    return make("li", { class: `card role-${one.role || "none"}` },
      make("p", { class: "role" }, make("span", { class: "badge", text: roleOf(one) + share })),
      make("h3", { text: `Version ${one.number}` }), facts);
  });
  by("served").replaceChildren(...cards);
  const { replicas, refused, note } = status.release;
  const remarks = [];
  if (note) remarks.push(note);
  for (const one of refused) remarks.push(`Version ${one.number} was refused: ${one.reason}`);
  if (replicas > 1) remarks.push(`${figure(replicas)} replicas answer.`);
  by("release-note").replaceChildren(...remarks.flatMap((text) => [make("span", { text }), make("br")]));
  show(by("release-note"), remarks.length > 0);
}

/** Draw requests a second over the last minutes. */
function drawPace(rates) {
  const width = 320;
  const height = 64;
  const last = rates[rates.length - 1].time;
  const span = Math.max(last - rates[0].time, 1e-3);
  const most = Math.max(...rates.map((one) => one.rate), 1e-9);
  const x = (time) => (width * (1 - (last - time) / span)).toFixed(1);
  const y = (rate) => (height - 2 - (rate / most) * (height - 6)).toFixed(1);
  const path = rates.map((one, place) => `${place ? "L" : "M"}${x(one.time)} ${y(one.rate)}`).join("");
  const area = `${path}L${x(last)} ${height}L${x(rates[0].time)} ${height}Z`;
  return draw("svg", { viewBox: `0 0 ${width} ${height}`, preserveAspectRatio: "none", "aria-hidden": "true", class: "pace" },
    draw("path", { d: area, class: "area" }), draw("path", { d: path, class: "line" }));
}

/** Show traffic, times and errors. */
export function showTraffic(status, pace) {
  const { traffic } = status;
  const rate = pace.now();
  const refused = traffic.errors.filter((one) => one.status < 500).reduce((sum, one) => sum + one.count, 0);
  const failed = traffic.errors.filter((one) => one.status >= 500).reduce((sum, one) => sum + one.count, 0);
  const of = (count) => (traffic.requests ? `${percent(count / traffic.requests)} of all` : "");
  const since = known(traffic.since) ? `since ${moment(traffic.since)}` : "since this process began";
  by("tiles").replaceChildren(
    term("Requests a second", rate === null ? DASH : figure(Number(rate.toPrecision(3))), "last minute"),
    term("Requests", figure(traffic.requests), since),
    term("Refused", figure(refused), of(refused) || "4xx: wrong input, limits"),
    term("Failed", figure(failed), of(failed) || "5xx: no fault of the caller"),
  );
  const rates = pace.rates();
  const [drawn] = by("pace").getElementsByTagName("svg");
  const most = Math.max(0, ...rates.map((one) => one.rate));
  const made = rates.length > 1 && most > 0 ? drawPace(rates) : null;
  if (drawn) drawn.replaceWith(...[made].filter(Boolean));
  else if (made) by("pace").prepend(made);
  const span = rates.length > 1 ? duration(Math.round(pace.span())) : "";
  const peak = `Requests a second in the last ${span}; at most ${figure(Number(most.toPrecision(3)))}`;
  const quiet = span ? `No requests in the last ${span}.` : "Requests a second are drawn here while the page is open.";
  tell(by("pace-text"), made ? peak : quiet);
  const line = (name, found) => make("tr", {}, make("th", { scope: "row", text: name }), ...["p50", "p95", "p99"].map((key) => make("td", { class: "n", text: duration(found?.[key]) })));
  const champion = status.versions.find((one) => one.role === "champion");
  by("latency").replaceChildren(line("Last minute", pace.latency(traffic.bounds)), line("Champion, since it began", champion?.latency));
  const list = traffic.errors.map((one) => make("li", { text: `${plural(one.count, one.type, one.type)} (${one.status})` }));
  by("failures").replaceChildren(...(list.length ? [make("h3", { text: "Errors by kind" }), make("ul", { class: "plain" }, ...list)] : []));
}

function interval(one) {
  return known(one.low) && known(one.high) ? `${Math.round(100 * one.level)} % sure: ${range(one.low, one.high)}` : "";
}

/** How well calibrated labelled rows are, beside the version's test rows. */
function calibrated(one) {
  if (!one?.n) return [];
  const name = one.measure === "bias" ? "bias (label minus prediction)" : "calibration error";
  const rows = plural(one.n, "labelled row");
  if (!known(one.value)) return one.n < one.least ? [term(name, DASH, `${rows}, too few`)] : [];
  const test = known(one.test?.value) ? `${figure(Number(one.test.value.toPrecision(3)))} on ${plural(one.test.n, "test row")}` : "";
  const worse = one.worse ? "surely worse than on test rows" : "";
  return [term(name, figure(Number(one.value.toPrecision(3))), [interval(one), rows, test, worse].filter(Boolean).join("; "))];
}

const LABELS = {
  joined: "joined",
  orphaned: "of no known id",
  unsampled: "of predictions that were not sampled, if of any",
  too_late: "too late, as their predictions were kept no more",
  doubled: "twice",
  unreadable: "no class or number",
};

function labelled(quality, labels) {
  if (!quality) return [];
  const parts = [make("h3", { text: "By true labels" })];
  if (!known(quality.value)) {
    const held = quality.n ? `${plural(quality.n, "labelled row")}, too few for ${named(quality.metric)}.` : "No labels yet. Send them to …/feedback with the prediction's name.";
    parts.push(make("p", { class: "soft", text: held }));
  } else {
    const better = quality.direction === "minimize" ? "lower is better" : "higher is better";
    const tiles = [term(quality.metric, figure(quality.value), `${interval(quality)}; ${better}; ${plural(quality.n, "row")}`)];
    if (known(quality.recent?.value) && quality.recent.n < quality.n) tiles.push(term(`of the last ${figure(quality.recent.n)}`, figure(quality.recent.value), interval(quality.recent)));
    for (const [name, one] of Object.entries(quality.others || {})) if (known(one.value)) tiles.push(term(name, figure(one.value), interval(one)));
    tiles.push(...calibrated(quality.calibration));
    parts.push(make("dl", { class: "tiles" }, ...tiles));
  }
  const waits = quality.waiting ? `${plural(quality.waiting, "prediction")} ${quality.waiting === 1 ? "waits" : "wait"} for a label.` : "";
  const share = known(quality.coverage) && quality.n ? ` ${percent(quality.coverage)} of the predictions have one.` : "";
  const came = Object.entries(LABELS).filter(([kind]) => labels?.[kind]).map(([kind, words]) => `${figure(labels[kind])} ${words}`);
  const odd = came.length ? ` ${plural(labels.labels, "label")} came: ${came.join(", ")}.` : "";
  if (waits || share || odd) parts.push(make("p", { class: "soft", text: `${waits}${share}${odd}` }));
  return parts;
}

function expected(estimated) {
  if (!estimated) return [];
  const parts = [make("h3", { text: "Estimated without labels" })];
  if (!estimated.available) return [...parts, make("p", { class: "soft", text: estimated.reason })];
  if (!known(estimated.accuracy?.value)) return [...parts, make("p", { class: "soft", text: "After the first window of predictions." })];
  const one = estimated.accuracy;
  parts.push(make("dl", { class: "tiles" }, term("accuracy", figure(one.value), `${interval({ ...one, level: estimated.level })}; last ${plural(estimated.n, "row")}`)));
  return [...parts, make("p", { class: "soft small", text: estimated.limits })];
}

/** Show what is known of how good the answers are, and who trains again; history may be null. */
export function showQuality(status, history) {
  const proven = history?.versions.find((one) => one.number === status.version);
  const parts = [];
  if (proven && known(proven.score)) {
    const sure = known(proven.score_low) && known(proven.score_high) ? range(proven.score_low, proven.score_high) : "";
    parts.push(make("h3", { text: "When it was made" }), make("dl", { class: "tiles" }, term(proven.metric, figure(proven.score), `${sure ? `${sure}; ` : ""}test rows${proven.refit === "all" ? `, of ${proven.score_of}` : ""}${known(proven.baseline) ? `; the trivial prediction has ${figure(proven.baseline)}` : ""}`)));
  }
  parts.push(...labelled(status.quality, status.labels), ...expected(status.estimated));
  if (!status.monitor.running) parts.push(make("p", { class: "soft", text: `${status.monitor.note} What answers are worth is not known.` }));
  const [step] = history?.steps ?? [];
  const advised = status.advice?.action === "retrain";
  if (history?.keeper) parts.push(make("p", { class: "soft", text: `raymm keep trains again and decides, run by ${named(history.keeper, 80)}. ${step ? `Its last step: ${step.action}, ${moment(step.created)}.` : "It has taken no step yet."}` }));
  if (status.advice?.reason && (advised || !history?.keeper)) parts.push(make("p", { class: "soft", text: advised ? `Training again is advised: ${status.advice.reason}` : status.advice.reason }));
  by("quality").replaceChildren(...parts);
}

/** Return how old a status is, for the line at the top. */
export const freshness = (then, now) => ago((now - then) / 1000);
