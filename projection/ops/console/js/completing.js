// A field that completes what is typed: a combobox with a list, by arrow keys, Enter or Tab, and Escape.
import { complete } from "./completion.js";
import { h, put } from "./dom.js";

export function completing(label, id, value, schema, kind) {
  const list = h("ul", {
    class: "options",
    id: `${id}-options`,
    role: "listbox",
    "aria-label": `Suggestions for ${label}`,
    hidden: true,
  });
  const input = h("input", {
    id,
    type: "text",
    class: "code",
    value,
    spellcheck: "false",
    autocomplete: "off",
    autocapitalize: "off",
    role: "combobox",
    "aria-autocomplete": "list",
    "aria-expanded": "false",
    "aria-controls": list.id,
    placeholder: kind === "condition" ? 'for example status == "paid" and total > 50' : "",
  });
  let offered = { options: [] };
  let chosen = -1;

  function close() {
    list.hidden = true;
    chosen = -1;
    input.setAttribute("aria-expanded", "false");
    input.removeAttribute("aria-activedescendant");
  }

  function offer() {
    offered = complete(input.value, input.selectionStart ?? input.value.length, schema(), kind);
    if (!offered.options.length) return close();
    chosen = -1;
    put(list, offered.options.map(option));
    list.hidden = false;
    input.setAttribute("aria-expanded", "true");
  }

  function option(one, place) {
    const clicked = (event) => {
      event.preventDefault(); // the focus stays in the field
      take(place);
    };
    return h(
      "li",
      { id: `${id}-${place}`, role: "option", "aria-selected": "false", onmousedown: clicked },
      h("span", { class: "code" }, one.text),
      h("span", { class: "dim" }, one.detail),
    );
  }

  function move(step) {
    if (list.hidden) offer();
    if (!offered.options.length) return;
    list.children[chosen]?.setAttribute("aria-selected", "false");
    chosen = (chosen + step + offered.options.length) % offered.options.length;
    list.children[chosen].setAttribute("aria-selected", "true");
    list.children[chosen].scrollIntoView({ block: "nearest" });
    input.setAttribute("aria-activedescendant", list.children[chosen].id);
  }

  function take(place) {
    const { text } = offered.options[place];
    input.value = input.value.slice(0, offered.from) + text + input.value.slice(offered.to);
    const caret = offered.from + text.length;
    close();
    input.focus();
    input.setSelectionRange(caret, caret);
    input.dispatchEvent(new Event("input", { bubbles: true }));
    close();
  }

  input.addEventListener("input", offer);
  input.addEventListener("blur", close);
  input.addEventListener("keydown", (event) => {
    if (event.key === "ArrowDown" || event.key === "ArrowUp") {
      event.preventDefault();
      move(event.key === "ArrowDown" ? 1 : chosen < 0 ? 0 : -1);
    } else if ((event.key === "Enter" || event.key === "Tab") && chosen >= 0) {
      event.preventDefault();
      take(chosen);
    } else if (event.key === "Enter") {
      close(); // the form is sent
    } else if (event.key === "Escape" && !list.hidden) {
      event.preventDefault();
      close();
    }
  });
  const element = h("div", { class: "completed" }, h("label", { for: id }, label), input, list);
  return { element, get value() {
    return input.value;
  } };
}
