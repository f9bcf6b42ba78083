// Parked events: which there are, why each is parked, and what can be done about it.
import * as actions from "../actions.js";
import { get, part } from "../api.js";
import { alert, at, atWith, badge, button, card, h, link, problem, put, table, write } from "../dom.js";
import { counted, jsonText, number } from "../format.js";
import { answering, look, node, whenLooked } from "../node.js";

const PAGE = 50;

export async function render(page, context) {
  const [viewType, sequence] = context.parts;
  if (viewType === undefined) return allTypes(page, context);
  if (sequence === undefined) return list(page, viewType, context);
  return one(page, viewType, sequence, context);
}

function allTypes(page, { signal, titled }) {
  titled("Parked events");
  const types = table("View types", [{ title: "View type" }, { title: "Parked", number: true }]);
  put(
    page,
    h("div", { class: "head" }, h("h1", null, "Parked events")),
    h("p", { class: "lead" }, "Events that a view could not apply, and the events that wait behind them to keep the order."),
    card(null, {}, types.element),
  );
  let shown = "";
  whenLooked(({ status }) => {
    const found = (status?.view_types ?? []).map(
      (type) => ({ name: type.view_type, parked: answering(type)?.parked ?? 0 })
    ).sort((a, b) => b.parked - a.parked || (a.name < b.name ? -1 : 1));
    if (shown === (shown = JSON.stringify(found))) return;
    put(
      types.body,
      found.map(
        ({ name, parked }) => h(
          "tr",
          null,
          h("th", { scope: "row" }, link(at("parked", name), name)),
          h("td", { class: "number" }, number(parked)),
        )
      ),
    );
  }, signal);
}

async function list(page, viewType, { search, signal, titled }) {
  titled(`Parked in ${viewType}`);
  const code = h(
    "input",
    { type: "text", name: "code", value: search.get("code") ?? "", autocomplete: "off", size: 8 },
  );
  const tenant = h("input", { type: "text", name: "tenant", value: search.get("tenant") ?? "", autocomplete: "off" });
  const events = table(
    "Parked events",
    [{ title: "Event", number: true }, { title: "Tenant" }, { title: "View" }, { title: "Code" }, { title: "Why" }],
  );
  const said = h("div");
  const suspended = h("div", { class: "stack" });
  const none = h("p", { class: "empty", hidden: true }, "Nothing is parked here.");
  const where = h("span", { class: "note", role: "status" });
  const cursors = [null]; // of the pages up to the one that is shown
  let next = null;
  const earlier = button("Previous", () => turn(-1), "small");
  const later = button("Next", () => turn(1), "small");
  const filter = (event) => {
    event.preventDefault();
    location.hash = atWith({ code: code.value, tenant: tenant.value }, "parked", viewType);
  };
  const form = h(
    "form",
    { class: "row fields", onsubmit: filter },
    h("label", null, "Code", code),
    h("label", null, "Tenant", tenant),
    h("button", { type: "submit" }, "Filter"),
  );

  put(
    page,
    h("p", { class: "crumbs" }, link("#/parked", "Parked events")),
    h(
      "div",
      { class: "head" },
      h("h1", null, `Parked in ${viewType}`),
      h(
        "div",
        { class: "actions" },
        link(at("type", viewType), "View type", "button"),
        button("Retry with a corrected program", retry),
      ),
    ),
    h(
      "div",
      { class: "stack" },
      said,
      suspended,
      h(
        "section",
        { class: "card" },
        h("header", null, form),
        events.element,
        none,
        h("header", null, where, h("div", { class: "actions" }, earlier, later)),
      ),
    ),
  );

  async function retry() {
    if (!node.status) await look();
    const build = node.status?.view_types.find((type) => type.view_type === viewType)?.build;
    if (build !== undefined && (await actions.retry(viewType, build))) {
      await look();
      cursors.length = 1;
      await show();
    }
  }

  async function turn(step) {
    if (step > 0) cursors.push(next);
    else cursors.pop();
    await show();
    events.element.focus();
  }

  async function show() {
    const parameters = new URLSearchParams({ limit: PAGE });
    const chosen = { code: search.get("code"), tenant_id: search.get("tenant"), cursor: cursors.at(-1) };
    for (const [name, value] of Object.entries(chosen)) if (value) parameters.set(name, value);
    let found;
    try {
      found = await get(`v1/parked/${part(viewType)}?${parameters}`, { signal });
    } catch (error) {
      if (error.name !== "AbortError") put(said, problem(error));
      return;
    }
    next = found.next;
    put(said);
    put(events.body, found.events.map((event) => row(viewType, event)));
    put(suspended, found.suspended.length > 0 && alert("warn", suspensions(found.suspended)));
    suspended.hidden = !found.suspended.length;
    events.element.hidden = !found.events.length;
    none.hidden = found.events.length > 0;
    write(
      none,
      next === null ? "Nothing is parked here." : "No match among the parked events of this page; go to the next page.",
    );
    earlier.disabled = cursors.length < 2;
    later.disabled = next === null;
    showWhere();
  }

  function showWhere() {
    const type = node.status?.view_types.find((each) => each.view_type === viewType);
    const all = type && answering(type)?.parked;
    write(where, `Page ${cursors.length}${all ? `, ${counted(all, "parked event")} in all` : ""}`);
  }
  await show();
  whenLooked(showWhere, signal);
}

