// What is known of the node while the console is open: who asks, and its status every two seconds.
import { get } from "./api.js";

const EVERY_MS = 2000;
const KEPT = 150; // looks: five minutes

export const node = {
  access: { mode: "none", tenants: true, tenant_id: null, operator: false },
  status: null,
  samples: [], // the oldest first: {at, events, lanes: Map by view type of {scanned, lag}}
  failure: null,
};

const listeners = new Set();
let timer = null;
let begun = 0; // how often looking was started: of several, only the last goes on

/** Call a function with each status, until a page is left. */
export function whenLooked(listener, signal) {
  listeners.add(listener);
  signal.addEventListener("abort", () => listeners.delete(listener));
  if (node.status) listener(node);
}

export async function look() {
  try {
    node.status = await get("v1/status");
    node.failure = null;
    node.samples.push(sampleOf(node.status));
    if (node.samples.length > KEPT) node.samples.shift();
  } catch (error) {
    node.failure = error;
  }
  for (const listener of [...listeners]) listener(node);
}

export function start() {
  stop();
  const mine = begun;
  const again = async () => {
    if (!document.hidden) await look();
    if (mine === begun) timer = setTimeout(again, EVERY_MS);
  };
  timer = setTimeout(again, 0);
}

export function stop() {
  clearTimeout(timer);
  begun += 1;
  node.samples = [];
  node.status = null;
}

/** The lane of the build that answers; undefined where it is not folded. */
export function answering(viewType) {
  return viewType.lanes.find((lane) => lane.state === "answers");
}

function sampleOf(status) {
  const lanes = new Map();
  for (const one of status.view_types) {
    const lane = answering(one);
    if (lane) lanes.set(
      one.view_type,
      { scanned: Number(lane.scanned), lag: lane.lag_s === null ? null : Number(lane.lag_s) },
    );
  }
  return { at: Date.now(), events: status.events, lanes };
}

/** How fast something grows, as points of a plot: `value` takes it out of a sample. */
export function rates(value) {
  const points = [];
  for (let place = 1; place < node.samples.length; place += 1) {
    const [before, now] = [node.samples[place - 1], node.samples[place]];
    const [was, is] = [value(before), value(now)];
    if (was === null || is === null || was === undefined || is === undefined) continue;
    points.push({ at: now.at, value: Math.max(0, ((is - was) * 1000) / Math.max(1, now.at - before.at)) });
  }
  return points;
}

/** Values of samples as points of a plot. */
export function values(value) {
  return node.samples.map((one) => ({ at: one.at, value: value(one) })).filter(
    (one) => one.value !== null && one.value !== undefined
  );
}

/** The largest lag of the view types that answer in a sample; null where none is known. */
export function largestLag(sample) {
  let most = null;
  for (const { lag } of sample.lanes.values()) if (lag !== null && (most === null || lag > most)) most = lag;
  return most;
}
