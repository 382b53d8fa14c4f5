// The page: asks for a token where one is needed, shows a model, and looks again while it is seen.

import { Away, Refused, ask, hasToken, modelPath, plausible, useToken } from "./api.js";
import { offerClasses, showExplanation, showPrediction } from "./answer.js";
import { by, figure, make, named, nameOf, plural, show, tell } from "./dom.js";
import { Form } from "./form.js";
import { Pace, showQuality, showServed, showTraffic } from "./live.js";
import { begin, showDrift, showHistory } from "./past.js";

const EVERY = 5000; // milliseconds between two looks
const HISTORY = 60000; // after which the history is read again without a change

const form = new Form({ form: by("form"), fields: by("fields"), finder: by("finder"), find: by("find"), found: by("found"), more: by("more"), moreRow: by("more-row") });
const seen = { name: "", about: null, pace: new Pace(), history: null, read: 0, sequence: null, fresh: 0 };
let paused = false;
let timer = 0;
let looking = false;
let again = false;
let asked = 0; // predictions that were asked for, so that a late answer is passed over
let last = null; // the row that was predicted, and the version that answered

// ------------------------------------------------------------------------------------ what is shown

function stage(name) {
  for (const id of ["ask", "empty", "model"]) show(by(id), id === name);
  if (name !== "model") show(by("models"), false);
  show(by("forget"), hasToken() && name !== "ask");
  show(by("pause"), name !== "ask");
}

function pulse(state, text) {
  by("pulse").dataset.state = state;
  tell(by("pulse-text"), text);
}

function notice(text) {
  tell(by("notice"), text);
  show(by("notice"), text !== "");
}

const clock = (time) => new Date(time).toLocaleTimeString("en", { hour12: false });

function askForToken(wrong) {
  clearTimeout(timer);
  const first = by("ask").hidden;
  stage("ask");
  pulse("wait", "Waiting for a token");
  notice("");
  tell(by("token-error"), wrong);
  show(by("token-error"), wrong !== "");
  if (wrong) by("token").setAttribute("aria-invalid", "true");
  else by("token").removeAttribute("aria-invalid");
  if (first || wrong) by("token").focus();
}

function listModels(models) {
  show(by("models"), models.length > 1);
  const links = models.map((one) => {
    const current = one.name === seen.name ? "page" : null;
    const link = make("a", { href: `#/${encodeURIComponent(one.name)}`, "aria-current": current }, nameOf(one.name, 60), make("span", { class: "soft", text: `version ${one.version}` }));
    return make("li", {}, link);
  });
  const list = by("model-list");
  const told = links.map((one) => one.outerHTML).join("");
  if (told !== list.innerHTML) {
    const focused = list.contains(document.activeElement) ? document.activeElement.getAttribute("href") : null;
    list.replaceChildren(...links);
    for (const link of list.querySelectorAll("a")) if (link.getAttribute("href") === focused) link.focus();
  }
}

function describe(about) {
  tell(by("name"), named(about.name));
  document.title = `${named(about.name)} – raymm`;
  const features = about.schema.columns.filter((column) => column.role === "feature").length;
  const kinds = { binary: "one of two classes", multiclass: `one of ${figure(about.classes.length)} classes`, regression: "a number" };
  by("about").replaceChildren("Predicts ", make("b", {}, nameOf(about.target, 60)), `, ${kinds[about.task] ?? about.task}, from ${plural(features, "feature")}. Version ${about.version} is the champion.`);
  offerClasses(about);
}

// ------------------------------------------------------------------------------------- looking again

function wanted(models) {
  const [, part] = /^#\/(.+)$/.exec(location.hash) ?? [];
  let name = seen.name;
  try {
    if (part !== undefined) name = decodeURIComponent(part);
  } catch {
    // a hash that is no name
  }
  return models.find((one) => one.name === name) ?? models[0];
}

async function lookOnce() {
  const { models } = await ask("v1/models");
  if (!models.length) {
    seen.name = "";
    stage("empty");
    return;
  }
  const chosen = wanted(models);
  const other = chosen.name !== seen.name;
  const status = await ask(modelPath(chosen.name, "status"));
  if (other || !seen.about || seen.about.version !== status.version) {
    const about = await ask(modelPath(chosen.name));
    const changed = !other && seen.about !== null;
    Object.assign(seen, { name: chosen.name, about });
    if (other) Object.assign(seen, { pace: new Pace(), history: null, read: 0, sequence: null });
    describe(about);
    form.build(about, changed);
    if (other) clearAnswer();
    if (changed) tell(by("spoken"), `Version ${about.version} is the champion now.`);
  }
  seen.pace.add(status, performance.now() / 1000);
  await lookBack(status);
  stage("model");
  listModels(models);
  showServed(status);
  showTraffic(status, seen.pace);
  showQuality(status, seen.history);
  showDrift(status);
  if (seen.history) showHistory(seen.history, status);
  remark(status.monitor);
}

/** Say what is wrong with the monitor, or that it could not keep up. */
function remark({ running, note, dropped }) {
  const lost = dropped ? `${plural(dropped, "batch", "batches")} of requests never reached the monitor. ` : "";
  const text = running ? `${lost}${note}`.trim() : "";
  tell(by("monitor-note"), text);
  show(by("monitor-note"), text !== "");
}

async function lookBack(status) {
  const { sequence } = status.release;
  if (seen.history && sequence === seen.sequence && Date.now() - seen.read < HISTORY) return;
  try {
    seen.history = await ask(modelPath(seen.name, "history"));
    Object.assign(seen, { read: Date.now(), sequence });
    show(by("history-error"), false);
  } catch (error) {
    if (!(error instanceof Refused) || error.status === 401) throw error;
    tell(by("history-error"), `The history cannot be read: ${error.message}`);
    show(by("history-error"), true);
  }
}

