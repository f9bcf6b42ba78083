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
  ["manual", "When an operator promotes it"],
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
    text: "Folding stops until you resume it, even across restarts. Its views keep being served as they are.",
    verb: "Pause",
    command: ({ reason }) => command(["pause", viewType], { reason }),
    act: (given) => post("v1/operations/pause", order(viewType, given)),
    done: `${viewType} is paused.`,
  });
}

export function resume(viewType) {
  return ask({
    title: `Resume ${viewType}`,
    text: "Folding continues after the last commit. If the cause of a halt is still there, it halts again.",
    verb: "Resume",
    command: ({ reason }) => command(["resume", viewType], { reason }),
    act: (given) => post("v1/operations/resume", order(viewType, given)),
    done: `${viewType} goes on.`,
  });
}

export function rebuild(viewType) {
  return ask({
    title: `Rebuild ${viewType}`,
    text: "A new build is folded from the first event, beside the serving one. It replaces that build once it has caught up and its gate is open.",
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
    text: "It serves queries at once, or once it has caught up. The build that serves now keeps being folded, so that you can roll back.",
    verb: "Promote",
    fields: {
      although_parked: check("Even if it parks events that the serving build does not"),
      accept_fewer_messages: check("Even if it has seen fewer messages"),
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
    text: "The former build serves queries again. It was kept up to date, so nothing is lost. The present build keeps being folded, and serves again only once it is promoted.",
    verb: "Roll back",
    command: ({ reason }) => command(["rollback", viewType], { reason }),
    act: (given) => post("v1/operations/rollback", order(viewType, given)),
    done: (came) => `Build ${came.build} of ${viewType} answers again.`,
  });
}

export function retire(viewType, build) {
  return ask({
    title: `Retire build ${build} of ${viewType}`,
    text: "Its folding ends, and you can no longer roll back to it in one step. Its files stay on the disk.",
    verb: "Retire",
    command: ({ reason }) => command(["retire", viewType, build], { reason }),
    act: (given) => post("v1/operations/retire", order(viewType, given, { build })),
    done: `Build ${build} of ${viewType} is retired.`,
  });
}

export function remove(viewType, build) {
  return ask({
    title: `Delete build ${build} of ${viewType}`,
    text: "Its files are deleted; a build that is still being folded is abandoned. This cannot be undone.",
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
    text: "The node reads its manifest again. Changed view types get a new build beside the serving one; view types that the manifest no longer names are no longer folded.",
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
      "The event is left out for good: this build and all later ones are folded without it. The events that wait behind it are folded now, in order.",
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
      const applied = `${counted(came.taken, "event")} behind it applied, ${number(came.waiting.length)} still parked`;
      return `Dropped event ${number(event.sequence)}: ${applied}.`;
    },
  });
}

/** Run parked events again, by a corrected program: by the same one, the same would come of them. */
export async function retry(viewType, build) {
  const contents = await get(`v1/builds/${viewType}/${build}`);
  const text = h("textarea", { rows: 13, spellcheck: "false", wrap: "off" });
  text.value = contents.program;
  const recipe = JSON.parse(contents.recipe);
  return ask({
    title: `Retry what is parked in ${viewType}`,
    text: [
      "Folding is deterministic: with the same program, the same events fail again. Correct the program here; the parked events are then folded with it, in order. This happens in a copy of the serving build, which replaces it at the end.",
      h(
        "p",
        { class: "hint" },
        "Put the corrected program into the node’s manifest before its next start. The command reads it from there.",
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
        () => show("Folding the parked events again…"),
        signal,
      );
      return record.result;
    },
    done: (came) => {
      const left = Object.values(came.parked).reduce((sum, one) => sum + one, 0);
      const applied = counted(came.taken, "parked event");
      return `Build ${came.build} of ${viewType} has applied ${applied}; ${number(left)} still parked.`;
    },
  });
}

export function repair(viewType, tenant, viewId) {
  return ask({
    title: `Repair the view ${viewId}`,
    text: "The view is folded again from its events, and corrected if the build holds something else.",
    verb: "Repair",
    fields: { dry_run: check("Only compare; change nothing") },
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
      came.different ? `The view differed${came.written ? " and was corrected" : ""}.` : "The view is what its events make it; nothing was changed."
    ),
  });
}

export function cancelOperation(record, remover) {
  return ask({
    title: `Cancel ${record.operation}${record.view_type ? ` of ${record.view_type}` : ""}`,
    text: "It stops where it is; what it has not done yet is left undone.",
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
