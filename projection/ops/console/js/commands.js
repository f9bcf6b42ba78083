// The command line that does the same as an action, ready to be pasted.

const PLAIN = /^[A-Za-z0-9_.,:/@%+=-]+$/;

/** A word as a POSIX shell reads it. */
export function quoted(word) {
  const text = String(word);
  return PLAIN.test(text) ? text : `'${text.replaceAll("'", `'\\''`)}'`;
}

/** A command: words, and options of which those that are null, false or empty are left out. */
export function command(words, options = {}) {
  const told = Object.entries(options).flatMap(([name, value]) => {
    if (value === null || value === undefined || value === false || value === "") return [];
    return value === true ? [`--${name}`] : [`--${name}`, quoted(value)];
  });
  return ["projection", ...words.filter((one) => one !== null && one !== "").map(quoted), ...told].join(" ");
}
