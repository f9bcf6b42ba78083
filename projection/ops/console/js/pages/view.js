// One view, and its history: which events made it, and what each of them changed.
import * as actions from "../actions.js";
import { get, part, Problem } from "../api.js";
import { command } from "../commands.js";
import { commandLine } from "../dialog.js";
import { alert, at, atWith, badge, button, card, h, link, problem, put } from "../dom.js";
import { counted, json, number, time } from "../format.js";
import { node } from "../node.js";
import { changes } from "./compare.js";

const OUTCOMES = {
  made: ["good", ""],
  changed: ["info", ""],
  deleted: ["warn", "warn"],
  unchanged: ["", "idle"],
  parked: ["bad", "bad"],
  waits: ["warn", "warn"],
  skipped: ["warn", "warn"],
  dropped: ["warn", "idle"],
  halted: ["bad", "bad"],
};

export async function render(page, { parts: [viewType, viewId], search, signal, titled, operator }) {
  titled(viewId);
  const moment = search.get("at") ?? "";
  const tenant = node.access.tenant_id;
  const state = h("span", { class: "row" });
  const shown = h("div", { class: "body" });
  const history = h("div");
  const then = h("input", { type: "text", value: moment, placeholder: "now", "aria-describedby": "when" });
  const form = h("form", { class: "row", onsubmit: (event) => {
    event.preventDefault();
    location.hash = atWith({ at: then.value.trim() }, "view", viewType, viewId);
  } }, h("label", { class: "inline" }, "As of", then), h("button", { type: "submit" }, "Show"), moment && link(
    at("view", viewType, viewId),
    "Now",
    "button",
  ));
  put(
    page,
    h("p", { class: "crumbs" }, link(atWith({ view: viewType }, "query"), viewType)),
    h(
      "div",
      { class: "head" },
      h("h1", null, viewId),
      state,
      h("div", { class: "actions" }, form, operator && tenant !== null && button("Repair", repair)),
    ),
    h(
      "p",
      { class: "hint visually-hidden", id: "when" },
      "The sequence of an event, or a time, as 2026-03-01T09:00:00Z",
    ),
    h(
      "div",
      { class: "stack" },
      h(
        "div",
        { class: "pair" },
        card(moment ? `The view as of ${moment}` : "The view", {}, shown),
        card("History", { note: "the events that made this view" }, history),
      ),
      card(
        "The same on the command line",
        {},
        h(
          "div",
          { class: "body stack" },
          commandLine(
            command(
              ["query", viewType],
              { tenant, filter: `id == ${JSON.stringify(viewId)}`, at: moment, format: "json" },
            )
          ).element,
          commandLine(command(["why", viewType, viewId], { tenant, at: /^\d+$/.test(moment) ? moment : null })).element,
        ),
      ),
    ),
  );

  async function repair() {
    if (await actions.repair(viewType, tenant, viewId)) showView();
  }

  async function showView() {
    try {
      const found = await theView();
      put(
        state,
        badge("", `build ${found.build}`),
        found.degraded && badge("bad", "Degraded: events of it are parked"),
        found.incomplete && badge("warn", "Incomplete: an event reached no view"),
      );
      put(shown, json(found.view));
    } catch (error) {
      if (error.name !== "AbortError") put(shown, problem(error));
    }
  }

  async function theView() {
    if (viewId !== "." && viewId !== "..") return get(
      `v1/views/${part(viewType)}/${part(viewId)}${moment ? `?at=${encodeURIComponent(moment)}` : ""}`,
      { signal },
    );
    // Browsers take these for steps in a path, however they are escaped.
    const { build, views, degraded, incomplete } = await get(`v1/views/${part(viewType)}?id=${viewId}`, { signal });
    if (!views.length) throw new Problem(404, { detail: `There is no such view: ${viewId}` });
    return { build, view: views[0].view, degraded: degraded.length > 0, incomplete };
  }

  async function showHistory() {
    put(history, h("p", { class: "empty", role: "status" }, "Folding the view again from its events…"));
    try {
      put(
        history,
        timeline(
          await get(
            `v1/history/${part(viewType)}?${new URLSearchParams(moment ? { id: viewId, at: moment } : { id: viewId })}`,
            { signal },
          )
        ),
      );
    } catch (error) {
      if (error.name !== "AbortError") put(history, h("div", { class: "body" }, problem(error)));
    }
  }
  await showView();
  showHistory(); // not waited for: it reads the log
}

function timeline(found) {
  const agrees = agreement(found.agrees);
  return [
    (agrees || found.left_out > 0) && h(
      "div",
      { class: "body stack" },
      agrees,
      found.left_out > 0 && alert("", `${counted(found.left_out, "earlier event")} not shown.`),
    ),
    h("ol", { class: "timeline" }, found.events.map((one) => event(one))),
  ];
}

/** Whether the build holds what the events make; null where that cannot be compared. */
function agreement(agrees) {
  if (agrees === null) return null;
  if (agrees) return alert("", "The build holds exactly the view that these events make.");
  const hint = h(
    "span",
    null,
    h("code", null, "projection verify"),
    " tells whether the store is damaged; “Repair” corrects the view.",
  );
  return alert("bad", "The build holds a different view than these events make.", hint);
}

function event(one) {
  const [kind, mark] = OUTCOMES[one.outcome] ?? ["", ""];
  const details = [
    `event ${number(one.sequence)}`,
    one.timestamp ? time(one.timestamp) : null,
    one.lines.length ? `line ${one.lines.join(", ")}` : null,
    one.gas ? `gas ${number(one.gas)}` : null,
  ].filter(Boolean).join(", ");
  return h(
    "li",
    { class: mark || null },
    h(
      "div",
      { class: "row" },
      h("strong", null, one.event_type ?? "No event"),
      badge(kind, one.outcome),
      h("span", { class: "dim" }, details),
    ),
    !one.reached_view && h("p", { class: "hint" }, "It reached no view, and may have been meant for this one."),
    one.reason && h(
      "p",
      { class: "hint" },
      h("code", null, one.reason.code),
      one.reason.place ? ` at ${one.reason.place}` : "",
      `: ${one.reason.message}`,
    ),
    one.changes.length ? changes(one.changes) : null,
  );
}
