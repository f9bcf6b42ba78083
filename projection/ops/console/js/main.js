// The frame: who is signed in, which page is shown, and the theme.
import { credentials, get, Problem, whenDenied } from "./api.js";
import { alert, badge, button, h, link, problem, put, write } from "./dom.js";
import { node, start, stop, whenLooked } from "./node.js";
import * as overview from "./pages/overview.js";

const PAGES = {
  "": async () => overview,
  type: () => import("./pages/view_type.js"),
  parked: () => import("./pages/parked.js"),
  builds: () => import("./pages/builds.js"),
  compare: () => import("./pages/compare.js"),
  query: () => import("./pages/query.js"),
  view: () => import("./pages/view.js"),
  log: () => import("./pages/log.js"),
};
const BELOW = { "": "overview", type: "overview", compare: "builds", view: "query" }; // which page names in navigation
const FOR_OPERATORS = new Set(["type", "parked", "builds", "compare", "log"]);

const main = document.getElementById("main");
const navigation = document.getElementById("navigation");
const THEMES = ["system", "light", "dark"];
let leaving = new AbortController();
let isSignedIn = false;

async function open() {
  if (!isSignedIn) return;
  leaving.abort();
  leaving = new AbortController();
  const { signal } = leaving;
  const { name, parts, search } = route();
  const load = PAGES[name];
  for (const one of navigation.querySelectorAll("a")) {
    if (one.dataset.page === (BELOW[name] ?? name)) one.setAttribute("aria-current", "page");
    else one.removeAttribute("aria-current");
  }
  const page = h("div", { class: "page" });
  try {
    if (!load) {
      titled("Not found");
      put(
        page,
        h("div", { class: "head" }, h("h1", null, "There is no such page")),
        h("p", null, link("#/", "Go to the overview")),
      );
    } else if (FOR_OPERATORS.has(name) && !node.access.operator) {
      titled("For operators");
      put(
        page,
        h("div", { class: "head" }, h("h1", null, "This page is for operators")),
        alert(
          "warn",
          "Your credentials lack the operator scope.",
          "You can see the overview, query views, and look at the history of each.",
        ),
      );
    } else {
      const { render } = await load();
      if (signal.aborted) return;
      await render(page, { parts, search, signal, titled, operator: node.access.operator });
    }
  } catch (error) {
    if (error.name === "AbortError" || signal.aborted) return;
    page.append(problem(error instanceof Problem ? error : new Problem(0, { detail: error.message })));
  }
  if (signal.aborted) return;
  put(main, page);
  scrollTo(0, 0);
  if (open.isAgain) main.focus({ preventScroll: true });
  open.isAgain = true;
}

