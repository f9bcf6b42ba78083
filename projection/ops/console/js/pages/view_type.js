// One view type: its builds, troubles, what its handlers use, and its hot views.
import * as actions from "../actions.js";
import { get, part } from "../api.js";
import { alert, at, atWith, badge, button, card, h, keep, link, problem, put, table, write } from "../dom.js";
import { counted, decimal, duration, number, percent } from "../format.js";
import { look, node, rates, values, whenLooked } from "../node.js";
import { plot } from "../plot.js";
import { stateOf } from "./overview.js";

const STATES = {
  answers: ["good", "Answers"],
  "under way": ["info", "Under way"],
  waits: ["warn", "Waits"],
  follows: ["", "Follows"],
};

export async function render(page, { parts: [viewType], signal, titled }) {
  titled(viewType);
  const state = h("span");
  const buttons = h("div", { class: "actions" });
  const troubles = h("div", { class: "stack" });
  const rate = plot("Log positions per second", decimal);
  const lag = plot("Lag", duration);
  const lanes = table(
    "Builds that are folded",
    [
      "Build",
      "State",
      "Position",
      "Behind",
      "Lag",
      "Views",
      "Parked",
      "Gas",
    ].map((title, place) => ({ title, number: place > 1 })),
    { stacked: true },
  );
  const facts = h("dl", { class: "facts" });
  const gas = table("Gas by handler", [{ title: "Handler" }, { title: "Gas", number: true }, { title: "Share" }]);
  const hot = table("Hot views", [{ title: "View" }, { title: "Tenant" }, { title: "Share" }]);
  const hotNone = h(
    "p",
    { class: "empty", hidden: true },
    "No view has been changed often since the build was opened.",
  );
  const program = h("div", { class: "body" });

  put(
    page,
    h("p", { class: "crumbs" }, link("#/", "Overview")),
    h("div", { class: "head" }, h("h1", null, viewType), state, buttons),
    h(
      "div",
      { class: "stack" },
      troubles,
      card(
        "Builds",
        { note: "folded by this node", actions: link(at("builds", viewType), "All builds") },
        lanes.element,
      ),
      h("div", { class: "pair" }, rate.element, lag.element),
      h(
        "div",
        { class: "pair" },
        card("Gas by handler", { note: "since the build was opened" }, gas.element),
        card("Hot views", { note: "share of recent changes" }, hot.element, hotNone),
      ),
      h(
        "div",
        { class: "pair" },
        card("Serving build", {}, h("div", { class: "body" }, facts)),
        card("Program", {}, program),
      ),
    ),
  );

  const show = async () => {
    let found;
    try {
      found = await get(`v1/status/${part(viewType)}`, { signal });
    } catch (error) {
      if (error.name !== "AbortError") put(troubles, problem(error));
      return;
    }
    const { status } = found;
    put(state, badge(...stateOf(status)));
    showTroubles(troubles, found, viewType);
    keep(
      buttons,
      actionsOf(status, viewType, show),
      ([text]) => text,
      ([text, act, kind]) => (typeof act === "string" ? link(act, text, "button") : button(text, act, kind)),
    );
    keep(lanes.body, found.lanes, (one) => one.status.build, lane, (element, one) => fillLane(element, one));
    const answers = found.lanes.find((one) => one.status.state === "answers") ?? found.lanes[0];
    if (answers) {
      showGas(gas.body, answers);
      keep(
        hot.body,
        answers.hot_views,
        (one) => JSON.stringify([one.tenant_id, one.view_id]),
        (one) => hotView(viewType, one),
        (element, one) => fillShare(element, one.share),
      );
      hotNone.hidden = answers.hot_views.length > 0;
      hot.element.hidden = !hotNone.hidden;
      showFacts(facts, answers);
    }
    rate.update(rates((sample) => sample.lanes.get(viewType)?.scanned));
    lag.update(values((sample) => sample.lanes.get(viewType)?.lag));
    return status;
  };
  const status = await show();
  whenLooked(show, signal);
  if (status) showProgram(program, viewType, status.build, signal);
}

function actionsOf(status, viewType, show) {
  const then = (act) => async () => {
    if (await act(viewType)) {
      await look();
      show();
    }
  };
  const halted = status.lanes.some((one) => one.halted);
  return [
    status.paused || halted ? ["Resume", then(actions.resume), "main"] : ["Pause", then(actions.pause)],
    ["Rebuild", then(actions.rebuild)],
    ["Parked events", at("parked", viewType)],
    ["Query", atWith({ view: viewType }, "query")],
  ];
}