async function look() {
  clearTimeout(timer);
  if (looking) {
    again = true;
    return;
  }
  looking = true;
  try {
    await lookOnce();
    seen.fresh = Date.now();
    notice("");
    document.body.classList.remove("stale");
    pulse(paused ? "paused" : "live", `${paused ? "Paused" : "Live"}, seen ${clock(seen.fresh)}`);
  } catch (error) {
    if (!failed(error)) return;
  } finally {
    looking = false;
  }
  if (again) {
    again = false;
    await look();
  } else if (!paused && !document.hidden) timer = setTimeout(look, EVERY);
}

/** Say what is wrong; returns whether to look again. */
function failed(error) {
  if (error instanceof Refused && error.status === 401) {
    const wrong = hasToken() ? "This service does not know that token." : "";
    useToken("");
    askForToken(wrong);
    return false;
  }
  const since = seen.fresh ? ` What is shown is of ${clock(seen.fresh)}.` : "";
  document.body.classList.toggle("stale", seen.fresh > 0);
  if (error instanceof Away) {
    pulse("gone", "No connection");
    notice(`The service does not answer.${since} Trying again every ${EVERY / 1000} seconds.`);
  } else if (error instanceof Refused) {
    pulse("gone", "Refused");
    notice(`${error.message}${since}`);
  } else {
    pulse("gone", "Not shown");
    notice(`The page cannot show what the service answered: ${error.message}`);
    console.error(error);
  }
  return true;
}

// --------------------------------------------------------------------------------------- predictions

function clearAnswer() {
  asked += 1;
  last = null;
  show(by("answer"), false);
  show(by("answer-none"), true);
}

function complain(text) {
  tell(by("form-error"), text);
  show(by("form-error"), text !== "");
}

async function predict(event) {
  event.preventDefault();
  complain("");
  const row = form.row();
  if (!row) return;
  const turn = (asked += 1);
  const { about } = seen;
  by("predict").setAttribute("aria-busy", "true");
  tell(by("spoken"), "Asking…");
  try {
    const start = performance.now();
    const answer = await ask(modelPath(about.name, "predict"), { records: [row] });
    if (turn !== asked) return;
    last = { row, about, version: answer.version };
    const spoken = showPrediction(about, answer, (performance.now() - start) / 1000);
    tell(by("spoken"), spoken);
    reveal();
    await explain(spoken);
  } catch (error) {
    if (turn !== asked) return;
    if (error instanceof Refused && error.status === 401) failed(error);
    else if (!(error instanceof Refused && form.blame(error))) complain(error.message);
    tell(by("spoken"), "");
  } finally {
    by("predict").removeAttribute("aria-busy");
  }
}

/** Bring the answer into sight on a narrow screen, where it stands below a long form. */
function reveal() {
  const box = by("answer-section").getBoundingClientRect();
  if (box.top < 0 || box.top > 0.6 * innerHeight) by("answer-section").scrollIntoView({ block: "start" });
}

async function explain(spoken) {
  const turn = asked;
  const { row, about, version } = last;
  const why = by("why");
  why.setAttribute("aria-busy", "true");
  why.replaceChildren(make("p", { class: "soft", text: "Reckoning what each feature adds…" }));
  try {
    const body = { records: [row] };
    if (by("class").value && about.classes.length > 2) body.class = by("class").value;
    const answer = await ask(modelPath(about.name, "explain"), body);
    if (turn !== asked) return;
    tell(by("spoken"), `${spoken} ${showExplanation(about, answer, version, form, row)}`);
  } catch (error) {
    if (turn !== asked) return;
    why.replaceChildren(make("p", { class: "error", text: `It cannot be explained just now: ${error.message}` }));
  } finally {
    if (turn === asked) why.setAttribute("aria-busy", "false");
  }
}

// --------------------------------------------------------------------------------------------- begin

by("ask-form").addEventListener("submit", (event) => {
  event.preventDefault();
  const text = by("token").value.trim().replace(/^bearer\s+/i, "");
  if (!plausible(text)) {
    askForToken(text ? "A token has no blanks and only plain characters." : "Paste the token here.");
    return;
  }
  useToken(text);
  by("token").value = "";
  look().then(() => {
    if (by("ask").hidden) by("main").focus();
  });
});
by("forget").addEventListener("click", () => {
  useToken("");
  Object.assign(seen, { name: "", about: null, history: null, fresh: 0 });
  form.build({ schema: { columns: [] } }, false);
  clearAnswer();
  look();
});
by("pause").addEventListener("click", () => {
  paused = !paused;
  tell(by("pause"), paused ? "Go on" : "Pause");
  if (paused) {
    clearTimeout(timer);
    pulse("paused", `Paused, seen ${clock(seen.fresh || Date.now())}`);
  } else look();
});
by("form").addEventListener("submit", predict);
by("reset").addEventListener("click", () => {
  form.reset();
  complain("");
});
by("class").addEventListener("change", () => {
  if (last) explain("");
});
document.addEventListener("visibilitychange", () => {
  if (document.hidden) clearTimeout(timer);
  else if (!paused && by("ask").hidden) look();
});
addEventListener("hashchange", () => {
  if (by("ask").hidden) look();
});
begin();
ask("v2").then((about) => tell(by("server"), `raymm ${about.version}`), () => {});
look();
