// A prediction and its explanation, as bars that say the same as the figures beside them.

import { bar, by, duration, figure, known, make, named, nameOf, percent, plural, points, range, show, signed } from "./dom.js";

const TOP = 5; // classes that are shown at once
const FIRST = 10; // features that are shown at once

/** Return the classes with their probabilities, the most probable first. */
const ranked = (probabilities) => Object.entries(probabilities).sort((a, b) => b[1] - a[1]);

function chances(rows) {
  const lines = rows.map(([label, share]) =>
    make("tr", {}, make("th", { scope: "row" }, nameOf(label, 60)), make("td", { class: "bars" }, bar(share)), make("td", { class: "n", text: percent(share) })),
  );
  return make("table", { class: "chances" }, make("tbody", {}, ...lines));
}

/** Return where a value lies in the range of the training data, for the eye and in words. */
function scale(value, target) {
  if (!target || !known(target.minimum) || !known(target.maximum) || !(target.maximum > target.minimum)) return null;
  const place = (value - target.minimum) / (target.maximum - target.minimum);
  const mark = make("span", { class: "mark" });
  mark.style.setProperty("left", `${100 * Math.max(0, Math.min(1, place))}%`);
  const beyond = place < 0 || place > 1 ? " It lies outside of it." : "";
  return make("div", {}, make("span", { class: "scale", "aria-hidden": "true" }, mark), make("p", { class: "soft", text: `In training it went from ${range(target.minimum, target.maximum)}.${beyond}` }));
}

/** Show a prediction; returns it as a sentence. */
export function showPrediction(about, answer, seconds) {
  const [label] = answer.predictions;
  const target = about.schema.columns.find((column) => column.name === about.target);
  const parts = [];
  let spoken;
  if (about.classes.length) {
    const rows = ranked(answer.probabilities[0]);
    const share = answer.probabilities[0][label];
    parts.push(make("p", { class: "verdict" }, nameOf(label, 80), make("span", { class: "soft", text: ` with ${percent(share)}` })));
    parts.push(chances(rows.slice(0, TOP)));
    if (rows.length > TOP) parts.push(make("details", {}, make("summary", { text: `The other ${plural(rows.length - TOP, "class", "classes")}` }), chances(rows.slice(TOP))));
    if (rows[0][0] !== label) parts.push(make("p", { class: "soft", text: "Not the most probable class: this model weighs its classes, as its goal's metric asks." }));
    spoken = `${named(about.target)}: ${named(label, 80)}, with ${percent(share)}.`;
  } else {
    parts.push(make("p", { class: "verdict" }, make("span", { text: figure(label) }), make("span", { class: "soft" }, " ", nameOf(about.target, 60))));
    parts.push(scale(label, target));
    spoken = `${named(about.target)}: ${figure(label)}.`;
  }
  parts.push(make("p", { class: "soft small" }, `Version ${answer.version} answered in ${duration(seconds)}, with the way there and back. Its name for feedback is `, make("code", { text: answer.id }), "."));
  by("verdict").replaceChildren(...parts.filter(Boolean));
  show(by("answer-none"), false);
  show(by("answer"), true);
  return spoken;
}

/** Offer the classes that can be explained, where there are more than two. */
export function offerClasses(about) {
  show(by("class-choice"), about.classes.length > 2);
  const options = about.classes.map((value) => make("option", { value, text: named(value, 80) }));
  by("class").replaceChildren(make("option", { value: "", text: "the one predicted" }), ...options);
}

function lines(rows, most, unit, form, row) {
  const made = rows.map(([name, value, error]) => {
    const fill = make("span", { class: value < 0 ? "less" : "more" });
    fill.style.setProperty("width", `${most > 0 ? (50 * Math.abs(value)) / most : 0}%`);
    const give = error > 0.005 * most ? make("span", { class: "soft give", text: ` ± ${unit(Number(error.toPrecision(1)))}` }) : null;
    return make("tr", {},
      make("th", { scope: "row" }, nameOf(name, 60), make("span", { class: "soft value", text: form.shown(name, row) })),
      make("td", { class: "bars" }, make("span", { class: "both", "aria-hidden": "true" }, fill)),
      make("td", { class: "n" }, signed(value, unit), give),
    );
  });
  return make("tbody", {}, ...made);
}

function table(rows, most, unit, told, form, row) {
  const head = make("tr", {}, make("th", { scope: "col", text: "Feature and its value" }), make("th", { scope: "col", class: "bars" }, make("span", { class: "ends", "aria-hidden": "true" }, make("span", { text: "lowers" }), make("span", { text: "raises" }))), make("th", { scope: "col", class: "n", text: told }));
  return make("div", { class: "wide", role: "region", "aria-labelledby": "why-title", tabindex: "0" }, make("table", { class: "why" }, make("thead", {}, head), lines(rows, most, unit, form, row)));
}

/** Show an explanation of the row that was sent; returns the strongest features as a sentence. */
export function showExplanation(about, answer, number, form, row) {
  const one = answer.explanations[0];
  const sure = about.classes.length > 0;
  const unit = sure ? points : figure;
  const whole = sure ? percent : figure;
  const rows = Object.entries(one.contributions)
    .map(([name, value]) => [name, value, Object.hasOwn(one.errors, name) ? one.errors[name] : 0])
    .sort((a, b) => Math.abs(b[1]) - Math.abs(a[1]));
  const most = rows.length ? Math.abs(rows[0][1]) : 0;
  const of = sure ? ["the probability of ", make("b", {}, nameOf(one.class, 60))] : [make("b", {}, nameOf(about.target, 60))];
  const parts = [make("p", {}, "On average ", ...of, ` is ${whole(one.base)}. This row's values take it to ${make("b", { text: whole(one.value) }).textContent}.`)];
  const told = sure ? "% points" : "adds";
  parts.push(table(rows.slice(0, FIRST), most, unit, told, form, row));
  if (rows.length > FIRST) {
    const rest = rows.slice(FIRST).reduce((sum, one) => sum + one[1], 0);
    const summary = `The other ${plural(rows.length - FIRST, "feature")}: ${signed(rest, unit)} together`;
    parts.push(make("details", {}, make("summary", { text: summary }), table(rows.slice(FIRST), most, unit, told, form, row)));
  }
  const other = answer.version === number ? "" : ` Version ${number} gave the prediction; version ${answer.version}, the champion, is explained.`;
  parts.push(make("p", { class: "soft small", text: `${named(answer.method, 250).replace(/[.]$/, "")}. Together they make up the whole difference from the average.${other}` }));
  by("why").replaceChildren(...parts);
  const strongest = rows.slice(0, 3).filter((one) => one[1] !== 0);
  return strongest.length ? `Most is added by ${strongest.map(([name, value]) => `${named(name, 60)}, ${signed(value, unit)}`).join("; ")}.` : "";
}
