// Questions to the service, with the token that a person gave: it is kept in this tab alone.

const KEY = "raymm.token";
const SECONDS = 15;

/** The service answered with an error. */
export class Refused extends Error {
  constructor(status, told, wait) {
    super(typeof told?.message === "string" ? told.message : `The service answered ${status}.`);
    Object.assign(this, { status, wait, field: told?.field, observed: told?.observed, allowed: told?.allowed });
  }
}

/** The service did not answer. */
export class Away extends Error {}

let token = "";
try {
  token = sessionStorage.getItem(KEY) || "";
} catch {
  // storage may be forbidden: then the token lives as long as the page
}

export const hasToken = () => token !== "";

/** Take a token from here on; an empty one forgets it. */
export function useToken(text) {
  token = text;
  try {
    if (text) sessionStorage.setItem(KEY, text);
    else sessionStorage.removeItem(KEY);
  } catch {
    // as above
  }
}

/** Whether a text could be a token at all: a header takes no other characters. */
export const plausible = (text) => /^[\x21-\x7e]+$/.test(text);

/** Return the path of a model's answers. */
export const modelPath = (name, what = "") =>
  `v1/models/${encodeURIComponent(name)}${what ? `/${what}` : ""}`;

/** Ask with GET, or with POST where there is a body; returns the JSON, or throws Refused or Away. */
export async function ask(path, body) {
  const headers = { accept: "application/json" };
  if (token) headers.authorization = `Bearer ${token}`;
  if (body !== undefined) headers["content-type"] = "application/json";
  const seconds = body === undefined ? SECONDS : 4 * SECONDS;
  let answer;
  let told;
  try {
    answer = await fetch(new URL(path, document.baseURI), {
      method: body === undefined ? "GET" : "POST",
      headers,
      body: body === undefined ? undefined : JSON.stringify(body),
      cache: "no-store",
      credentials: "omit",
      redirect: "error",
      signal: AbortSignal.timeout(1000 * seconds),
    });
    told = await answer.json();
  } catch (error) {
    if (answer && !answer.ok) throw new Refused(answer.status, {}, null);
    throw new Away(error instanceof DOMException && error.name === "TimeoutError" ? `No answer within ${seconds} s.` : "No answer.");
  }
  if (!answer.ok) throw new Refused(answer.status, told?.error, Number(answer.headers.get("retry-after")) || null);
  return told;
}