function showTroubles(element, { status, trouble, lanes }, viewType) {
  const told = [];
  if (status.why) told.push(alert("warn", `${status.paused ? "Paused" : "Not folded"}: ${status.why}`));
  if (trouble) told.push(alert("bad", trouble));
  for (const { status: one, suspended } of lanes) {
    if (one.state === "waits") told.push(alert("warn", `Build ${one.build} does not answer yet: ${one.why}`));
    if (suspended) told.push(
      alert(
        "warn",
        `Build ${one.build}: ${counted(suspended, "view or tenant", "views or tenants")} suspended, because too many events are parked for them.`,
      )
    );
    if (one.parked && one.state === "answers") told.push(
      alert(
        "warn",
        h(
          "span",
          null,
          `${counted(one.parked, "event")} parked or skipped. `,
          link(at("parked", viewType), "Look at them"),
        ),
      )
    );
  }
  const key = told.map((one) => one.textContent).join("\n");
  if (element.dataset.key !== key) put(element, told);
  element.dataset.key = key;
  element.hidden = !told.length;
}

function lane({ status }) {
  return h(
    "tr",
    null,
    h("th", { scope: "row" }, String(status.build)),
    ["State", "Position", "Behind", "Lag", "Views", "Parked", "Gas"].map(
      (label, place) => h("td", { "data-label": label, class: place ? "number" : null })
    ),
  );
}

function fillLane(element, { status }) {
  const [state, ...others] = element.querySelectorAll("td");
  if (state.dataset.state !== status.state + status.halted) {
    state.dataset.state = status.state + status.halted;
    put(state, status.halted ? badge("bad", "Halted") : badge(...STATES[status.state]));
  }
  [
    number(status.scanned),
    number(status.to_go),
    duration(status.lag_s),
    number(status.views),
    number(status.parked),
    number(status.gas),
  ].forEach((text, place) => write(others[place], text));
}

function showGas(body, answers) {
  const routing = { events: [], lines: [], gas: answers.routing_gas, routing: true };
  const all = [...answers.gas_by_handler, routing];
  const total = all.reduce((sum, one) => sum + Number(one.gas), 0) || 1;
  keep(
    body,
    all,
    (one) => (one.routing ? "routing" : one.lines.join()),
    (one) =>
      h(
        "tr",
        null,
        h(
          "th",
          { scope: "row" },
          one.routing ? "Decoding and routing" : one.events.length ? one.events.join(", ") : "All other events",
          one.lines.length ? h("span", { class: "dim" }, ` line ${one.lines.join(", ")}`) : null,
        ),
        h("td", { class: "number" }),
        h("td", null, shareBar()),
      ),
    (element, one) => {
      write(element.querySelector(".number"), number(one.gas));
      fillShare(element, Number(one.gas) / total);
    },
  );
}

function shareBar() {
  return [h("span", { class: "share" }), h("span", { class: "bar", "aria-hidden": "true" }, h("span"))];
}

function fillShare(element, share) {
  write(element.querySelector(".share"), percent(Number(share)));
  element.querySelector(".bar span").style.width = `${Math.min(100, 100 * Number(share))}%`;
}

function hotView(viewType, one) {
  const href = atWith({ tenant: one.tenant_id }, "view", viewType, one.view_id);
  return h(
    "tr",
    null,
    h(
      "th",
      { scope: "row", class: "id" },
      node.access.tenant_id === one.tenant_id ? link(href, one.view_id) : one.view_id,
    ),
    h("td", null, one.tenant_id || "–"),
    h("td", null, shareBar()),
  );
}

function showFacts(element, one) {
  const indexes = one.indexes.map((index) => `${index.by}${index.built ? "" : " (being built)"}`).join("; ");
  const told = [
    ["State digest", one.digest, "code"],
    ["Fold identity", one.fold_identity, "code"],
    ["Program", one.program, "code"],
    ["Last event applied", number(one.applied), "span"],
    ["Messages seen", number(one.messages), "span"],
    ["Indexes", indexes || "none", "span"],
  ];
  keep(
    element,
    told,
    ([name]) => name,
    ([name, , kind]) => h("div", null, h("dt", null, name), h("dd", null, h(kind))),
    (pair, [, value]) => write(pair.querySelector("dd > *"), value),
  );
}

async function showProgram(element, viewType, build, signal) {
  try {
    const { program, program_name: name } = await get(`v1/builds/${part(viewType)}/${build}`, { signal });
    put(
      element,
      h(
        "details",
        null,
        h("summary", null, `${name}, build ${build}`),
        h("pre", { tabindex: "0", "aria-label": name }, program),
      ),
    );
  } catch (error) {
    if (error.name !== "AbortError") put(element, problem(error));
  }
}
