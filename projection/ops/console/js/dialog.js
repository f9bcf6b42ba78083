// Dialogs: every action asks once, and shows the command line that does the same.
import { button, h, problem, put, toast, write } from "./dom.js";

const NAME = "projection.name";

/** A field of a dialog, by its name: what it is called, and its element. */
export function field(label, element, hint) {
  return { label, element, hint };
}

/** The command line, with a button that copies it where browsers allow that. */
export function commandLine(text) {
  const shown = h("pre", { class: "wrapped", tabindex: "0" }, text);
  const copy = button("Copy", async () => {
    await navigator.clipboard.writeText(shown.textContent);
    toast("Copied to the clipboard.");
  }, "small");
  return {
    element: h("div", { class: "command" }, shown, navigator.clipboard ? copy : null),
    set: (now) => write(shown, now),
  };
}

/**
 * Ask, and do it.
 *
 * @param options.title what is about to be done
 * @param options.text what comes of it: texts or elements
 * @param options.verb what the button says
 * @param options.danger whether it cannot be undone
 * @param options.fields further fields, by their names
 * @param options.command makes the command line of `{by, reason, …values}`; null shows none
 * @param options.act does it; takes the values and a function that shows how far it is
 * @param options.done what to say when it is done; text, or a function of what came
 * @returns what came of it; undefined where it was canceled
 */
export function ask(
  { title, text = [], verb, danger = false, large = false, fields = {}, command = null, act, done = "Done." }
) {
  return new Promise((resolve) => {
    const by = h(
      "input",
      { type: "text", required: true, maxlength: 200, autocomplete: "name", value: localStorage.getItem(NAME) ?? "" },
    );
    const reason = h("input", { type: "text", maxlength: 1000, autocomplete: "off" });
    const all = { ...fields, by: field("Your name", by, "Recorded in the audit log."), reason: field("Reason", reason) };
    const line = command && commandLine("");
    const said = h("div", { role: "status" });
    const confirm = h("button", { type: "submit", class: danger ? "main danger" : "main" }, verb);
    const heading = h("h2", { id: "asked" }, title);
    const abandon = new AbortController();
    let came;

    const values = () => Object.fromEntries(
      Object.entries(all).map(
        ([name, one]) => [name, one.element.type === "checkbox" ? one.element.checked : one.element.value]
      )
    );
    const form = h(
      "form",
      { method: "dialog" },
      heading,
      [text].flat().map((one) => (typeof one === "string" ? h("p", null, one) : one)),
      Object.values(all).map((one) =>
        one.element.type === "checkbox"
          ? h("label", { class: "check" }, one.element, one.label)
          : h("label", null, one.label, one.element, one.hint && h("span", { class: "hint" }, one.hint)),
      ),
      line && h("div", null, h("h3", null, "The same on the command line"), line.element),
      said,
      h("div", { class: "actions" }, button("Cancel", () => dialog.close()), confirm),
    );
    const dialog = h("dialog", { "aria-labelledby": "asked", class: large ? "large" : null }, form);
    const show = () => line?.set(command(values()));
    form.addEventListener("input", show);
    form.addEventListener("submit", async (event) => {
      event.preventDefault();
      localStorage.setItem(NAME, by.value);
      confirm.disabled = true;
      put(said);
      try {
        came = { result: await act(values(), (now) => put(said, now), abandon.signal) };
        toast(typeof done === "function" ? done(came.result) : done);
        dialog.close();
      } catch (error) {
        if (error.name !== "AbortError") put(said, problem(error));
        confirm.disabled = false;
        confirm.scrollIntoView({ block: "end" }); // and what is said above it
      }
    });
    dialog.addEventListener("close", () => {
      abandon.abort();
      dialog.remove();
      resolve(came?.result);
    });
    document.body.append(dialog);
    show();
    dialog.showModal();
  });
}
