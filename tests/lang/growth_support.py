"""Programs that grow: for every form of the grammar, a text in which it is nested or repeated n times.

In the tables, `«»` is where a part stands, and `#` the number of the part.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, NamedTuple

from projection.bundled import bundled

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

SCHEMA = """proj 1
projection p
type Row { q: int = 0, s: string(40) = "", in: Inner = {}, o: Inner? }
type Inner { a: int = 0, m: map<string(20), int>(50) = {} }
type Color = enum(red, green)
event E { id: string(40), n: int, k: int, d: decimal(2), s: string(40), flag: bool, o: int?, row: Row, more: Row?,
  xs: list<int>(20), rows: list<Row>(20), by: map<string(20), int>(50), nest: map<string(20), Row>(20), color: Color }
view V { n: int = 0, s: string = "", row: Row = {}, by: map<string(20), int> = {}, xs: list<int> = [] }
"""
HANDLER = "on E as e to e.id => {}\n"
SMALL = "proj 1\nprojection p\nevent A { id: string(9) }\nview V { n: int = 0 }\non A as e to e.id => { n: 1 }\n"
DEEP, WIDE, LONG, FEW = (5, 10, 20), (12, 24, 48), (20, 40, 80), (8, 16, 32)
DEEPER = (3, 6, 12)  # of what is several brackets at once: 64 are allowed


class Family(NamedTuple):
    """A program that grows; `sizes` are those that are compared, each twice the one before."""

    form: str
    name: str
    of: Callable[[int], str]
    sizes: tuple[int, int, int]


def forms() -> set[str]:
    """Every form of the grammar: its rules, and the names that it gives to their alternatives."""
    text = re.sub(r"//.*", "", bundled("grammar/projection.lark").read_text(encoding="utf-8"))
    return {*re.findall(r"^[?!]?([a-z_]+)\s*:", text, re.MULTILINE), *re.findall(r"->\s*([a-z_]+)", text)}


def _function(expression: str, type_: str) -> str:
    """A program whose one function is this expression; a handler calls it."""
    called = "on E as e updates e.s when f(e, view, e.n) == f(e, view, e.k) => view\n"
    return f"{SCHEMA}fn f(e: E, v: V, n: int) -> {type_} = {expression}\n{HANDLER}{called}"


# An expression that stands in itself: the form, the expression, what stands in the innermost, and its type.
NESTED: list[tuple[str, str, str, str]] = [
    ("expr", "let a# = «»; a#", "e.n", "int"),
    ("let", "let a# = «»; a# + 1", "e.n", "int"),
    ("let", "let a# = e.n; «»", "e.n", "int"),
    ("let", "let a#: list<int> = «»; [...a#, 1]", "e.xs", "list<int>"),
    ("let", "let a# = 1; a# + («»)", "2", "int"),
    ("if", "if e.flag then («») else e.n", "e.n", "int"),
    ("if", "if e.flag then e.n else («»)", "e.n", "int"),
    ("if", "if («») then e.flag else e.n == #", "e.flag", "bool"),
    ("if", "if («») == # then 1 else e.n", "e.n", "int"),
    ("if", 'if e.by["#"] != none then («») + # else e.n', "e.n", "int"),
    ("with_expr", "(«») with { n: # }", "v", "V"),
    ("with", "«» with { n += # }", "v", "V"),
    ("with", "v with { row.in.a: («»).n }", "v", "V"),
    ("or_expr", "e.flag or («»)", "e.flag", "bool"),
    ("or", "(«») or e.n == #", "e.flag", "bool"),
    ("and_expr", "e.flag and («»)", "e.flag", "bool"),
    ("and", '(e.by["#"] == # or e.flag) and (e.by["x#"] != none and («»))', "e.flag", "bool"),
    ("not_expr", "not («»)", "e.flag", "bool"),
    ("not", "not not («»)", "e.flag", "bool"),
    ("comparison", "(«») == (e.n == #)", "e.flag", "bool"),
    ("compare", "(«») != e.flag", "e.flag", "bool"),
    ("membership", "(«») in [e.flag]", "e.flag", "bool"),
    ("coalesce_expr", "(if e.flag then («») else none) ?? #", "e.n", "int"),
    ("coalesce", "e.o ?? («»)", "1", "int"),
    ("coalesce", "let a#: int? = («»); a# ?? #", "e.o", "int?"),
    ("sum_expr", "e.n + («»)", "e.n", "int"),
    ("sum", "(«») + 1", "e.n", "int"),
    ("product_expr", "e.n * («»)", "e.n", "int"),
    ("product", "(«») * #", "e.n", "int"),
    ("unary", "-(«»)", "e.n", "int"),
    ("negative", "-(-(«»))", "e.n", "int"),
    ("postfix", "[«»][0]!", "e.n", "int"),
    ("get", "(v with { n: («») }).n", "e.n", "int"),
    ("get_optional", "e.more?.o?.a ?? («»)", "e.n", "int"),
    ("at", "e.by[text(«»)] ?? 0", "e.n", "int"),
    ("at_optional", "e.more?.in.m?[text(«»)] ?? 0", "e.n", "int"),
    ("assert_present", "(if («») == # then e.o else 1)!", "e.n", "int"),
    ("primary", "(«»)", "e.n", "int"),
    ("call", "abs(«»)", "e.n", "int"),
    ("call", "min(«», #)", "e.n", "int"),
    ("call", "max(«», n)", "e.n", "int"),
    ("aggregate", "sum(x# for x# in [«»])", "e.n", "int"),
    ("aggregate", "count(x# for x# in e.xs) + («»)", "e.n", "int"),
    ("aggregate", "min(x# by -x# for x# in [«»]) ?? 0", "e.n", "int"),
    ("fold", "fold(a# = 0 for x# in [«»] => a# + x#)", "e.n", "int"),
    ("fold", "fold(a# = 0 for x# in [«»] => a# + 1.5)", "e.d", "decimal"),
    ("fold", "fold(a# = («») for x# in e.xs => a# + x#)", "e.n", "int"),
    ("sort", "[x# by x# for x# in «»]", "e.xs", "list<int>"),
    ("sort_key", "[x# by -x# desc, x# for x# in «»]", "e.xs", "list<int>"),
    ("loop", "[x# for x# in «»]", "e.xs", "list<int>"),
    ("filter", "[x# for x# in «» if x# > #]", "e.xs", "list<int>"),
    ("list_for", "[x# + 1 for x# in «»]", "e.xs", "list<int>"),
    ("map_for", "{[k#]: x# for k#, x# in «»}", "e.by", "map<string, int>"),
    ("match", "match («») { 1 => 2, _ => e.n }", "e.n", "int"),
    ("match", "match e.o { none => («»), x# => x# }", "e.n", "int"),
    ("case", 'match e.color { "red" => («»), "green" => # }', "e.n", "int"),
    ("case", "match e.n { x# if x# == («») => #, _ => e.n }", "e.n", "int"),
    ("braces", "let a#: Row = { in: { a: («»).in.a } }; a#", "e.row", "Row"),
    ("entry", "let a#: Row = { in: { a: #, m: («»).in.m } }; a#", "e.row", "Row"),
    ("field_value", "let a#: Row = { q: («»).q, s: e.s }; a#", "e.row", "Row"),
    ("key_value", '{["a#"]: length(«»)}', "e.by", "map<string, int>"),
    ("spread", "[...«», #]", "e.xs", "list<int>"),
    ("spread", '{...«», ["a#"]: 1}', "e.by", "map<string, int>"),
    ("list", "[length(«»), #]", "e.xs", "list<int>"),
    ("item", "[...(«»)]", "e.xs", "list<int>"),
    ("path_key", 'v with { by["a#"]: («»).n }', "v", "V"),
    ("set_path", "v with { row.q: («»).n }", "v", "V"),
    ("add_path", "v with { row.q += («»).n }", "v", "V"),
    ("view_name", "v with { n: («»).n }", "v", "V"),
    ("set_short", "(«») with { n, s: e.s }", "v", "V"),
    ("field_short", "let a#: V = { n, s: («»).s }; a#", "v", "V"),
    ("path_field", "v with { row.in.a: («»).n }", "v", "V"),
]

# A part that is repeated within an expression: the form, the expression, the part, what stands between, the type.
REPEATED: list[tuple[str, str, str, str, str]] = [
    ("or", "e.flag or «»", "e.n == #", " or ", "bool"),
    ("or", "e.flag or «»", 'e.by["#"] == none or e.n > #', " or ", "bool"),
    ("and", "e.flag and «»", "e.n != #", " and ", "bool"),
    ("sum", "«»", "e.n", " + ", "int"),
    ("product", "«»", "e.n", " * ", "int"),
    ("coalesce", "«» ?? 1", "e.o", " ?? ", "int"),
    ("let", "«» 1", "let a# = e.n;", " ", "int"),
    ("if", "«» 1", "if e.n == # then e.k else", " ", "int"),
    ("call", '"" + join([«»], ",")', "e.s", ", ", "string"),
    ("call", "key(«»)", "e.n", ", ", "string"),
    ("match", "match e.n { «», _ => 0 }", "# => e.k", ", ", "int"),
    ("match", "match e.s { «», _ => 0 }", '"#" => e.k', ", ", "int"),
    ("case", "match e.n { «», _ => 0 }", "x# if x# == # => e.k", ", ", "int"),
    ("pattern", "match e.n { 1000 | «» => 1, _ => 0 }", "#", " | ", "int"),
    ("list", "[«»]", "e.n", ", ", "list<int>"),
    ("int", "[«»]", "#", ", ", "list<int>"),
    ("decimal", "[«»]", "#.5", ", ", "list<decimal>"),
    ("true", "[«»]", "true", ", ", "list<bool>"),
    ("false", "[«»]", "false", ", ", "list<bool>"),
    ("none", "[«»]", "e.o == none", ", ", "list<bool>"),
    ("name", "[«»]", "n", ", ", "list<int>"),
    ("duration", "[«»]", "#s", ", ", "list<duration>"),
    ("string", "[«»]", '"a#{e.n}"', ", ", "list<string>"),
    ("string", '"«»"', "a{e.n}", "", "string"),
    ("spread", "[«»]", "...e.xs", ", ", "list<int>"),
    ("spread", "{«»}", "...e.by", ", ", "map<string, int>"),
    ("key_value", "{«»}", '["a#"]: #', ", ", "map<string, int>"),
    ("set_path", "v with { «» }", 'by["a#"]: #', ", ", "V"),
    ("set_path", "v with { «» }", "by[text(e.n + #)]: #", ", ", "V"),
    ("add_path", "v with { «» }", 'by["a#"] += #', ", ", "V"),
    ("drop_path", "v with { «» }", 'drop by["a#"]', ", ", "V"),
    ("update", "v with { n: 1, «» }", 'by["a#"]: e.n', ", ", "V"),
    ("path", "v with { «» }", 'row.in.m["a#"]: e.n', ", ", "V"),
    ("path_key", "v with { «» }", 'row.in.m["a#"] += 1', ", ", "V"),
    ("sort_key", "[x by «» for x in e.xs]", "x + #", ", ", "list<int>"),
]

# A part that is repeated among declarations: the form, the program, the part, what stands between.
DECLARED: list[tuple[str, str, str, str]] = [
    ("program", SCHEMA + HANDLER + "«»", "event X# { a: int }\n", ""),
    ("edition", "proj «»1\nprojection p\n" + SMALL.split("\n", 2)[2], "0", ""),
    ("header", "proj 1\nprojection p«»\n" + SMALL.split("\n", 2)[2], "a", ""),
    ("declaration", SCHEMA + HANDLER + "«»", "event X# { id: string }\non X# as e to e.id => { n: # }\n", ""),
    ("event", SMALL + "event X { «» }\n", "f#: int", ", "),
    ("of", SMALL + "«»", 'event X# of "O#" { a: int }\n', ""),
    ("record", SMALL + "«»", "type T# { a: int }\n", ""),
    ("record", SMALL + "type T { «» }\nevent X { t: T }\n", "f#: int = #", ", "),
    ("record", SMALL.replace("id:", "t: T, id:") + "type T { «» }\n", "f#: int = #", ", "),
    ("alias", SMALL + "«»", "type T# = int\n", ""),
    ("view", SMALL.replace("n: int = 0", "n: int = 0, «»"), "f#: int = #", ", "),
    ("field", SMALL.replace("n: int = 0", "n: int = 0, «»"), "f#: list<int>(5) = []", ", "),
    ("wires", SMALL + "event X { «» }\n", 'f#: int from "a#" | "b#" | "c#"', ", "),
    ("wires", SMALL + "«»", 'event X# from "a#" | "b#" | "c#" { a: int }\n', ""),
    ("default", SMALL.replace("n: int = 0", "n: int = 0, «»"), "f#: int = 1 + #", ", "),
    ("type", SMALL + "event X { «» }\n", "f#: map<string, list<int>(4)>(5)?", ", "),
    ("type_arguments", SMALL + "event X { «» }\n", "f#: list<list<int>>", ", "),
    ("type_sizes", SMALL + "event X { «» }\n", "f#: enum(a, b#, c)", ", "),
    ("type_size", SMALL + "event X { a: enum(«») }\n", "m#", ", "),
    ("type_size", SMALL.replace("n: int = 0", 'c: enum(«») = "m0"').replace("n: 1", 'c: "m1"'), "m#", ", "),
    ("function", SCHEMA + HANDLER + "«»", "fn f#(n: int) -> int = n + #\n", ""),
    ("parameter", SCHEMA + HANDLER + "fn f(«») -> int = a0\n", "a#: int", ", "),
    ("handler", SCHEMA + "«»", 'on E as e to "a#{e.id}" => { n: e.n }\n', ""),
    ("handler", SCHEMA + "«»", 'on E as e to key("a", e.id, #) => { n: e.n }\n', ""),
    ("event_names", SMALL + "«»", 'event X# { id: string(9) }\non A, X# as e to e.id + "#" => keep\n', ""),
    ("any_event", SMALL + "«»", 'on * to "a#" => keep\n', ""),
    ("binding", SCHEMA + "«»", 'on E as e# to "a#{e#.id}" => keep\n', ""),
    ("each", SCHEMA + "«»", 'on E as e for x in e.xs if x > # to "{x}" => keep\n', ""),
    ("target", SCHEMA + "«»", 'on E as e creates "a#{e.id}" => { n: # }\n', ""),
    ("arrow", SCHEMA + "«»", 'on E as e updates "a#{e.id}" => view with { n += # }\n', ""),
    ("arms", SCHEMA + "on E as e updates e.id\n«» else => keep\n", " when e.n == # => view with { n: # }\n", ""),
    ("arm", SCHEMA + "on E as e updates e.id\n«»", " when e.o == none and e.n == # => view\n", ""),
    ("otherwise", SCHEMA + "«»", 'on E as e to "a#{e.id}"\n when e.n == # => keep\n else => { n: e.n }\n', ""),
    ("result", SCHEMA + "on E as e to e.id\n«»", " when e.n == # => { n: #, s: e.s }\n", ""),
    ("keep", SCHEMA + "on E as e to e.id\n«»", " when e.n == # => keep\n", ""),
    ("delete", SCHEMA + "on E as e to e.id\n«»", " when e.n == # => delete\n", ""),
    ("test", SMALL + "«»", 'test "t#" { event A { id: "a" }; expect view("a").n == #; }\n', ""),
    ("given", SMALL + 'test "t" {\n«»}\n', '  event A { id: "a#" };\n', ""),
    ("whose", SMALL + 'test "t" {\n«»}\n', '  event A { id: "a#" } of "O" "a#";\n', ""),
    ("at", SMALL + 'test "t" {\n«»}\n', '  event A { id: "a#" } at "2000-01-31T12:00:00Z";\n', ""),
    ("stored_at", SMALL + 'test "t" {\n«»}\n', '  event A { id: "a#" } stored_at "2000-01-31T12:00:00Z";\n', ""),
    ("subject", SMALL + 'test "t" {\n«»}\n', '  event A { id: "a#" } subject "a.#";\n', ""),
    ("headers", SMALL + 'test "t" {\n«»}\n', '  event A { id: "a#" } headers { "x-a": "b#" };\n', ""),
    ("upcast", SMALL + "«»", "event O# { a: int }\nevent N# { b: int } was O# as o => { b: o.a }\n", ""),
    ("becomes", SMALL + "«»", "event O# { a: int }\nevent N# { b: int } was O# as o => { b: o.a + # }\n", ""),
    (
        "becomes_when",
        SMALL + "event O { a: int }\nevent N { b: int } was O as o\n«» else => { b: 0 }\n",
        " when o.a == # => { b: o.a }\n",
        "",
    ),
    (
        "becomes_else",
        SMALL + "«»",
        "event O# { a: int }\nevent N# { b: int } was O# as o when o.a == # => { b: # } else => { b: o.a }\n",
        "",
    ),
    ("expect", SMALL + 'test "t" {\n«»}\n', '  expect view("a#") == none;\n', ""),
    ("view_of", SMALL + 'test "t" {\n«»}\n', '  expect view("a#").n == 1;\n', ""),
    ("json", SMALL + 'event X { xs: list<int> }\ntest "t" { event X { xs: [«»] }; }\n', "#", ", "),
    ("json_list", SMALL + 'event X { xs: list<list<int>> }\ntest "t" { event X { xs: [«»] }; }\n', "[#]", ", "),
    ("json_object", SMALL + 'event X { m: map<string, int> }\ntest "t" { event X { m: {«»} }; }\n', "a#: #", ", "),
    ("member", SMALL + 'event X { m: map<string, int> }\ntest "t" { event X { m: {«»} }; }\n', '"a#": 1', ", "),
    ("json_value", SMALL + 'event X { xs: list<bool> }\ntest "t" { event X { xs: [«»] }; }\n', "true", ", "),
    ("index", SMALL + "«»", "index by n\n", ""),
    ("index_key", SMALL.replace("n: int = 0", "n: int = 0, m: int = 0") + "«»", "index by n, m desc, n desc\n", ""),
]


def _filled(whole: str, part: str, joint: str) -> Callable[[int], str]:
    return lambda count: whole.replace("«»", joint.join(part.replace("#", str(one)) for one in range(count)))


LONG_INNER = {  # longer than a line: how far the formatter looks ahead is bounded by a line's width
    "e.n": " + ".join(["e.n"] * 25),
    "e.flag": " and ".join(["e.flag"] * 20),
    "e.d": " + ".join(["e.d"] * 25),
    "e.xs": "[" + ", ".join(["...e.xs"] * 16) + "]",
    "e.by": "{" + ", ".join(["...e.by"] * 16) + "}",
}


def _nested(outer: str, inner: str, type_: str) -> Callable[[int], str]:
    def of(depth: int) -> str:
        text = LONG_INNER.get(inner, inner)
        for level in range(depth):
            text = outer.replace("#", str(level)).replace("«»", text)
        return _function(text, type_)

    return of


def families() -> Iterator[Family]:
    """All of them."""
    for form, outer, inner, type_ in NESTED:
        sizes = DEEPER if outer.count("{") > 1 else DEEP
        yield Family(form, f"{form}: {outer}", _nested(outer, inner, type_), sizes)
    for form, whole, part, joint, type_ in REPEATED:
        yield Family(form, f"{form}: {part}", _filled(_function(whole, type_), part, joint), WIDE)
    for form, whole, part, joint in DECLARED:
        name = f"{form}: {' '.join(part.split())}"
        yield Family(form, name, _filled(whole, part, joint), FEW if part.startswith("index") else LONG)
