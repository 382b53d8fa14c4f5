// The service's OpenAPI document for a person: what each path takes and gives, with an example.

import { Away, Refused, ask, hasToken, plausible, useToken } from "./api.js";
import { by, make, named, nameOf, plural, show, tell } from "./dom.js";

const JSON_TYPE = "application/json";
const OPEN = 30; // columns that stand open at first

const kinds = (schema) => [schema.type].flat().filter(Boolean).join(" or ");

function table(properties, required) {
  const rows = Object.entries(properties).map(([name, one]) =>
    make("tr", {},
      make("th", { scope: "row" }, nameOf(name, 80)),
      make("td", { text: kinds(one) }),
      make("td", { text: required.includes(name) ? "yes" : "" }),
      make("td", { class: "name", text: named(one.description || (one.enum ? one.enum.filter((value) => value !== null).slice(0, 20).join(", ") : ""), 600) })));
  const head = ["Name", "Type", "Needed", "What it holds"].map((text) => make("th", { scope: "col", text }));
  return make("div", { class: "wide", tabindex: "0", role: "region", "aria-label": "Columns" },
    make("table", {}, make("thead", {}, make("tr", {}, ...head)), make("tbody", {}, ...rows)));
}

/** Return what an object holds: of a list of objects, what each of them holds. */
function fields(schema) {
  for (const [name, one] of Object.entries(schema.properties || {})) {
    if (one.items?.properties) return { name, properties: one.items.properties, required: one.items.required || [] };
  }
  return { name: "", properties: schema.properties || {}, required: schema.required || [] };
}

function folded(text, open, ...inside) {
  return make("details", { open }, make("summary", { text }), ...inside);
}

function described(title, schema) {
  const { name, properties, required } = fields(schema);
  const count = Object.keys(properties).length;
  if (!count) return null;
  const each = name ? `${title}: each of “${named(name, 40)}”, ${plural(count, "field")}` : `${title}, ${plural(count, "field")}`;
  return folded(each, count <= OPEN && title === "Takes", table(properties, required));
}

function body(operation) {
  const content = operation.requestBody?.content || {};
  const parts = [];
  const schema = content[JSON_TYPE]?.schema;
  if (schema) {
    parts.push(described("Takes", schema));
    if (schema.example) parts.push(make("h4", { text: "Example" }), make("pre", { tabindex: "0" }, make("code", { text: JSON.stringify(schema.example, null, 2) })));
  }
  const others = Object.entries(content).filter(([type]) => type !== JSON_TYPE);
  for (const [type, one] of others) {
    parts.push(folded(`Takes ${type} too`, false, make("p", { class: "soft", text: one.schema?.description || "" }), one.example ? make("pre", { tabindex: "0" }, make("code", { text: String(one.example) })) : null));
  }
  return parts;
}

function shown(method, path, operation) {
  const answer = operation.responses?.["200"];
  const schema = answer?.content?.[JSON_TYPE]?.schema;
  const kind = method.toUpperCase();
  return make("section", { class: "card operation" },
    make("h2", {}, make("span", { class: "badge method", text: kind }), " ", make("code", { text: path })),
    make("p", { class: "name", text: operation.summary }),
    operation.security?.length === 0 ? make("p", { class: "soft small", text: "Needs no token." }) : null,
    ...body(operation),
    schema ? described("Gives", schema) : make("p", { class: "soft small", text: `Gives: ${answer?.description ?? ""}` }));
}

function showDocument(told) {
  const paths = Object.entries(told.paths).flatMap(([path, methods]) => Object.entries(methods).map(([method, one]) => shown(method, path, one)));
  by("paths").replaceChildren(...paths);
  const token = told.security ? "Send the token as the header “Authorization: Bearer TOKEN”. " : "";
  tell(by("about"), `${token}Every error is {"error": {"type", "message"}} with its HTTP status; under /v2 it is {"error": message}.`);
  show(by("ask"), false);
  show(by("docs"), true);
  show(by("notice"), false);
}

function askForToken(wrong) {
  show(by("docs"), false);
  show(by("ask"), true);
  tell(by("token-error"), wrong);
  show(by("token-error"), wrong !== "");
  by("token").focus();
}

async function look() {
  try {
    showDocument(await ask("openapi.json"));
  } catch (error) {
    if (error instanceof Refused && error.status === 401) {
      const wrong = hasToken() ? "This service does not know that token." : "";
      useToken("");
      askForToken(wrong);
      return;
    }
    tell(by("notice"), error instanceof Away ? "The service does not answer. Load the page again later." : error.message);
    show(by("notice"), true);
  }
}

by("ask-form").addEventListener("submit", (event) => {
  event.preventDefault();
  const text = by("token").value.trim().replace(/^bearer\s+/i, "");
  if (!plausible(text)) {
    askForToken(text ? "A token has no blanks and only plain characters." : "Paste the token here.");
    return;
  }
  useToken(text);
  by("token").value = "";
  look();
});
/** The document itself is asked for with the token, which a link cannot carry. */
by("raw").addEventListener("click", async (event) => {
  if (!hasToken()) return;
  event.preventDefault();
  try {
    const text = JSON.stringify(await ask("openapi.json"), null, 2);
    const link = make("a", { href: URL.createObjectURL(new Blob([text], { type: JSON_TYPE })), download: "openapi.json" });
    link.click();
  } catch (error) {
    tell(by("notice"), error.message);
    show(by("notice"), true);
  }
});
look();
