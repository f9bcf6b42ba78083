// Plots of the last five minutes.
import { h, put, s, write } from "./dom.js";

const WIDTH = 600;
const HEIGHT = 120;
const LONGEST_MS = 300_000;
const SHORTEST_MS = 60_000;

/** A plot of one line: `{element, update(points)}`; a point is `{at, value}`, and values are never below 0. */
export function plot(title, format) {
  const now = h("div", { class: "now" }, "–");
  const lines = s("g", { class: "grid" });
  const fill = s("path", { class: "fill" });
  const stroke = s("path", { class: "stroke", "vector-effect": "non-scaling-stroke" });
  const scale = h("div", { class: "scale", "aria-hidden": "true" });
  const picture = s(
    "svg",
    { viewBox: `0 0 ${WIDTH} ${HEIGHT}`, preserveAspectRatio: "none", role: "img", "aria-label": title },
    lines,
    fill,
    stroke,
  );
  const began = h("span");
  const element = h(
    "section",
    { class: "card plot" },
    h("h2", null, title),
    now,
    h("div", { class: "area" }, picture, scale),
    h("div", { class: "times", "aria-hidden": "true" }, began, h("span", null, "now")),
  );

  function update(points) {
    const last = points.at(-1);
    write(now, last ? format(last.value) : "–");
    picture.setAttribute("aria-label", `${title}: ${last ? format(last.value) : "not known yet"}`);
    const end = Date.now();
    const span = Math.min(LONGEST_MS, Math.max(SHORTEST_MS, end - (points[0]?.at ?? end)));
    write(
      began,
      span < 1.5 * SHORTEST_MS ? `${Math.round(span / 1000)} s ago` : `${Math.round(span / SHORTEST_MS)} min ago`,
    );
    const steps = ticks(Math.max(0, ...points.map((one) => one.value)));
    const top = steps.at(-1);
    const x = (one) => WIDTH - ((end - one.at) / span) * WIDTH;
    const y = (value) => HEIGHT - (value / top) * HEIGHT;
    put(
      lines,
      steps.map(
        (one) => s("line", { x1: 0, x2: WIDTH, y1: y(one), y2: y(one), "vector-effect": "non-scaling-stroke" })
      ),
    );
    put(scale, steps.slice(1).map((one) => {
      const label = h("span", null, format(one));
      label.style.top = `${(1 - one / top) * 100}%`;
      return label;
    }));
    const shown = points.filter((one) => end - one.at <= span);
    const path = shown.map(
      (one, place) => `${place ? "L" : "M"}${x(one).toFixed(1)} ${y(one.value).toFixed(1)}`
    ).join("");
    stroke.setAttribute("d", path);
    fill.setAttribute(
      "d",
      shown.length > 1 ? `${path}L${x(shown.at(-1)).toFixed(1)} ${HEIGHT}L${x(shown[0]).toFixed(1)} ${HEIGHT}Z` : "",
    );
  }

  return { element, update };
}

/** Round values from 0 to a little more than the largest one. */
export function ticks(largest) {
  const rough = (largest || 1) / 3;
  const unit = 10 ** Math.floor(Math.log10(rough));
  const step = [1, 2, 5, 10].map((one) => one * unit).find((one) => one >= rough);
  const count = Math.max(2, Math.ceil((largest || 1) / step));
  return Array.from({ length: count + 1 }, (_, place) => place * step);
}
