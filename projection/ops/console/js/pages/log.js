// The latest events of the log, and which view types handle each of them.
import { get } from "../api.js";
import { at, badge, button, h, keep, link, problem, put } from "../dom.js";
import { jsonText, number, size, time } from "../format.js";
import { whenLooked } from "../node.js";

const PAGE = 50;

export async function render(page, { signal, titled }) {
  titled("Log");
  const said = h("div");
  const where = h("span", { class: "note" });
  const events = h("ol", { class: "timeline" });
  const older = button("Older", showOlder);
  const newest = button("Newest", showNewest);
  const follows = h("input", { type: "checkbox", checked: true });
  put(
    page,
    h(
      "div",
      { class: "head" },
      h("h1", null, "Log"),
      where,
      h("div", { class: "actions" }, h("label", { class: "check" }, follows, "Follow"), newest, older),
    ),
    h(
      "div",
      { class: "stack" },
      said,
      h("section", { class: "card" }, h("header", null, h("h2", null, "Events, newest first")), events),
    ),
  );
  let before = null;
  let asked = 0; // of several requests, only the answer to the last one is shown

  async function show(from) {
    asked += 1;
    const mine = asked;
    try {
      const found = await get(`v1/log?limit=${PAGE}${from ? `&before=${from}` : ""}`, { signal });
      if (mine !== asked) return;
      put(said);
      before = found.before;
      older.disabled = before === null;
      put(where, `${number(found.last)} is the last sequence`);
      keep(events, found.events, (one) => one.sequence, entry);
      events.hidden = !found.events.length;
    } catch (error) {
      if (error.name !== "AbortError") put(said, problem(error));
    }
  }

  async function showOlder() {
    follows.checked = false;
    await show(before);
  }

  async function showNewest() {
    await show(null);
  }
  await show(null);
  let isFirst = true;
  whenLooked(() => {
    if (!isFirst && follows.checked) show(null);
    isFirst = false;
  }, signal);
}

function entry(one) {
  const handlers = one.handled_by.length ? h(
    "span",
    null,
    "handled by ",
    one.handled_by.slice(0, 6).map((name, place) => [place ? ", " : "", link(at("type", name), name)]),
    one.handled_by.length > 6 ? ` and ${one.handled_by.length - 6} more` : "",
  ) : badge("", "unhandled");
  return h(
    "li",
    { class: one.problem ? "warn" : one.handled_by.length ? null : "idle" },
    h(
      "div",
      { class: "row" },
      h("strong", null, one.event_type ?? "No event"),
      h("span", { class: "dim" }, `${number(one.sequence)}, ${time(one.stored)} UTC`),
      one.tenant_id ? h("span", { class: "dim" }, `tenant ${one.tenant_id}`) : null,
      handlers,
    ),
    one.problem && h("p", { class: "hint" }, one.problem),
    h(
      "details",
      null,
      h(
        "summary",
        null,
        `${one.aggregate_type ? `${one.aggregate_type} ${one.aggregate_id}` : one.subject}, ${size(one.bytes)}`,
      ),
      h("p", { class: "hint" }, "Subject ", h("code", null, one.subject)),
      jsonText(one.body),
    ),
  );
}
