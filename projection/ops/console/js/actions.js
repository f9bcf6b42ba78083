// What operators can do, each as one dialog with its command line.
import { carryOut, get, post } from "./api.js";
import { command } from "./commands.js";
import { ask, field } from "./dialog.js";
import { h, link, at } from "./dom.js";
import { counted, number } from "./format.js";

const GATES = [
  ["", "As the node’s settings say"],
  ["when_caught_up", "When it has caught up"],
  ["when_equal", "When it holds the same views"],
  ["manual", "When somebody promotes it"],
];

function order(viewType, { by, reason }, more = {}) {
  return { view_type: viewType, by, reason, ...more };
}

function check(label) {
  return field(label, h("input", { type: "checkbox" }));
}

function gate() {
  return field(
    "When the new build may answer",
    h("select", null, GATES.map(([value, text]) => h("option", { value }, text))),
  );
}

export function pause(viewType) {
  return ask({
    title: `Pause ${viewType}`,
    text: "Nothing is folded until it is resumed, also after a restart. Its views are served as they are.",
    verb: "Pause",
    command: ({ reason }) => command(["pause", viewType], { reason }),
    act: (given) => post("v1/operations/pause", order(viewType, given)),
    done: `${viewType} is paused.`,
  });
}

export function resume(viewType) {
  return ask({
    title: `Resume ${viewType}`,
    text: "It goes on after its last commit. If the reason of a halt is still there, it halts again.",
    verb: "Resume",
    command: ({ reason }) => command(["resume", viewType], { reason }),
    act: (given) => post("v1/operations/resume", order(viewType, given)),
    done: `${viewType} goes on.`,
  });
}

export function rebuild(viewType) {
  return ask({
    title: `Rebuild ${viewType}`,
    text: "A new build is folded from the first event, beside the one that answers. It takes over once it has caught up and its gate is open.",
    verb: "Rebuild",
    fields: { promote: gate() },
    command: ({ promote, reason }) => command(["rebuild", viewType], { promote, reason }),
    act: (given) => post("v1/operations/rebuild", order(viewType, given, { promote: given.promote || null })),
    done: (came) => `Build ${came.build} of ${viewType} is under way.`,
  });
}

export function promote(viewType, build) {
  return ask({
    title: `Promote build ${build} of ${viewType}`,
    text: "It answers from then on, or as soon as it has caught up. The build that answers now follows, so that you can go back.",
    verb: "Promote",
    fields: {
      although_parked: check("Also if it parks events that the present build does not"),
      accept_fewer_messages: check("Also if it has seen fewer messages"),
    },
    command: ({ although_parked: parked, accept_fewer_messages: fewer, reason }) =>
      command(["promote", viewType, build], { "although-parked": parked, "accept-fewer-messages": fewer, reason }),
    act: (given) => {
      const { although_parked, accept_fewer_messages } = given;
      return post("v1/operations/promote", order(viewType, given, { build, although_parked, accept_fewer_messages }));
    },
    done: (came) => `Build ${build} of ${viewType} answers${came.answers ? "" : " once it has caught up"}.`,
  });
}

export function rollBack(viewType, build) {
  return ask({
    title: `Roll ${viewType} back to build ${build}`,
    text: "The former build answers again. It was folded on, so nothing is lost. The present one follows, and answers again only when it is promoted.",
    verb: "Roll back",
    command: ({ reason }) => command(["rollback", viewType], { reason }),
    act: (given) => post("v1/operations/rollback", order(viewType, given)),
    done: (came) => `Build ${came.build} of ${viewType} answers again.`,
  });
}

export function retire(viewType, build) {
  return ask({
    title: `Retire build ${build} of ${viewType}`,
    text: "It is folded no longer, and you can no longer go back to it in one step. It stays on the disk.",
    verb: "Retire",
    command: ({ reason }) => command(["retire", viewType, build], { reason }),
    act: (given) => post("v1/operations/retire", order(viewType, given, { build })),
    done: `Build ${build} of ${viewType} is retired.`,
  });
}

export function remove(viewType, build) {
  return ask({
    title: `Delete build ${build} of ${viewType}`,
    text: "Its files are deleted. If it is under way, it is given up. This cannot be undone.",
    verb: "Delete",
    danger: true,
    command: ({ reason }) => command(["builds", "delete", viewType, build], { reason }),
    act: (given) => post("v1/operations/delete", order(viewType, given, { build })),
    done: `Build ${build} of ${viewType} is deleted.`,
  });
}

