// Builds: which there are, how far new ones are, what a reload would do, and which one answers.
import * as actions from "../actions.js";
import { get, remove } from "../api.js";
import { alert, at, badge, button, card, h, link, problem, put, table } from "../dom.js";
import { duration, number, percent, size, time } from "../format.js";
import { look, node, whenLooked } from "../node.js";

const STATES = {
  answers: ["good", "Answers"],
  "under way": ["info", "Under way"],
  waits: ["warn", "Waits"],
  follows: ["info", "Follows"],
  former: ["", "Former"],
};

export async function render(page, { parts: [viewType], signal, titled }) {
  titled(viewType ? `Builds of ${viewType}` : "Builds");
  const said = h("div");
  const builds = table(
    "Builds",
    [
      { title: "View type" },
      { title: "Build", number: true },
      { title: "State" },
      { title: "Position", number: true },
      { title: "Views", number: true },
      { title: "Parked", number: true },
      { title: "Disk", number: true },
      { title: "Actions" },
    ],
    { stacked: true },
  );
  const operations = h("div", { class: "stack" });
  const plan = h("div");
  const planButton = button("Show the plan", showPlan);
  put(
    page,
    viewType && h("p", { class: "crumbs" }, link("#/builds", "Builds"), " / ", link(at("type", viewType), viewType)),
    h(
      "div",
      { class: "head" },
      h("h1", null, viewType ? `Builds of ${viewType}` : "Builds"),
      h("div", { class: "actions" }, viewType && button("Rebuild", () => done(actions.rebuild(viewType)))),
    ),
    h(
      "div",
      { class: "stack" },
      said,
      operations,
      card(null, {}, builds.element),
      card(
        "Plan",
        { note: "the node’s manifest as it is now, compared with what is folded", actions: [
          planButton,
          button("Deploy", () => done(actions.reload()), "main"),
        ] },
        plan,
      ),
    ),
  );

  async function done(action) {
    if (!(await action)) return;
    builds.element.focus(); // what was clicked is about to go
    await look();
    await show();
  }

  async function show() {
    let found;
    try {
      found = await get(viewType ? `v1/builds?view_type=${encodeURIComponent(viewType)}` : "v1/builds", { signal });
      put(said);
    } catch (error) {
      if (error.name !== "AbortError") put(said, problem(error));
      return;
    }
    const key = JSON.stringify(
      found.builds.map(
        (one) => [one.view_type, one.build, one.state, one.why, one.views, one.parked, one.bytes, one.scanned]
      )
    );
    if (builds.body.dataset.key === key || isBusy(builds.body)) return fillProgress();
    builds.body.dataset.key = key;
    put(builds.body, found.builds.map((one) => row(one, found.builds, done)));
    return fillProgress();
  }

  function fillProgress() {
    for (const bar of builds.body.querySelectorAll("progress")) {
      const lanes = node.status?.view_types.find((one) => one.view_type === bar.dataset.type)?.lanes ?? [];
      const mine = lanes.find((one) => String(one.build) === bar.dataset.build);
      const answers = lanes.find((one) => one.state === "answers");
      if (!mine || !answers) continue;
      bar.max = Math.max(1, Number(answers.scanned));
      bar.value = Number(mine.scanned);
    }
  }

  async function showPlan() {
    put(plan, h("p", { class: "empty", role: "status" }, "Reading and checking the manifest…"));
    planButton.disabled = true;
    try {
      put(plan, planned(await get("v1/plan", { signal })));
    } catch (error) {
      if (error.name !== "AbortError") put(plan, h("div", { class: "body" }, problem(error)));
    }
    planButton.disabled = false;
  }

  async function showOperations() {
    let found;
    try {
      found = await get("v1/operations", { signal });
    } catch {
      return; // told by the builds
    }
    const wanted = found.operations.filter(
      (one) => (
        !viewType || one.view_type === viewType || !one.view_type
      ) && (one.state === "running" || one.state === "waits")
    );
    const key = JSON.stringify(wanted);
    if (operations.dataset.key === key || isBusy(operations)) return;
    operations.dataset.key = key;
    operations.hidden = !wanted.length;
    put(operations, wanted.map((one) => operation(one, done)));
  }

  await Promise.all([show(), showOperations()]);
  whenLooked(() => {
    show();
    showOperations();
  }, signal);
}

/** Whether somebody is about to use a button in an element: it is not replaced then. */
function isBusy(element) {
  return element.contains(document.activeElement) && document.hasFocus();
}

