// Drift since training, and the history of versions.

import { ago, bar, by, bytes, figure, known, make, moment, named, nameOf, percent, plural, range, show, tell } from "./dom.js";

const FIRST_FEATURES = 15;
const FIRST_CHANGES = 8;
const WHY = { distribution: "its distribution changed", location: "its values moved to one side", missing: "more values are missing", unlisted: "more values were never seen in training" };
const opened = { drift: false, changes: false };
let drawn = [];

const ratio = (one) => (known(one.statistic) && one.threshold > 0 ? one.statistic / one.threshold : -1);

/** Let a button open and close a list: `draw` is called after each turn. */
function folding(id, key, draw) {
  by(id).addEventListener("click", () => {
    opened[key] = !opened[key];
    draw();
  });
}

function state(one) {
  if (one.drifted) {
    const why = one.reasons.map((reason) => (WHY[reason] ?? reason) + (one.early?.includes(reason) ? " (in the open window)" : "")).join(", ");
    const streak = one.streak > 1 ? `, ${one.streak} windows in a row` : "";
    return make("td", {}, make("span", { class: "badge bad", text: "Drifted" }), make("span", { class: "soft reason", text: why + streak }));
  }
  return make("td", {}, known(one.statistic) ? make("span", { class: "badge good", text: "Steady" }) : make("span", { class: "badge", text: "Not known yet" }));
}

function row(one) {
  const beside = (now, then) => !known(now) ? make("td", { class: "n soft", text: "–" }) : make("td", { class: "n" }, make("span", { text: percent(now) }), " ", make("span", { class: "soft", text: `(${percent(then)})` }));
  const change = known(one.statistic)
    ? make("td", { class: "change" }, bar(ratio(one) / 2, one.drifted ? "bad marked" : "marked"), make("span", { class: "of", text: `${figure(one.statistic)} of ${figure(one.threshold)}` }))
    : make("td", { class: "soft", text: "–" });
  return make("tr", {}, make("th", { scope: "row" }, one.own ? make("em", { text: one.name }) : nameOf(one.name, 60)), state(one), change, beside(one.missing, one.missing_reference), beside(one.unseen, one.unseen_reference));
}

function drawDrift() {
  const rows = opened.drift ? drawn : drawn.filter((one, place) => one.drifted || place < FIRST_FEATURES);
  by("drift").replaceChildren(...rows.map(row));
  show(by("drift-more-row"), drawn.length > FIRST_FEATURES && (opened.drift || rows.length < drawn.length));
  tell(by("drift-more"), opened.drift ? "Show the most changed only" : `Show all ${figure(drawn.length)}`);
  by("drift-more").setAttribute("aria-expanded", String(opened.drift));
}

/** Show each feature's drift, those that drifted first. */
export function showDrift(status) {
  const { drift, monitor } = status;
  show(by("drift-progress"), false);
  const features = drift?.features ?? [];
  show(by("drift-region"), features.length > 0);
  show(by("drift-legend"), features.length > 0);
  if (!drift) {
    drawn = [];
    drawDrift();
    tell(by("drift-text"), monitor.running ? "The monitor tells nothing of drift." : `${monitor.note} Drift is not watched.`);
    return;
  }
  const { window: span } = drift;
  const moved = features.filter((one) => one.drifted);
  const filling = `The ${span.complete ? "next" : "first"} window holds ${figure(span.filled)} of ${plural(span.rows, "row")} so far${known(span.open?.from) ? `, from ${moment(span.open.from)}` : ""}.`;
  const when = known(span.last?.from) ? `, from ${moment(span.last.from)} to ${moment(span.closed_at)}` : "";
  const ended = known(span.closed_at) ? `, complete ${ago(status.time - span.closed_at)}` : "";
  const last = `The last complete window has ${plural(span.last?.rows ?? span.rows, "row")}${when}${ended}; PSI, missing and new values are of it.`;
  const now = moved.length ? `${plural(moved.length, "feature")} of ${figure(features.length)} drifted, in the last complete window or the open one` : `None of ${plural(features.length, "feature")} drifted`;
  tell(by("drift-text"), span.complete ? `${now}. ${last} ${filling}` : moved.length ? `${now}. ${filling}` : filling);
  show(by("drift-progress"), true);
  by("drift-progress").firstElementChild.style.setProperty("width", `${(100 * span.filled) / span.rows}%`);
  const prediction = drift.prediction && known(drift.prediction.statistic) ? [{ ...drift.prediction, name: `the predictions, against ${{ "test rows": "those on test rows", "first window": "the first window" }[drift.prediction.against] || "their reference"}`, own: true }] : [];
  drawn = [...features, ...prediction].sort((a, b) => Number(b.drifted) - Number(a.drifted) || ratio(b) - ratio(a));
  drawDrift();
}

