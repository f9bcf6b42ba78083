// Numbers, times and JSON as people read them.
import { h } from "./dom.js";

const whole = new Intl.NumberFormat("en-US");
const short = new Intl.NumberFormat("en-US", { maximumFractionDigits: 1 });
const UNITS = ["B", "KiB", "MiB", "GiB", "TiB"];

/** A number as its text stands in JSON, where JavaScript's own numbers would show another one: 120.50, or 2^60. */
export class Exact {
  constructor(text) {
    this.text = text;
  }

  toString() {
    return this.text;
  }
}

const TOKEN = /"(?:[^"\\]|\\.)*"|-?\d+(?:\.\d+)?(?:[eE][+-]?\d+)?/g;
const MARK = `exact-${Math.random()}`;

/** JSON with each number as it stands there. */
export function parseExactly(text) {
  let isMarked = false;
  const marked = text.replace(TOKEN, (token) => {
    if (token[0] === '"' || String(Number(token)) === token) return token;
    isMarked = true;
    return `{"${MARK}":"${token}"}`;
  });
  if (!isMarked) return JSON.parse(text);
  return JSON.parse(
    marked,
    (_, value) => (value !== null && typeof value === "object" && MARK in value ? new Exact(value[MARK]) : value),
  );
}

export function number(value) {
  if (value === null || value === undefined) return "–";
  return whole.format(value instanceof Exact ? BigInt(value.text.split(".")[0]) : value);
}

export function decimal(value) {
  return value === null || value === undefined ? "–" : short.format(value);
}

export function percent(share) {
  return `${short.format(100 * share)} %`;
}

export function size(bytes) {
  if (bytes === null || bytes === undefined) return "–";
  let value = bytes;
  let unit = 0;
  while (value >= 1024 && unit < UNITS.length - 1) {
    value /= 1024;
    unit += 1;
  }
  return `${short.format(value)} ${UNITS[unit]}`;
}

export function duration(seconds) {
  if (seconds === null || seconds === undefined) return "–";
  if (seconds < 1) return `${Math.round(Number(seconds) * 1000)} ms`;
  if (seconds < 90) return `${short.format(seconds)} s`;
  if (seconds < 5400) return `${Math.round(seconds / 60)} min`;
  if (seconds < 129600) return `${short.format(seconds / 3600)} h`;
  return `${short.format(seconds / 86400)} days`;
}

export function counted(count, singular, plural = `${singular}s`) {
  return `${number(count)} ${count === 1 ? singular : plural}`;
}

/** A time of RFC 3339 in UTC, to the second. */
export function time(text) {
  if (!text) return "–";
  const found = /^(\d{4}-\d\d-\d\d)T(\d\d:\d\d:\d\d)(?:\.\d+)?(Z|[+-]\d\d:\d\d)?$/.exec(text);
  return found ? `${found[1]} ${found[2]}${found[3] === "Z" || !found[3] ? "" : ` ${found[3]}`}` : text;
}

/** A value of JSON in one line, cut where it is long. */
export function inline(value, most = 120) {
  const text = typeof value === "string" ? value : compact(value);
  return text.length > most ? `${text.slice(0, most)}…` : text;
}

function compact(value) {
  if (value instanceof Exact) return value.text;
  if (value === null || typeof value !== "object") return JSON.stringify(value);
  if (Array.isArray(value)) return `[${value.map(compact).join(", ")}]`;
  return `{${Object.entries(value).map(([name, one]) => `${name}: ${compact(one)}`).join(", ")}}`;
}

/** A value of JSON, indented and colored. */
export function json(value) {
  const pre = h("pre", { class: "json wrapped", tabindex: "0", "aria-label": "JSON" });
  const say = (text, kind) => pre.append(kind ? h("span", { class: kind }, text) : text);
  const tell = (one, indent) => {
    if (one === null || typeof one === "boolean" || typeof one === "number") return say(String(one), "other");
    if (one instanceof Exact) return say(one.text, "other");
    if (typeof one === "string") return say(JSON.stringify(one), "text");
    const isList = Array.isArray(one);
    const entries = isList ? one.map((item) => [null, item]) : Object.entries(one);
    if (!entries.length) return say(isList ? "[]" : "{}");
    say(isList ? "[" : "{");
    entries.forEach(([name, item], place) => {
      say(`${place ? "," : ""}\n${indent}  `);
      if (name !== null) {
        say(JSON.stringify(name), "name");
        say(": ");
      }
      tell(item, `${indent}  `);
    });
    return say(`\n${indent}${isList ? "]" : "}"}`);
  };
  tell(value, "");
  return pre;
}

/** Text that may be JSON, as such where it is. */
export function jsonText(text) {
  try {
    return json(parseExactly(text));
  } catch {
    return h("pre", { class: "wrapped", tabindex: "0" }, text);
  }
}
