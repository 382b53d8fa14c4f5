// A form made from a model's schema: one field a feature, each with the values that it takes.

import { day, figure, known, make, named, nameOf, range, show, tell } from "./dom.js";

const CHOICES = 40; // categories that are offered as a choice; more are typed, with suggestions
const SUGGESTED = 50;
const SHOWN = 24; // fields that stand open at first
const SEARCHED = 12; // fields from which on they can be searched

const own = (object, key) => (object && Object.hasOwn(object, key) ? object[key] : undefined);

/** Return the text that a number's field shows: seven digits tell any float32 apart. */
const written = (value) => (known(value) ? String(Number(value.toPrecision(7))) : "");

const atMidnight = (...seconds) => seconds.every((one) => !known(one) || one % 86400 === 0);

function instant(seconds, whole) {
  if (!known(seconds)) return "";
  const made = new Date(seconds * 1000);
  if (Number.isNaN(made.getTime()) || made.getUTCFullYear() < 1 || made.getUTCFullYear() > 9999) return "";
  const text = made.toISOString();
  return whole ? text.slice(0, 10) : text.slice(0, 19);
}

/** One feature's field. */
class Field {
  constructor(column, number, typical, usual) {
    const { kind } = column;
    this.column = column;
    // a date's number is in milliseconds where the training data had them
    this.typical = column.kind === "datetime" && column.format === "epoch ms" && known(typical) ? typical / 1000 : typical;
    this.usual = usual;
    this.id = `field-${number}`;
    this.input = this.make();
    this.input.id = this.id;
    this.input.setAttribute("aria-describedby", `${this.id}-hint ${this.id}-error`);
    this.hint = make("p", { class: "hint", id: `${this.id}-hint`, text: this.describe() });
    this.error = make("p", { class: "error", id: `${this.id}-error`, hidden: true });
    const label = make("label", { for: this.id }, nameOf(column.name));
    if (!column.nullable) this.input.required = true;
    const long = kind === "text" || (kind === "datetime" && !this.whole);
    this.box = make("div", { class: long ? "field long-one" : "field" }, label, this.input, this.suggestions || null, this.hint, this.error);
    this.reset();
    for (const event of ["input", "change"]) this.input.addEventListener(event, () => this.complain(""));
  }

  make() {
    const { kind, categories, minimum, maximum } = this.column;
    const empty = this.column.nullable ? "missing" : null;
    if (kind === "number") return make("input", { type: "number", step: "any", placeholder: empty, autocomplete: "off" });
    if (kind === "datetime") {
      this.whole = atMidnight(minimum, maximum, this.typical, ...(this.usual || []));
      return make("input", { type: this.whole ? "date" : "datetime-local", step: this.whole ? null : "1", autocomplete: "off" });
    }
    if (kind === "boolean") return this.choice(categories.length > 1 ? categories.slice(0, 2) : ["false", "true"]);
    if (kind === "category" && categories.length && categories.length <= CHOICES) return this.choice(categories);
    if (kind === "text") return make("textarea", { rows: "2", placeholder: empty, autocomplete: "off" });
    return this.typed(categories, empty);
  }

  choice(values) {
    const options = values.map((value) => make("option", { value, text: named(value) }));
    if (this.column.nullable || values.includes("")) options.push(make("option", { value: "", text: "(missing)" }));
    return make("select", {}, ...options);
  }

  /** A text with suggestions, of which the nearest fifty are made as they are needed. */
  typed(categories, empty) {
    this.suggestions = make("datalist", { id: `${this.id}-list` });
    const input = make("input", { type: "text", list: `${this.id}-list`, placeholder: empty, autocomplete: "off", spellcheck: "false" });
    const suggest = () => {
      const sought = input.value.trim().toLowerCase();
      const found = [];
      for (const begins of [true, false]) {
        for (const value of categories) {
          if (found.length >= SUGGESTED) break;
          const place = value.toLowerCase().indexOf(sought);
          if (begins ? place === 0 : place > 0) found.push(value);
        }
      }
      this.suggestions.replaceChildren(...found.map((value) => make("option", { value })));
    };
    input.addEventListener("focus", suggest);
    input.addEventListener("input", suggest);
    return input;
  }

  describe() {
    const { kind, minimum, maximum, nullable, categories } = this.column;
    const told = [];
    const shown = kind === "datetime" ? day : figure;
    if (known(minimum) && known(maximum)) {
      told.push(range(minimum, maximum, shown));
      const usual = kind === "number" ? this.usual : null;
      if (usual && (usual[0] > minimum || usual[1] < maximum)) told.push(`mostly ${range(...usual)}`);
    }
    if (kind === "datetime") told.push(nullable ? "UTC; may be missing" : "UTC");
    if (kind === "category" && categories.length > CHOICES) told.push(`${figure(categories.length)} known values`);
    if (kind === "text") told.push("text");
    if (!nullable) told.push("needed");
    return told.join("; ");
  }