export function reload() {
  return ask({
    title: "Deploy the node’s manifest",
    text: "The node reads its manifest anew. What has changed is folded beside the builds that answer; what the manifest no longer names is folded no more.",
    verb: "Deploy",
    fields: { promote: gate() },
    command: ({ promote, reason }) => command(["reload"], { promote, reason }),
    act: ({ by, reason, promote: wanted }) => post("v1/operations/reload", { by, reason, promote: wanted || null }),
    done: (came) => `Deployed: ${came.steps.map((one) => `${one.view_type} ${one.change}`).join(", ")}.`,
  });
}

export function drop(viewType, event) {
  const where = event.view_id === null ? "It reached no view." : `For the view ${event.view_id} of tenant ${event.tenant_id}.`;
  return ask({
    title: `Drop event ${number(event.sequence)}`,
    text: [
      where,
      "It is left out for good: this build and all later ones are folded without it. What waits behind it goes on, in order.",
    ],
    verb: "Drop it",
    danger: true,
    command: ({ reason }) => command(
      ["parked", "drop", viewType, event.sequence],
      event.view_id === null ? { alone: true, reason } : { id: event.view_id, reason },
    ),
    act: (given) => post(
      "v1/operations/drop",
      order(viewType, given, { sequence: event.sequence, tenant_id: event.tenant_id, view_id: event.view_id }),
    ),
    done: (came) => {
      const taken = `${counted(came.taken, "event")} behind it taken, ${number(came.waiting.length)} still parked`;
      return `Dropped event ${number(event.sequence)}: ${taken}.`;
    },
  });
}

/** Run parked events again, by a corrected program: by the same one, the same would come of them. */
export async function retry(viewType, build) {
  const contents = await get(`v1/builds/${viewType}/${build}`);
  const text = h("textarea", { rows: 18, spellcheck: "false", wrap: "off" });
  text.value = contents.program;
  const recipe = JSON.parse(contents.recipe);
  return ask({
    title: `Retry what is parked in ${viewType}`,
    text: [
      "Folding is deterministic: with the same program, the same events fail again. Correct the program here, and the parked events run again by it, in order. The build that answers is copied, and the copy takes over.",
      h(
        "p",
        { class: "hint" },
        "The node’s manifest must name the corrected program by its next start; the command takes it from there.",
      ),
    ],
    verb: "Retry with this program",
    large: true,
    fields: { program: field(contents.program_name, text) },
    command: ({ reason }) => command(["adopt", viewType], { reason }),
    act: async (given, show, signal) => {
      const corrected = { ...recipe, program: { ...recipe.program, text: given.program } };
      show("Checking the program…");
      const record = await carryOut(
        "adopt",
        order(viewType, given, { recipe: JSON.stringify(corrected) }),
        () => show("Running parked events again…"),
        signal,
      );
      return record.result;
    },
    done: (came) => {
      const left = Object.values(came.parked).reduce((sum, one) => sum + one, 0);
      const taken = counted(came.taken, "parked event");
      return `Build ${came.build} of ${viewType} has taken ${taken}; ${number(left)} are still parked.`;
    },
  });
}

export function repair(viewType, tenant, viewId) {
  return ask({
    title: `Repair the view ${viewId}`,
    text: "The view is folded anew from its events, and put right where the build holds it otherwise.",
    verb: "Repair",
    fields: { dry_run: check("Only look, and change nothing") },
    command: ({ dry_run: dry, reason }) => command(
      ["repair", viewType],
      { id: viewId, tenant, "dry-run": dry, reason },
    ),
    act: async (given, show, signal) => {
      const record = await carryOut(
        "repair",
        order(viewType, given, { tenant_id: tenant, view_id: viewId, dry_run: given.dry_run }),
        () => show("Folding its events…"),
        signal,
      );
      return record.result;
    },
    done: (came) => (
      came.different ? `The view differed${came.written ? ", and was put right" : ""}.` : "The view is as its events make it."
    ),
  });
}

export function cancelOperation(record, remover) {
  return ask({
    title: `Cancel ${record.operation}${record.view_type ? ` of ${record.view_type}` : ""}`,
    text: "What it has not done by then is not done.",
    verb: "Cancel the operation",
    danger: true,
    command: ({ reason }) => command(["operations", "cancel", record.id], { reason }),
    act: ({ by, reason }) => remover(`v1/operations/${record.id}?${new URLSearchParams({ by, reason })}`),
    done: "It is being canceled.",
  });
}

/** The link to the comparison of two builds. */
export function compareLink(viewType, old, now) {
  return link(`${at("compare", viewType)}?old=${old}&new=${now}`, "Compare", "button small");
}
