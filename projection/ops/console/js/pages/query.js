// A query: conditions in the projection language, completed as one types, and the views that it finds.
import { get, post } from "../api.js";
import { command } from "../commands.js";
import { completing } from "../completing.js";
import { commandLine } from "../dialog.js";
import { alert, at, atWith, button, card, h, link, problem, put, table } from "../dom.js";
import { counted, inline, json, number } from "../format.js";
import { fieldsOf } from "../completion.js";
import { node } from "../node.js";

const COLUMNS = 7;

export async function render(page, { search, signal, titled }) {
  titled("Query");
  const { views } = await get("v1/catalog", { signal });
  const given = (name) => search.get(name) ?? "";
  const view = h(
    "select",
    null,
    views.map((one) => h("option", { value: one.view, selected: one.view === given("view") }, one.view)),
  );
  const schema = () => views.find((one) => one.view === view.value)?.json_schema ?? {};
  const filter = completing("Filter", "filter", given("filter"), schema, "condition");
  const sort = completing("Sort", "sort", given("sort"), schema, "paths");
  const select = completing("Fields", "select", given("select"), schema, "paths");
  const limit = h("input", { type: "number", min: 1, max: 1000, value: given("limit") || 50 });
  const result = h("div", { class: "stack" });
  const line = commandLine("");
  const run = h("button", { type: "submit", class: "main" }, "Run");
  const form = h(
    "form",
    { class: "card", onsubmit: (event) => {
      event.preventDefault();
      const parameters = { view: view.value, filter: filter.value, sort: sort.value, select: select.value };
      const wanted = { ...parameters, limit: limit.value === "50" ? null : limit.value };
      history.replaceState(null, "", atWith(wanted, "query"));
      show();
    }, oninput: tellCommand },
    h("div", { class: "plot form" },
      h(
        "div",
        { class: "form across" },
        h("label", null, "View type", view),
        sort.element,
        select.element,
        h("label", null, "Views a page", limit),
      ),
      filter.element,
      h("div", { class: "row" }, run, button("Explain", explain)),
    ),
  );
  put(
    page,
    h("div", { class: "head" }, h("h1", null, "Query")),
    views.length
      ? h(
        "div",
        { class: "stack" },
        form,
        result,
        card("The same on the command line", {}, h("div", { class: "body" }, line.element)),
      )
      : alert("", "No view type is deployed yet."),
  );

  function asked() {
    const paths = (text) => text.split(",").map((one) => one.trim()).filter(Boolean);
    return {
      view: view.value,
      ...(filter.value.trim() ? { filter: filter.value } : {}),
      ...(sort.value.trim() ? { sort: paths(sort.value) } : {}),
      ...(select.value.trim() ? { select: paths(select.value) } : {}),
      limit: Number(limit.value) || 50,
    };
  }

  function tellCommand() {
    line.set(
      command(["query", view.value], {
        tenant: node.access.tenant_id,
        filter: filter.value.trim(),
        sort: sort.value.trim(),
        select: select.value.trim(),
        limit: Number(limit.value) === 50 ? null : limit.value,
      }).replace(" --sort -", " --sort=-")
    );
  }

  async function show() {
    run.disabled = true;
    try {
      const found = await post("v1/query", { ...asked(), count: true }, { signal });
      put(result, answered(found, asked(), schema(), signal));
    } catch (error) {
      if (error.name !== "AbortError") put(result, refused(error));
    }
    run.disabled = false;
  }

  async function explain() {
    try {
      const found = await post("v1/query/explain", asked(), { signal });
      const facts = [
        ["Plan", found.plan],
        ["Index", found.index ?? "none"],
        ["Order", found.order],
        ["Examined", number(found.examined)],
        ["Returned", number(found.returned)],
        ["Gas", number(found.gas)],
        ["Time", `${found.ms} ms`],
      ];
      put(
        result,
        card(
          "How it is run",
          {},
          h(
            "div",
            { class: "body" },
            h(
              "dl",
              { class: "facts" },
              facts.map(([name, value]) => [h("dt", null, name), h("dd", null, value)]),
              found.unused.map(
                (one) => [h("dt", null, "Not used"), h("dd", null, h("code", null, one.index), `: ${one.why}`)]
              ),
            ),
          ),
        ),
      );
    } catch (error) {
      if (error.name !== "AbortError") put(result, refused(error));
    }
  }

  tellCommand();
  if (views.length) await show();
}

function refused(error) {
  return [
    problem(error),
    error.excerpt && h("pre", { tabindex: "0", "aria-label": "Where in the filter" }, error.excerpt),
  ];
}

function answered(found, query, schema, signal) {
  const names = query.select ?? telling(query, schema);
  const fields = fieldsOf(schema);
  const numeric = (name) => fields.find((one) => one.name === name)?.isNumber ?? false;
  const list = table("Views", [{ title: "Id" }, ...names.map((title) => ({ title, number: numeric(title) }))]);
  const note = h(
    "span",
    { class: "note", role: "status" },
    `${counted(found.count, "view")}, as of event ${number(found.scanned)}`,
  );
  const whole = h("details", null, h("summary", null, "As JSON"), h("div"));
  const all = [];
  let next = found.next;
  const more = button("More", async () => {
    more.disabled = true;
    try {
      const page = await post("v1/query", { ...query, cursor: next }, { signal });
      next = page.next;
      add(page);
    } catch (error) {
      if (error.name !== "AbortError") more.replaceWith(problem(error));
    }
    more.disabled = false;
  });

  function add(page) {
    all.push(...page.views);
    list.body.append(
      ...page.views.map(
        (one) => h(
          "tr",
          null,
          h("th", { scope: "row", class: "id" }, link(at("view", query.view, one.id), one.id)),
          names.map((name) => h("td", { class: numeric(name) ? "number" : null }, cell(valueAt(one.view, name)))),
        )
      )
    );
    more.hidden = next === null;
  }
  whole.addEventListener("toggle", () => whole.open && put(whole.lastChild, json(all)));
  add(found);
  return [
    found.incomplete && alert("warn", "Some events of this tenant reached no view: any view may lack one."),
    found.degraded.length > 0 && alert("warn", `Events of these views are parked: ${found.degraded.join(", ")}`),
    h(
      "section",
      { class: "card" },
      h("header", null, h("h2", null, "Views"), note, h("div", { class: "actions" }, more)),
      found.views.length ? list.element : h("p", { class: "empty" }, "No view matches."),
      found.views.length > 0 && h("header", null, whole),
    ),
  ];
}

/** The fields that a table shows: those that the query is about, those that are always there, and then the others. */
function telling(query, schema) {
  const about = `${query.filter ?? ""} ${(query.sort ?? []).join(" ")}`.split(/[^\w.]+/);
  const rank = (one) => (about.includes(one.name) ? 0 : one.isOptional ? 2 : 1);
  const plain = fieldsOf(schema).filter((one) => one.isPlain && (!one.name.includes(".") || about.includes(one.name)));
  return plain.sort((a, b) => rank(a) - rank(b)).slice(0, COLUMNS).map((one) => one.name);
}

function valueAt(view, path) {
  let value = view;
  for (const step of path.split(".")) {
    if (value === null || typeof value !== "object") return undefined;
    value = Array.isArray(value) ? value.map((one) => one?.[step]) : value[step];
  }
  return value;
}

function cell(value) {
  return value === undefined || value === null ? h("span", { class: "dim" }, "–") : inline(value, 60);
}