/** What the address names: a page, the parts behind it, and parameters. */
function route() {
  const [path, search = ""] = location.hash.replace(/^#\/?/, "").split("?");
  let steps;
  try {
    steps = path.split("/").map(decodeURIComponent);
  } catch {
    steps = ["?"]; // no page is called so
  }
  const [name, ...parts] = steps;
  return { name, parts, search: new URLSearchParams(search) };
}

function titled(text) {
  document.title = `${text} · Projection`;
}

// --- credentials -----------------------------------------------------------------------------------------------------

async function signIn() {
  try {
    node.access = await get("v1/access", { probing: true });
  } catch (error) {
    isSignedIn = false;
    leaving.abort();
    stop();
    navigation.hidden = true;
    put(document.getElementById("who"));
    if (error.status === 401 && error.challenge.startsWith("Bearer")) return askForToken(
      credentials.token ? error : null
    );
    const gateway = error.challenge.startsWith("Gateway");
    titled("Sign in");
    return put(
      main,
      h(
        "div",
        { class: "sign-in stack" },
        h("h1", null, gateway ? "Open the console through the gateway" : "The node cannot be reached"),
        problem(error),
        gateway && h(
          "p",
          null,
          "This node answers only to a gateway that signs people in. Use the address that the gateway serves.",
        ),
        button("Try again", signIn),
      ),
    );
  }
  isSignedIn = true;
  navigation.hidden = false;
  for (const one of navigation.querySelectorAll("[data-operators]")) one.hidden = !node.access.operator;
  showWho();
  start();
  open.isAgain = false;
  return open();
}

function askForToken(error) {
  titled("Sign in");
  const token = h(
    "textarea",
    { id: "token", rows: 4, required: true, spellcheck: "false", autocomplete: "off", "aria-describedby": "kept" },
  );
  const form = h(
    "form",
    { class: "card form sign-in", onsubmit: (event) => {
      event.preventDefault();
      credentials.token = token.value.trim().replace(/^Bearer\s+/i, "");
      signIn();
    } },
    h("header", null, h("h1", null, "Sign in")),
    h("div", { class: "body form" },
      error && problem(error),
      h(
        "p",
        null,
        "Paste a bearer token of your identity provider. With the operator scope you can act; without it you can look at the views of your tenant.",
      ),
      h("label", { for: "token" }, "Token"),
      token,
      h(
        "p",
        { class: "hint", id: "kept" },
        "The token is kept in this tab only (sessionStorage), is sent to this node alone, and is gone once the tab is closed.",
      ),
      h("div", { class: "actions" }, h("button", { type: "submit", class: "main" }, "Sign in")),
    ),
  );
  put(main, form);
  token.focus();
}

function showWho() {
  const { mode, tenants, tenant_id: tenant, operator } = node.access;
  const who = document.getElementById("who");
  const role = h("p", null, operator ? "Operator" : "Reader", tenants && tenant ? `, tenant ${tenant}` : "");
  if (mode === "none") put(
    who,
    role,
    tenants && button(tenant ? "Change tenant" : "Choose a tenant", chooseTenant, "quiet"),
  );
  else put(who, role, mode === "jwt" && button("Sign out", signOut, "quiet"));
}

async function chooseTenant() {
  const tenant = h("input", { type: "text", id: "tenant", value: credentials.tenant ?? "", autocomplete: "off" });
  const form = h(
    "form",
    { method: "dialog" },
    h("h2", { id: "asked" }, "Whose views do you want to see?"),
    h(
      "label",
      null,
      "Tenant",
      tenant,
      h(
        "span",
        { class: "hint" },
        "Leave it empty for the default tenant. The access mode is none, so everybody on this machine may see all tenants.",
      ),
    ),
    h(
      "div",
      { class: "actions" },
      button("Cancel", () => dialog.close()),
      h("button", { type: "submit", class: "main" }, "Choose"),
    ),
  );
  const dialog = h("dialog", { "aria-labelledby": "asked", onclose: () => dialog.remove() }, form);
  form.addEventListener("submit", (event) => {
    event.preventDefault();
    credentials.tenant = tenant.value;
    dialog.close();
    signIn();
  });
  document.body.append(dialog);
  dialog.showModal();
}

function signOut() {
  credentials.token = "";
  signIn();
}

// --- the frame -------------------------------------------------------------------------------------------------------

function showNode({ status, failure }) {
  const shown = document.getElementById("node");
  const state = failure ? ["bad", "not reached"] : status?.ready ? ["good", "ready"] : ["warn", "not ready"];
  if (shown.dataset.state === state[1]) return;
  shown.dataset.state = state[1];
  put(shown, badge(...state));
}

function showTheme() {
  write(document.getElementById("theme"), `Theme: ${localStorage.getItem("projection.theme") ?? "system"}`);
}

document.getElementById("theme").addEventListener("click", () => {
  const chosen = localStorage.getItem("projection.theme") ?? "system";
  const next = THEMES[(THEMES.indexOf(chosen) + 1) % THEMES.length];
  if (next === "system") localStorage.removeItem("projection.theme");
  else localStorage.setItem("projection.theme", next);
  dispatchEvent(new Event("projection-theme"));
  showTheme();
});
document.getElementById("skip").addEventListener("click", (event) => {
  event.preventDefault();
  main.focus();
});
addEventListener("hashchange", open);
whenDenied(() => {
  if (!isSignedIn) return; // others have found it out already
  isSignedIn = false;
  signIn();
});
whenLooked(showNode, new AbortController().signal);
showTheme();
signIn();
