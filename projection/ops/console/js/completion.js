// What may come next in a filter: fields of the view, members of enums, and the words of the language (docs/query.md).

// Functions that a condition can call, as the language has them; a test holds this list and the language together.
export const FUNCTIONS = [
  "abs", "add", "add_days", "add_months", "add_years", "all", "any", "base64", "clamp", "count", "date", "day", "day_of_year",
  "days_between", "decimal", "difference", "distinct", "div", "end_of_month", "ends_with", "fail", "first", "flatten", "format",
  "glob", "hex", "hour", "index_of", "int", "intersection", "is_subset", "join", "key", "keys", "last", "length", "list",
  "lower", "max", "min", "minute", "month", "months_between", "pad_end", "pad_start", "parse_base64", "parse_date",
  "parse_decimal", "parse_duration", "parse_hex", "parse_int", "parse_timestamp", "parse_utf8", "range", "rem", "remove",
  "remove_prefix", "remove_suffix", "repeat", "replace", "reverse", "round", "second", "set", "sha256", "sign", "skip",
  "skip_last", "slice", "sort", "split", "start_of_month", "start_of_week", "start_of_year", "starts_with", "sum", "take",
  "take_last", "text", "timestamp", "total_seconds", "trim", "trim_end", "trim_start", "truncate", "union", "upper", "utf8",
  "uuid5", "values", "weekday", "year",
];
const WORDS = ["and", "or", "not", "in", "none", "true", "false", "id", "view"];
const MOST = 40;

const NOT_PLAIN = ["record", "list", "map", "json"];

/**
 * The fields of a view's JSON Schema, with those of the records in it.
 *
 * @returns of each `{name, type, isOptional, isPlain, isNumber, members}`
 */
export function fieldsOf(schema) {
  const found = [];
  const visit = (one, prefix, depth) => {
    for (const [name, given] of Object.entries(one.properties ?? {})) {
      const field = plain(given, schema);
      const path = prefix + name;
      found.push({
        name: path,
        type: typeOf(field),
        isOptional: Boolean(given.anyOf),
        isPlain: !NOT_PLAIN.includes(typeOf(field)),
        isNumber: field.type === "number" || field.type === "integer",
        members: field.enum ?? field.examples ?? [],
      });
      if (field.properties && depth < 4) visit(field, `${path}.`, depth + 1);
    }
  };
  visit(schema, "", 0);
  return found;
}

/** The schema of a field without its reference, and without the null of what is optional. */
function plain(given, schema) {
  const chosen = given.anyOf?.find((one) => one.type !== "null") ?? given;
  const name = chosen.$ref?.split("/").at(-1);
  return name ? (schema.$defs?.[name] ?? {}) : chosen;
}

function typeOf(field) {
  if (field.enum || field.examples) return "enum";
  if (field.type === "object") return field.properties ? "record" : "map";
  if (field.type === "array") return "list";
  return field.format?.replace("date-time", "timestamp") ?? field.type ?? "json";
}

/**
 * What may stand at a place of a condition, or of paths with commas.
 *
 * @returns `{from, to, options}`: which part of the text an option replaces; an option is `{text, detail}`
 */
export function complete(text, caret, schema, kind) {
  const before = text.slice(0, caret);
  const fields = fieldsOf(schema);
  if (kind === "paths") return ofPaths(before, caret, fields);
  const inText = openText(before);
  if (inText !== null) return ofMembers(before, inText, caret, fields);
  const token = /[A-Za-z_][\w.]*$/.exec(before)?.[0] ?? "";
  const from = caret - token.length;
  if (!token && /[\w")\]]$/.test(before)) return { from, to: caret, options: [] }; // a value is complete, or a number under way
  const told = token.toLowerCase();
  const fits = (one) => one.toLowerCase().startsWith(told);
  const ofFields = fields.filter((one) => fits(one.name)).map((one) => ({ text: one.name, detail: one.type }));
  if (token.includes(".")) return { from, to: caret, options: ofFields.slice(0, MOST) };
  const others = told ? [
    ...WORDS.filter(fits).map((one) => ({ text: one, detail: "" })),
    ...FUNCTIONS.filter(fits).map((one) => ({ text: `${one}(`, detail: "function" }))
  ] : [];
  const topmost = told ? ofFields : ofFields.filter((one) => !one.text.includes("."));
  return { from, to: caret, options: [...topmost, ...others].filter((one) => one.text !== token).slice(0, MOST) };
}

/** Where a text begins that is open at the end of what is given; null where none is. */
function openText(before) {
  let start = null;
  for (let place = 0; place < before.length; place += 1) {
    if (before[place] === "\\" && start !== null) place += 1;
    else if (before[place] === '"') start = start === null ? place + 1 : null;
  }
  return start;
}

function ofMembers(before, from, caret, fields) {
  const found = /([A-Za-z_][\w.]*)\s*(?:==|!=|in\s*\[[^\]]*)\s*"[^"]*$/.exec(before);
  const members = fields.find((one) => one.name === found?.[1])?.members ?? [];
  const typed = before.slice(from);
  return {
    from,
    to: caret,
    options: members.filter((one) => String(one).startsWith(typed)).map(
      (one) => ({ text: `${one}"`, detail: "" })
    ).slice(0, MOST),
  };
}

function ofPaths(before, caret, fields) {
  const token = /[^,\s-][^,]*$/.exec(before)?.[0] ?? "";
  const fits = fields.filter((one) => one.name.toLowerCase().startsWith(token.toLowerCase()) && one.name !== token);
  return {
    from: caret - token.length,
    to: caret,
    options: fits.map((one) => ({ text: one.name, detail: one.type })).slice(0, MOST),
  };
}
