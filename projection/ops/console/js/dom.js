// Elements. Whatever comes from outside becomes text: no markup is ever parsed.

const SVG = "http://www.w3.org/2000/svg";

/**
 * An element. Attributes that begin with `on` are listeners; null and false leave one out.
 * Children are nodes or text; null, undefined and false are left out.
 */
export function h(name, attributes, ...children) {
  return filled(document.createElement(name), attributes, children);
}

/** The same for SVG. */
export function s(name, attributes, ...children) {
  return filled(document.createElementNS(SVG, name), attributes, children);
}

function filled(element, attributes, children) {
  for (const [name, value] of Object.entries(attributes ?? {})) {
    if (value === null || value === undefined || value === false) continue;
    if (name.startsWith("on")) element.addEventListener(name.slice(2), value);
    else element.setAttribute(name, value === true ? "" : String(value));
  }
  element.append(...nodes(children));
  return element;
}

function nodes(children) {
  return children.flat(Infinity).filter((one) => one !== null && one !== undefined && one !== false);
}

/** Replace what an element holds. */
export function put(element, ...children) {
  element.replaceChildren(...nodes(children));
}

/** Write text where it is another one: what is selected and read aloud stays as it is. */
export function write(element, text) {
  if (element.textContent !== text) element.textContent = text;
}

/**
 * Keep the children of an element in step with a list: those that stay are changed and not made anew, so that focus
 * and selection stay where they are.
 */
export function keep(parent, items, keyOf, make, update) {
  const known = (parent.kept ??= new Map());
  const wanted = new Set();
  let before = parent.firstElementChild;
  for (const item of items) {
    const key = keyOf(item);
    wanted.add(key);
    let element = known.get(key);
    if (!element) {
      element = make(item);
      known.set(key, element);
    }
    update?.(element, item);
    if (element === before) before = before.nextElementSibling;
    else parent.insertBefore(element, before);
  }
  for (const [key, element] of known) {
    if (!wanted.has(key)) {
      element.remove();
      known.delete(key);
    }
  }
}

/** A card with a heading. */
export function card(title, { note, actions, level = "h2" } = {}, ...children) {
  return h(
    "section",
    { class: "card" },
    title && h(
      "header",
      null,
      h(level, null, title),
      note && h("span", { class: "note" }, note),
      actions && h("div", { class: "actions" }, actions),
    ),
    children,
  );
}

/** A table: columns are `{title, number}`; rows are made with `row`. */
export function table(caption, columns, { stacked = false } = {}) {
  const body = h("tbody");
  const element = h(
    "div",
    { class: "scroll", tabindex: "0", role: "region", "aria-label": caption },
    h(
      "table",
      { class: stacked ? "stacked" : null },
      h("caption", { class: "visually-hidden" }, caption),
      h(
        "thead",
        null,
        h("tr", null, columns.map((one) => h("th", { scope: "col", class: one.number ? "number" : null }, one.title))),
      ),
      body,
    ),
  );
  return { element, body };
}

export function badge(kind, text) {
  return h("span", { class: `badge ${kind}` }, text);
}

export function alert(kind, text, hint) {
  return h(
    "div",
    { class: `alert ${kind}`, role: kind === "bad" ? "alert" : null },
    h("p", null, text),
    hint && h("p", { class: "hint" }, hint),
  );
}

/** What went wrong, as the node says it. */
export function problem(error) {
  return alert("bad", error.detail ?? error.message, error.hint);
}

export function button(text, onclick, kind = "") {
  return h("button", { type: "button", class: kind, onclick }, text);
}

export function link(href, text, kind) {
  return h("a", { href, class: kind }, text);
}

/** Say something for a moment, also to those who do not see it. */
export function toast(text) {
  const element = h("div", { class: "toast" }, text);
  document.getElementById("toasts").append(element);
  setTimeout(() => element.remove(), 8000);
}

/** The address of a page of the console; each part is escaped. */
export function at(...parts) {
  return "#/" + parts.map((one) => encodeURIComponent(one)).join("/");
}

/** The same with parameters; those that are null are left out. */
export function atWith(parameters, ...parts) {
  const given = Object.entries(parameters).filter(([, value]) => value !== null && value !== undefined && value !== "");
  return at(...parts) + (given.length ? "?" + new URLSearchParams(given) : "");
}
