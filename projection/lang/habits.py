"""Habits of other languages: what their names and signs are called here. One table a kind; diagnostics quote them."""

from __future__ import annotations

# A word and the one that means the same here: put in its place, it mends the program.
TYPES = {
    "array": "list", "blob": "bytes", "boolean": "bool", "bytea": "bytes", "char": "string", "datetime": "timestamp",
    "dict": "map", "instant": "timestamp", "int32": "int", "int64": "int", "integer": "int", "interval": "duration",
    "long": "int", "object": "json", "str": "string", "text": "string", "timedelta": "duration", "varchar": "string",
}  # fmt: skip
FUNCTIONS = {
    "len": "length", "lowercase": "lower", "size": "length", "str": "text", "string": "text", "strip": "trim",
    "strlen": "length", "substr": "slice", "substring": "slice", "toString": "text", "to_string": "text",
    "toLowerCase": "lower", "toUpperCase": "upper", "uppercase": "upper", "startsWith": "starts_with",
    "endsWith": "ends_with", "sorted": "sort",
}  # fmt: skip
NAMES = {
    "False": "false", "None": "none", "True": "true", "nil": "none", "null": "none", "self": "view", "this": "view",
    "undefined": "none",
}  # fmt: skip

# What there is instead of a type, a function or a variable that has no counterpart.
_EXACT = "numbers are exact: `int`, or `decimal(2)` with so many digits after the point"
_NO_CLOCK = "programs see no clock: `meta.time` is the time of the event, `meta.date` its date"
_NO_CHANCE = "programs are deterministic: take it from the event, or make an id with `uuid5(namespace, name)`"
TYPE_HINTS = {
    **dict.fromkeys(("double", "float", "number", "numeric", "real"), _EXACT),
    "uuid": "write `string(36)`",
    "any": "write `json` for what is taken as it comes",
}
FUNCTION_HINTS = {
    **dict.fromkeys(("current_timestamp", "getdate", "now", "time", "today", "utcnow"), _NO_CLOCK),
    **dict.fromkeys(("rand", "random", "uuid", "uuid4"), _NO_CHANCE),
    **dict.fromkeys(("double", "float", "number"), _EXACT + "; `parse_decimal(text)` reads a text"),
    **dict.fromkeys(("avg", "average", "mean"), "write `div(sum(xs), count(xs), SCALE, MODE)`: it says how it rounds"),
    **dict.fromkeys(("ceil", "ceiling"), 'write `round(x, 0, "ceiling")`'),
    "floor": 'write `round(x, 0, "floor")`',
    **dict.fromkeys(("coalesce", "ifnull", "nvl"), "write `x ?? y`"),
    **dict.fromkeys(("concat", "append"), "write `x + y` for texts, `[...xs, x]` for lists"),
    **dict.fromkeys(("contains", "includes"), "write `x in xs` for lists, sets and maps"),
    "datetime": "write `parse_timestamp(text)`",
    "filter": "write `[x for x in xs if CONDITION]`",
    "map": "write `[f(x) for x in xs]`",
    **dict.fromkeys(("log", "print"), "nothing is printed: `projection trace` shows each value"),
    **dict.fromkeys(("pow", "sqrt"), "there are no powers: multiply"),
    "reduce": "write `fold(total = 0 for x in xs => total + x)`",
}
NAME_HINTS = dict.fromkeys(("now", "today"), _NO_CLOCK)

# Signs and words where the grammar has others.
SIGNS = {
    "&&": ("`&&`", "and"), "||": ("`||`", "or"), "===": ("`===`", "=="), "->": ("`->`", "=>"), "<>": ("`<>`", "!="),
}  # fmt: skip
WORDS = {
    "class": "type", "const": "let", "def": "fn", "elif": "else if", "elsif": "else if", "func": "fn",
    "function": "fn", "is": "==", "null": "none", "return": "", "struct": "type", "switch": "match", "var": "let",
}  # fmt: skip
