// All view types: which build of each answers, how far it is, and how the node follows the log.
import { alert, at, badge, card, h, keep, link, problem, put, table, write } from "../dom.js";
import { counted, decimal, duration, number } from "../format.js";
import { answering, largestLag, node, rates, values, whenLooked } from "../node.js";
import { plot } from "../plot.js";

export async function render(page, { signal, titled, operator }) {
  titled("Overview");
  const state = h("span");
  const figures = h("dl", { class: "card figures" });
  const troubles = h("div", { class: "stack" });
  const rate = plot(operator ? "Events per second" : "Log positions per second", decimal);
  const lag = plot("Largest lag", duration);
  const search = h("input", { type: "search", placeholder: "Find a view type", "aria-label": "Find a view type" });
  const columns = ["View type", "State", "Build", "Position", "Lag"];
  if (operator) columns.push("Behind", "Views", "Parked");
  const list = table("View types", columns.map((title, place) => ({ title, number: place > 1 })), { stacked: true });
  const none = h("p", { class: "empty", hidden: true }, "No view type has such a name.");

  put(
    page,
    h("div", { class: "head" }, h("h1", null, "Overview"), state),
    h(
      "div",
      { class: "stack" },
      troubles,
      figures,
      h("div", { class: "pair" }, rate.element, lag.element),
      card("View types", { actions: h("div", { class: "find" }, search) }, list.element, none),
    ),
  );

  const show = () => {
    const { status, failure } = node;
    showTroubles(troubles, status, failure);
    if (!status) return;
    put(state, status.ready ? badge("good", "Ready") : badge("warn", "Not ready"));
    showFigures(figures, status, operator);
    rate.update(rates((sample) => (operator ? sample.events : furthest(sample))));
    lag.update(values(largestLag));
    const wanted = search.value.toLowerCase();
    const shown = status.view_types.filter((one) => one.view_type.toLowerCase().includes(wanted));
    keep(
      list.body,
      shown,
      (one) => one.view_type,
      (one) => row(one, operator),
      (element, one) => fill(element, one, operator),
    );
    none.hidden = shown.length > 0;
    write(none, status.view_types.length ? "No view type has such a name." : "No view type is deployed yet.");
  };
  search.addEventListener("input", show);
  whenLooked(show, signal);
}

function furthest(sample) {
  let most = null;
  for (const { scanned } of sample.lanes.values()) if (most === null || scanned > most) most = scanned;
  return most;
}

function showTroubles(element, status, failure) {
  const told = Object.entries(status?.troubles ?? {});
  const held = (status?.view_types ?? []).flatMap(
    (one) => one.lanes.filter((lane) => lane.state === "waits").map(
      (lane) => [`${one.view_type}, build ${lane.build}`, lane.why]
    )
  );
  const key = JSON.stringify([failure?.message, told, held]);
  if (element.dataset.key === key) return;
  element.dataset.key = key;
  put(
    element,
    failure && problem(failure),
    told.map(([what, why]) => alert("bad", `${sentence(what)}: ${why}`)),
    held.map(([what, why]) => alert("warn", `${what} does not answer yet: ${why}`)),
  );
  element.hidden = !element.childElementCount;
}

function sentence(text) {
  return text.charAt(0).toUpperCase() + text.slice(1);
}

function showFigures(element, status, operator) {
  const lanes = status.view_types.map(answering).filter(Boolean);
  const lags = lanes.map((one) => one.lag_s).filter((one) => one !== null).map(Number);
  const told = [["View types", number(status.view_types.length), null]];
  if (operator) {
    told.push(
      ["Events read", number(status.events), status.unhandled ? `${number(status.unhandled)} unhandled` : null],
      [
        "To read",
        status.events_to_go === null ? "0" : number(status.events_to_go),
        status.catch_up_s === null ? null : `about ${duration(status.catch_up_s)}`,
      ],
      ["Views", number(lanes.reduce((sum, one) => sum + one.views, 0)), null],
      ["Parked", number(lanes.reduce((sum, one) => sum + one.parked, 0)), null],
    );
  }
  told.push(["Largest lag", lags.length ? duration(Math.max(...lags)) : "–", null]);
  keep(element, told, ([name]) => name, ([name]) => h(
    "div",
    null,
    h("dt", null, name),
    h("dd", null, h("span"), " ", h("small")),
  ), (one, [, value, more]) => {
    write(one.querySelector("span"), value);
    write(one.querySelector("small"), more ?? "");
  });
}

function row(one, operator) {
  const name = operator ? link(at("type", one.view_type), one.view_type) : link(
    `${at("query")}?view=${encodeURIComponent(one.view_type)}`,
    one.view_type,
  );
  const labels = ["State", "Build", "Position", "Lag", ...(operator ? ["Behind", "Views", "Parked"] : [])];
  return h(
    "tr",
    null,
    h("th", { scope: "row" }, name),
    labels.map((label, place) => h("td", { "data-label": label, class: place ? "number" : null })),
  );
}

function fill(element, one, operator) {
  const [state, build, position, lag, behind, views, parked] = element.querySelectorAll("td");
  const lane = answering(one);
  const [kind, text] = stateOf(one, lane);
  if (state.dataset.state !== text) {
    state.dataset.state = text;
    put(state, badge(kind, text));
  }
  write(build, String(one.build));
  write(position, lane ? number(lane.scanned) : "–");
  write(lag, lane ? duration(lane.lag_s) : "–");
  if (!operator) return;
  write(behind, lane ? number(lane.to_go) : "–");
  write(views, lane ? number(lane.views) : "–");
  if (lane?.parked && parked.dataset.count !== String(lane.parked)) {
    parked.dataset.count = String(lane.parked);
    put(
      parked,
      h(
        "a",
        { href: at("parked", one.view_type), "aria-label": `${counted(lane.parked, "parked event")} of ${one.view_type}` },
        number(lane.parked),
      ),
    );
  } else if (!lane?.parked) {
    delete parked.dataset.count;
    write(parked, lane ? "0" : "–");
  }
}

/** The state of a view type: what kind it is, and in a word. */
export function stateOf(one, lane = answering(one)) {
  if (one.paused) return ["warn", "Paused"];
  if (!lane) return one.lanes.length ? ["warn", "Not folded"] : ["", "Served only"];
  if (lane.halted) return ["bad", "Halted"];
  const others = one.lanes.filter((other) => other.state === "under way" || other.state === "waits");
  if (others.length) return ["info", others[0].state === "waits" ? "New build waits" : "Rebuilding"];
  return ["good", "Follows"];
}