  /** Go back to the typical value. */
  reset() {
    const { kind } = this.column;
    if (kind === "number") this.input.value = written(this.typical);
    else if (kind === "datetime") this.input.value = instant(this.typical, this.whole);
    else this.input.value = this.typical === null || this.typical === undefined ? "" : String(this.typical);
    if (this.input.tagName === "SELECT" && this.input.selectedIndex < 0) this.input.selectedIndex = 0;
    this.complain("");
  }

  /** Return what stands there as JSON holds it; null where nothing does. */
  value() {
    const { kind } = this.column;
    const text = this.input.value;
    if (text.trim() === "") return null;
    if (kind === "number") return Number(text);
    if (kind === "datetime") return `${this.whole ? `${text}T00:00:00` : text}Z`;
    return text;
  }

  /** Return what is wrong before anything is sent; empty where nothing is. */
  fault() {
    const { kind, nullable } = this.column;
    if (this.input.validity.badInput) return kind === "number" ? "This must be a number." : "This must be a whole date.";
    if (this.value() === null) return nullable ? "" : "A value is needed here; it cannot be missing.";
    if (kind === "number" && !Number.isFinite(this.value())) return "This number is too large.";
    return "";
  }

  complain(text) {
    if (!text && this.error.hidden) return;
    tell(this.error, text);
    show(this.error, text !== "");
    if (text) this.input.setAttribute("aria-invalid", "true");
    else this.input.removeAttribute("aria-invalid");
  }
}

export class Form {
  /** `parts` are the elements: form, fields, finder, find, found, more, moreRow. */
  constructor(parts) {
    this.parts = parts;
    this.fields = [];
    this.named = new Map();
    this.open = false;
    parts.find.addEventListener("input", () => this.sift());
    parts.more.addEventListener("click", () => {
      this.open = !this.open;
      this.sift();
    });
  }

  /** Make the fields of a model; what stood in fields of the same name and kind is kept if asked. */
  build(about, keep) {
    const before = keep ? this.named : new Map();
    const columns = about.schema.columns.filter((column) => column.role === "feature");
    this.fields = columns.map((column, number) => {
      const field = new Field(column, number, own(about.typical, column.name), own(about.usual, column.name));
      const old = before.get(column.name);
      if (old && old.column.kind === column.kind && old.input.type === field.input.type) {
        const value = old.input.value;
        field.input.value = value;
        if (field.input.value !== value) field.reset();
      }
      return field;
    });
    this.named = new Map(this.fields.map((field) => [field.column.name, field]));
    this.parts.fields.replaceChildren(...this.fields.map((field) => field.box));
    if (!keep) {
      this.parts.find.value = "";
      this.open = false;
    }
    show(this.parts.finder, this.fields.length > SEARCHED);
    this.sift();
  }

  /** Show the fields that are sought, or the first ones, and those with an error in any case. */
  sift() {
    const { form, find, found, more, moreRow } = this.parts;
    const sought = find.value.trim().toLowerCase();
    let count = 0;
    this.fields.forEach((field, place) => {
      const fits = sought ? field.column.name.toLowerCase().includes(sought) : this.open || place < SHOWN;
      count += fits;
      show(field.box, fits || !field.error.hidden);
    });
    tell(found, sought ? `${figure(count)} of ${figure(this.fields.length)} features` : "");
    show(moreRow, !sought && this.fields.length > SHOWN);
    tell(more, this.open ? `Show the first ${SHOWN} features` : `Show all ${figure(this.fields.length)} features`);
    more.setAttribute("aria-expanded", String(this.open));
    form.classList.toggle("long", this.open);
  }

  reset() {
    for (const field of this.fields) field.reset();
    this.sift();
  }

  /** Return the row, or null where a field has an error, which is then shown and gets the focus. */
  row() {
    const row = Object.create(null); // a column may be named __proto__
    let first = null;
    for (const field of this.fields) {
      const fault = field.fault();
      field.complain(fault);
      if (fault && !first) first = field;
      row[field.column.name] = field.value();
    }
    if (!first) return row;
    this.sift();
    first.input.focus();
    return null;
  }

  /** Show what the service found wrong beside its field; returns whether there is such a field. */
  blame(refused) {
    const name = /^records\[0\]\.([^]*)$/.exec(refused.field || "")?.[1];
    const field = this.named.get(name);
    if (!field) return false;
    field.complain(`Got ${refused.observed}; allowed is ${refused.allowed}.`);
    this.sift();
    field.input.focus();
    return true;
  }

  /** Return the value that a row, as `row` returned it, has of a feature, for a person. */
  shown(name, row) {
    const field = this.named.get(name);
    if (!field) return "";
    const value = row[name];
    if (value === null) return "missing";
    if (field.column.kind === "number") return figure(value);
    return field.column.kind === "datetime" ? value.slice(0, -1).replace("T00:00:00", "").replace("T", " ") : named(value, 60);
  }
}
