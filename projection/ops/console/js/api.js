// The node's public HTTP interface (docs/http.md), which is all that the console uses.
import { parseExactly } from "./format.js";

const ROOT = new URL("..", document.baseURI);
const TOKEN = "projection.token";
const TENANT = "projection.tenant";

/** What is kept while the tab is open, and forgotten with it. */
export const credentials = {
  get token() {
    return sessionStorage.getItem(TOKEN) ?? "";
  },
  set token(value) {
    keepOrForget(TOKEN, value);
  },
  get tenant() {
    return sessionStorage.getItem(TENANT);
  },
  set tenant(value) {
    keepOrForget(TENANT, value);
  },
};

function keepOrForget(name, value) {
  if (value) sessionStorage.setItem(name, value);
  else sessionStorage.removeItem(name);
}

/** What the node says instead of an answer: problem details (RFC 9457). */
export class Problem extends Error {
  constructor(status, told, challenge) {
    super(told.detail ?? `the node answered ${status}`);
    this.status = status;
    this.code = told.code ?? "";
    this.detail = told.detail;
    this.hint = told.hint;
    this.excerpt = told.excerpt;
    this.challenge = challenge ?? "";
  }
}

let onDenied = () => {};

/** Have a function called when credentials are no longer accepted. */
export function whenDenied(listener) {
  onDenied = listener;
}

async function send(path, { method = "GET", body, headers = {}, signal, probing = false } = {}) {
  const sent = { ...headers };
  if (credentials.token) sent.authorization = `Bearer ${credentials.token}`;
  if (credentials.tenant) sent["x-tenant-id"] = asBytes(credentials.tenant);
  if (body !== undefined) sent["content-type"] = "application/json";
  let answer;
  try {
    answer = await fetch(new URL(path, ROOT), {
      method,
      headers: sent,
      signal,
      body: body === undefined ? undefined : JSON.stringify(body),
      credentials: "same-origin",
      cache: "no-store",
    });
  } catch (error) {
    if (error.name === "AbortError") throw error;
    throw new Problem(0, {
      detail: "The node cannot be reached.",
      hint: "The console keeps trying. If this lasts, look at the node’s log.",
    });
  }
  if (answer.ok) return answer;
  let told = {};
  try {
    told = await answer.json();
  } catch {
    // a proxy's own page
  }
  const failed = new Problem(answer.status, told, answer.headers.get("www-authenticate"));
  if (answer.status === 401 && !probing) onDenied(failed);
  throw failed;
}

/** A text as a header's value: one character for each byte of its UTF-8. */
function asBytes(text) {
  return String.fromCharCode(...new TextEncoder().encode(text));
}

export async function get(path, options) {
  return parseExactly(await (await send(path, options)).text());
}

export async function post(path, body, options) {
  return parseExactly(await (await send(path, { ...options, method: "POST", body })).text());
}

export async function remove(path, options) {
  return parseExactly(await (await send(path, { ...options, method: "DELETE" })).text());
}

/** Follow server-sent events; `EventSource` sends no credentials. Ends with the stream. */
export async function follow(path, onEvent, signal) {
  const answer = await send(path, { headers: { accept: "text/event-stream" }, signal });
  const reader = answer.body.pipeThrough(new TextDecoderStream()).getReader();
  let kept = "";
  for (;;) {
    const { done, value } = await reader.read();
    if (done) return;
    const blocks = (kept + value).split("\n\n");
    kept = blocks.pop();
    for (const block of blocks) {
      const data = block.split("\n").filter(
        (line) => line.startsWith("data: ")
      ).map((line) => line.slice(6)).join("\n");
      if (data) onEvent(parseExactly(data));
    }
  }
}

/** Begin an operation that may take long, follow it, and return its record at the end. */
export async function carryOut(name, order, onProgress, signal) {
  const record = await post(`v1/operations/${name}`, order, { headers: { prefer: "respond-async" }, signal });
  if (record.state === undefined) return record; // done at once
  let last = record;
  onProgress?.(last);
  await follow(`v1/operations/${record.id}/events`, (one) => onProgress?.((last = one)), signal);
  if (last.state === "running" || last.state === "waits") last = await get(`v1/operations/${record.id}`, { signal });
  if (last.state !== "done") throw new Problem(
    409,
    { detail: last.error ?? `The operation is ${last.state}.`, hint: last.hint },
  );
  return last;
}

/** A name or an id as one part of a path. */
export function part(id) {
  return encodeURIComponent(id);
}