function told(one) {
  const share = one.action === "canary" ? ` with ${percent(one.share)} of the requests` : "";
  const what = {
    promote: `Version ${one.number} became the champion`,
    rollback: `Back to version ${one.number}`,
    canary: `Version ${one.number} became the canary${share}`,
    shadow: `Version ${one.number} went into shadow`,
    end: `Version ${one.number} lost its role`,
    train: "Training began again",
    reject: known(one.number) ? `Version ${one.number} was rejected` : "What was trained was rejected",
    guard: `Version ${one.number} is compared with the one before it`,
    confirm: `Version ${one.number} was confirmed`,
  }[one.action];
  return what ?? `${one.action} of version ${one.number}`;
}

let changes = [];

function drawChanges() {
  const rows = opened.changes ? changes : changes.slice(0, FIRST_CHANGES);
  by("changes").replaceChildren(...rows.map((one) =>
    make("li", { class: one.action },
      make("p", {}, make("b", { text: told(one) }), one.forced ? make("span", { class: "badge bad", text: "not blessed, forced" }) : null),
      one.reason ? make("p", { class: "name", text: named(one.reason, 600) }) : null,
      make("p", { class: "soft" }, make("time", { datetime: one.created, text: moment(one.created) }), one.who ? make("span", { text: ` by ${named(one.who, 80)}` }) : null))));
  if (!changes.length) by("changes").replaceChildren(make("li", { class: "soft", text: "No changes are recorded." }));
  show(by("changes-more-row"), changes.length > FIRST_CHANGES);
  tell(by("changes-more"), opened.changes ? "Show the latest" : `Show all ${figure(changes.length)}`);
  by("changes-more").setAttribute("aria-expanded", String(opened.changes));
}

/** Show the changes of what is served, and the versions. */
export function showHistory(history, status) {
  // A step that changed a role is there as that change, with the same reason.
  const same = (step) => history.changes.some((one) => one.number === step.number && one.reason === step.reason);
  const steps = (history.steps ?? []).filter((step) => !same(step)).map((step) => ({ ...step, who: "raymm keep" }));
  changes = [...history.changes, ...steps].sort((a, b) => Date.parse(b.created) - Date.parse(a.created));
  drawChanges();
  const roles = new Map(status.versions.map((one) => [one.number, one.role]));
  const rows = history.versions.map((one) => {
    const sure = known(one.score_low) && known(one.score_high) ? range(one.score_low, one.score_high) : "";
    const role = roles.get(one.number) || "";
    return make("tr", {},
      make("th", { scope: "row", text: figure(one.number) }),
      make("td", { "data-label": "Now" }, role ? make("span", { class: "badge good", text: role }) : make("span", { class: "soft", text: "–" })),
      make("td", { "data-label": "Blessed" }, make("span", { class: `badge ${one.blessed ? "good" : "bad"}`, text: one.blessed ? "yes" : "no" })),
      make("td", { "data-label": "Score on test rows" }, known(one.score) ? `${named(one.metric ?? "", 40)} ${figure(one.score)}` : "–", make("span", { class: "soft", text: sure, title: one.score_of ?? "" }), one.refit === "all" ? make("span", { class: "soft small", text: " before the refit on all rows" }) : null),
      make("td", { "data-label": "Family", text: named(one.family ?? "–", 40) }),
      make("td", { class: "n", "data-label": "Size", text: bytes(one.bytes) }),
      make("td", { "data-label": "Made" }, make("time", { datetime: one.created, text: moment(one.created) })));
  });
  if (!rows.length) rows.push(make("tr", {}, make("td", { colspan: "7", class: "soft", text: "No versions are recorded: this service was given its model directly." })));
  by("versions").replaceChildren(...rows);
}

/** Make the buttons work; once. */
export function begin() {
  folding("drift-more", "drift", drawDrift);
  folding("changes-more", "changes", drawChanges);
}