function row(one, all, done) {
  const { view_type: viewType, build, state } = one;
  const answers = all.find((other) => other.view_type === viewType && other.state === "answers");
  const follower = all.find((other) => other.view_type === viewType && other.state === "follows");
  const rolledBack = one.why === "it was rolled back";
  const buttons = [];
  const act = (text, action, kind = "small") => buttons.push(button(text, () => done(action(viewType, build)), kind));
  if (state === "waits" || state === "under way" || (state === "follows" && rolledBack)) act(
    "Promote",
    actions.promote,
    "small main",
  );
  if (state === "follows" && !rolledBack) act("Roll back to it", actions.rollBack);
  if (answers && (state === "waits" || state === "under way" || state === "follows")) buttons.push(
    actions.compareLink(viewType, answers.build, build)
  );
  if (state === "follows" && follower) act("Retire", actions.retire);
  if (state !== "answers") act("Delete", actions.remove, "small danger");
  const bar = state === "under way" && h(
    "progress",
    { "data-type": viewType, "data-build": build, "aria-label": `How far build ${build} of ${viewType} is` },
  );
  const why = one.problem ?? one.why ?? (one.paused !== null ? `paused${one.paused ? `: ${one.paused}` : ""}` : null);
  return h(
    "tr",
    null,
    h("th", { scope: "row" }, link(at("type", viewType), viewType)),
    h("td", { class: "number", "data-label": "Build" }, String(build)),
    h(
      "td",
      { "data-label": "State" },
      h("div", null, badge(...STATES[state]), bar, why && h("p", { class: "hint" }, why)),
    ),
    h("td", { class: "number", "data-label": "Position" }, number(one.scanned)),
    h("td", { class: "number", "data-label": "Views" }, number(one.views)),
    h("td", { class: "number", "data-label": "Parked" }, number(one.parked)),
    h("td", { class: "number", "data-label": "Disk" }, size(one.bytes)),
    h("td", { class: "narrow" }, buttons.length ? h("div", { class: "row" }, buttons) : null),
  );
}

function operation(one, done) {
  const of = one.view_type ? ` of ${one.view_type}` : "";
  const what = one.operation + of + (one.build ? `, build ${one.build}` : "");
  const share = one.total ? Math.min(1, one.done / one.total) : null;
  const told = [
    share === null ? null : percent(share),
    one.rate && one.state === "running" ? `${number(Math.round(one.rate))}/s` : null,
    one.state !== "running" || one.left_s === null || one.left_s === undefined ? null : `${duration(one.left_s)} to go`,
    `by ${one.by}`,
    `since ${time(one.began)}`,
  ].filter(Boolean).join(", ");
  return h(
    "section",
    { class: "card" },
    h(
      "header",
      null,
      h("h2", null, what.charAt(0).toUpperCase() + what.slice(1)),
      one.state === "waits" ? badge("warn", "Waits") : badge("info", "Running"),
      h("span", { class: "note" }, told),
      h("div", { class: "actions" }, button("Cancel", () => done(actions.cancelOperation(one, remove)), "small")),
    ),
    h(
      "div",
      { class: "body" },
      h("progress", { max: 1, value: share, "aria-label": `How far the ${one.operation} is` }),
      one.why && h("p", { class: "hint" }, one.why),
    ),
  );
}

function planned({ steps }) {
  const list = table(
    "Plan",
    [
      { title: "View type" },
      { title: "Action" },
      { title: "Events", number: true },
      { title: "Time", number: true },
      { title: "Disk", number: true },
      { title: "What is different" },
    ],
  );
  put(
    list.body,
    steps.map(
      (one) => h(
        "tr",
        null,
        h("th", { scope: "row" }, one.view_type),
        h("td", null, badge(one.change === "goes on" ? "good" : "info", one.change)),
        h("td", { class: "number" }, number(one.events)),
        h("td", { class: "number" }, duration(one.seconds)),
        h("td", { class: "number" }, size(one.bytes)),
        h(
          "td",
          { class: "wide" },
          one.why || "–",
          [one.reach, one.folds, one.seconds_rest_on && `time: ${one.seconds_rest_on}`].filter(Boolean).map(
            (hint) => h("p", { class: "hint" }, hint)
          ),
        ),
      )
    ),
  );
  return steps.every((one) => one.change === "goes on" && !one.why) ? [
    h("div", { class: "body" }, alert("", "The manifest matches what is folded: a deployment would change nothing.")),
    list.element,
  ] : list.element;
}