function suspensions(all) {
  const names = all.slice(0, 10).map((one) => (one.view_id === null ? `all views of ${one.tenant_id}` : one.view_id));
  const more = all.length > names.length ? " and more" : "";
  return `Suspended, because too many events are parked for them: ${names.join(", ")}${more}.`;
}

function row(viewType, event) {
  const href = atWith(
    { tenant: event.tenant_id, view: event.view_id, alone: event.view_id === null ? "1" : null },
    "parked",
    viewType,
    event.sequence,
  );
  const skipped = event.disposition === "skipped" ? badge("", "Skipped") : null;
  return h(
    "tr",
    null,
    h("th", { scope: "row", class: "number" }, link(href, number(event.sequence))),
    h("td", null, event.tenant_id || "–"),
    h("td", { class: "id" }, event.view_id ?? "–"),
    h("td", null, h("code", null, event.code)),
    h("td", { class: "wide" }, skipped, skipped && " ", event.message),
  );
}

async function one(page, viewType, sequence, { search, signal, titled }) {
  titled(`Event ${sequence}`);
  const parameters = new URLSearchParams({ tenant_id: search.get("tenant") ?? "" });
  if (!search.get("alone")) parameters.set("view_id", search.get("view") ?? "");
  const crumbs = h(
    "p",
    { class: "crumbs" },
    link("#/parked", "Parked events"),
    " / ",
    link(at("parked", viewType), viewType),
  );
  let found;
  try {
    found = await get(`v1/parked/${part(viewType)}/${part(sequence)}?${parameters}`, { signal });
  } catch (error) {
    if (error.code !== "http.not_found") throw error;
    put(
      page,
      crumbs,
      h("div", { class: "head" }, h("h1", null, `Event ${number(Number(sequence))}`)),
      alert("", "It is no longer parked here.", "It was dropped, or the view has applied it."),
    );
    return;
  }
  const { event } = found;
  const waits = event.code === "P000";
  const back = () => {
    location.hash = at("parked", viewType);
  };
  const drop = async () => (await actions.drop(viewType, event)) && back();
  const retry = async () => (await actions.retry(viewType, found.build)) && back();
  const facts = [
    ["View", event.view_id === null ? "none: it reached no view" : event.view_id],
    ["Tenant", event.tenant_id || "–"],
    ["Subject", h("code", null, event.subject)],
    ["Code", h("span", null, h("code", null, event.code), ` (${event.error_class})`)],
    ...(event.place ? [["Place", h("code", null, event.place)]] : []),
    ["Build", String(found.build)],
  ];
  put(
    page,
    crumbs,
    h(
      "div",
      { class: "head" },
      h("h1", null, `Event ${number(event.sequence)}`),
      waits ? badge("warn", "Waits") : badge("bad", event.disposition === "skipped" ? "Skipped" : "Parked"),
      h(
        "div",
        { class: "actions" },
        event.disposition === "parked" && button("Drop", drop, "danger"),
        button("Retry with a corrected program", retry, "main"),
      ),
    ),
    h(
      "div",
      { class: "stack" },
      alert(
        waits ? "warn" : "bad",
        waits ? "The event itself is fine. An earlier one of its view is parked, and the order is kept." : event.message,
        h("span", null, "On the command line: ", h("code", null, `projection explain ${event.code}`)),
      ),
      card(
        "Why",
        {},
        h(
          "div",
          { class: "body" },
          h("dl", { class: "facts" }, facts.map(([name, value]) => [h("dt", null, name), h("dd", null, value)])),
        ),
      ),
      found.source.length ? card("The line of the program", {}, h("div", { class: "body" }, source(found))) : null,
      card("The event as it came", {}, h("div", { class: "body" }, jsonText(found.envelope))),
    ),
  );
}

function source({ source: lines, line }) {
  return h(
    "pre",
    { class: "source", tabindex: "0", "aria-label": `The program around line ${line}` },
    lines.map(
      (each) => h(
        "span",
        { class: each.number === line ? "at" : null },
        h("span", { class: "no" }, String(each.number)),
        each.text || " ",
      )
    ),
  );
}
