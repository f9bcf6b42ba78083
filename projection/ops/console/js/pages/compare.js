// What two builds of a view type hold differently.
import { carryOut } from "../api.js";
import { command } from "../commands.js";
import { commandLine } from "../dialog.js";
import { alert, at, badge, button, card, h, link, problem, put, table } from "../dom.js";
import { counted, inline, number, percent } from "../format.js";
import { node } from "../node.js";
import * as actions from "../actions.js";

const LIMIT = 50;
const KINDS = { changed: ["info", "Changed"], only_old: ["warn", "Gone"], only_new: ["good", "New"] };

export async function render(page, { parts: [viewType], search, signal, titled }) {
  const given = (name) => (search.get(name) ? Number(search.get(name)) : null);
  const [old, now] = [given("old"), given("new")];
  titled(`Compare builds of ${viewType}`);
  const result = h("div", { class: "stack" });
  const again = button("Compare again", compare);
  put(
    page,
    h("p", { class: "crumbs" }, link("#/builds", "Builds"), " / ", link(at("builds", viewType), viewType)),
    h(
      "div",
      { class: "head" },
      h("h1", null, `Build ${old ?? "that serves"} against build ${now ?? "to come"}`),
      h(
        "div",
        { class: "actions" },
        again,
        now !== null && button("Promote", () => actions.promote(viewType, now), "main"),
      ),
    ),
    h(
      "div",
      { class: "stack" },
      result,
      card(
        "The same on the command line",
        {},
        h(
          "div",
          { class: "body" },
          commandLine(command(["compare", viewType, old ?? "", now ?? ""], { limit: LIMIT })).element,
        ),
      ),
    ),
  );

  async function compare() {
    again.disabled = true;
    const bar = h("progress", { "aria-label": "How far the comparison is" });
    const far = h("p", { role: "status" }, "Reading all views of both builds…");
    put(result, h("section", { class: "card" }, h("div", { class: "body plot" }, far, bar)));
    try {
      const record = await carryOut("compare", {
        view_type: viewType,
        old,
        new: now,
        limit: LIMIT,
        by: "the console",
      }, ({ done, total }) => {
        if (total) {
          bar.max = total;
          bar.value = done ?? 0;
          far.textContent = `Reading all views of both builds: ${percent((done ?? 0) / total)}`;
        }
      }, signal);
      put(result, told(viewType, record.result ?? record));
    } catch (error) {
      if (error.name !== "AbortError") put(result, problem(error));
    }
    again.disabled = false;
  }
  compare(); // not waited for: the page is there at once
}

function told(viewType, found) {
  const figures = [
    ["Changed views", found.changed],
    ["Only in the old build", found.only_old],
    ["Only in the new build", found.only_new],
    ["Newly parked", found.newly_parked],
    ["No longer parked", found.no_longer_parked],
    ["Parked differently", found.parked_otherwise],
  ];
  return [
    found.equal
      ? alert("", "Both builds hold the same views, and park the same events.")
      : alert("warn", "The builds differ."),
    found.at_one_event ? null : alert("warn", "The builds stand at different events.", apart(found.in_between)),
    h(
      "dl",
      { class: "card figures" },
      figures.map(([name, count]) => h("div", null, h("dt", null, name), h("dd", null, number(count)))),
    ),
    h("div", { class: "pair" }, side("Old", found.old), side("New", found.new)),
    Object.keys(found.fields).length ? card(
      "Fields that differ",
      { note: "in how many views" },
      h(
        "div",
        { class: "body" },
        h(
          "dl",
          { class: "facts" },
          Object.entries(found.fields).map(
            ([name, count]) => [h("dt", null, h("code", null, name)), h("dd", null, number(count))]
          ),
        ),
      ),
    ) : null,
    found.views.length ? views(viewType, found) : null,
    found.parked.length ? parked(found) : null,
  ];
}

function apart(inBetween) {
  return inBetween === null
    ? "It is not known which views the events in between are for: some differences may come from them."
    : `${counted(inBetween, "view")} left out, because events in between are for them.`;
}

function side(name, one) {
  const facts = [
    ["Build", String(one.build)],
    ["At event", number(one.at)],
    ["Views", number(one.views)],
    ["Parked", number(one.parked)],
    ["Suspended", number(one.suspended)],
    ["Digest", h("code", null, one.digest)],
  ];
  return card(
    name,
    {},
    h(
      "div",
      { class: "body" },
      h("dl", { class: "facts" }, facts.map(([title, value]) => [h("dt", null, title), h("dd", null, value)])),
    ),
  );
}

function views(viewType, found) {
  const list = table(
    "Views that differ",
    [{ title: "View" }, { title: "Tenant" }, { title: "How" }, { title: "Before and after" }],
  );
  const all = found.changed + found.only_old + found.only_new;
  put(
    list.body,
    found.views.map(
      (one) => h(
        "tr",
        null,
        h(
          "th",
          { scope: "row", class: "id" },
          one.tenant_id === node.access.tenant_id ? link(at("view", viewType, one.view_id), one.view_id) : one.view_id,
        ),
        h("td", null, one.tenant_id || "–"),
        h("td", null, badge(...KINDS[one.differs])),
        h("td", { class: "wide" }, changes(one.changes)),
      )
    ),
  );
  return card(
    "Views that differ",
    { note: all > found.views.length ? `the first ${number(found.views.length)} of ${number(all)}` : null },
    list.element,
  );
}

/** What differs, place by place. */
export function changes(all) {
  if (!all.length) return "–";
  return h(
    "ul",
    { class: "changes" },
    all.map(
      (one) => h(
        "li",
        null,
        h("span", { class: "path" }, one.path),
        ": ",
        "before" in one ? h("del", { class: "before" }, inline(one.before)) : null,
        "before" in one ? " → " : "",
        "after" in one ? h("ins", { class: "after" }, inline(one.after)) : h("span", { class: "dim" }, "gone"),
      )
    ),
  );
}

function parked(found) {
  const list = table(
    "Events that are parked differently",
    [{ title: "Event", number: true }, { title: "Tenant" }, { title: "View" }, { title: "Old" }, { title: "New" }],
  );
  put(
    list.body,
    found.parked.map(
      (one) => h(
        "tr",
        null,
        h("th", { scope: "row", class: "number" }, number(one.sequence)),
        h("td", null, one.tenant_id || "–"),
        h("td", { class: "id" }, one.view_id ?? "–"),
        h("td", null, one.old ?? "applied"),
        h("td", null, one.new ?? "applied"),
      )
    ),
  );
  return card("Events that are parked differently", {}, list.element);
}
