"""The tables of the documentation that come from the code: names, types, defaults, costs, codes.

A column that only people can write, such as what a setting is for, stands in the page and is kept.
"""

from __future__ import annotations

import inspect
import re
from functools import partial
from pathlib import Path
from types import NoneType
from typing import TYPE_CHECKING, Annotated, Any, Literal, NamedTuple, get_args, get_origin

import annotated_types
import click
from docs_faults import FAULTS, faults
from docs_pages import CHECKOUT, table, with_table
from docs_python import exports
from msgspec import Meta, structs
from pydantic import BaseModel, SecretStr

from benchmarks.faults import ROWS
from projection.cli.main import app
from projection.lang import diagnostics, reporting, types
from projection.lang.check import checker, comprehensions, depths, schema, work
from projection.lang.check.expressions import KEYWORDS
from projection.lang.cost import abstract, costs
from projection.lang.library import BUILTINS, OPERATORS
from projection.lang.program import Limits
from projection.lang.syntax import expression_trees, parser
from projection.model.manifest import Limits as ManifestLimits
from projection.model.manifest import _File, _FileView
from projection.model.setting_sources import _leaves, _variable
from projection.model.settings import Settings
from projection.ops import metric_declarations
from projection.ops.http.problems import KINDS
from projection.query.comparisons import operators_of

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from projection.lang.operations import Operation
    from projection.ops.metric_declarations import Metric

Row = tuple[str, ...]


class Table(NamedTuple):
    """A table of a page; columns of the head that `rows` do not fill are the page's own."""

    page: Path
    name: str
    head: Row
    rows: Callable[[], list[Row]]

    def written(self) -> list[Row]:
        """The rows as they should stand in the page: ours, then the page's own columns, found by the first one."""
        width = len(self.head)
        kept = {row[0]: row for row in table(self.page, self.name)}
        return [(*row, *kept.get(row[0], ("",) * width)[len(row) :]) for row in self.rows()]

    def write(self) -> None:
        """Bring the page up to date."""
        self.page.write_text(with_table(self.page, self.name, self.head, self.written()))


# --- the language ----------------------------------------------------------------------------------------------------


def _example(operation: Operation) -> str:
    return "; ".join(f"`{expression}` → `{value}`" for expression, value in operation.examples)


def builtins() -> list[Row]:
    """Every builtin, by name."""
    return [
        (f"`{name}`", f"`{one.signature}`", one.doc, _example(one), str(one.gas))
        for name in sorted(BUILTINS)
        for one in BUILTINS[name]
    ]


def operators() -> list[Row]:
    """Every operator that a program writes."""
    symbols: dict[tuple[str, str], list[str]] = {}
    for symbol, overloads in OPERATORS.items():
        for one in overloads:
            written = "-" if symbol == "negative" else symbol
            symbols.setdefault((f"`{one.signature}`", str(one.gas)), []).append(f"`{written}`")
    return [(" ".join(names), signature, gas) for (signature, gas), names in symbols.items()]


def prices() -> list[Row]:
    """What costs gas besides operations."""
    return [
        ("a variable", f"{costs.LOCAL}"),
        ("`let`", f"{costs.LET}"),
        ("a field", f"{costs.FIELD}"),
        ("`if`, `and`, `or`, `??`, an arm, a case", f"{costs.BRANCH}"),
        ("a call of a `fn`", f"{costs.CALL} + {costs.CALL_ARGUMENT} an argument"),
        ("a record", f"{costs.RECORD} + {costs.RECORD_FIELD} a field"),
        ("`with`", f"{costs.UPDATE} + {costs.UPDATE_FIELD} a field changed + a quarter of the fields"),
        ("`for`", f"{costs.LOOP} + {costs.LOOP_ITEM} an item"),
        ("an event", f"{costs.EVENT} + 1 a byte of its payload"),
        ("reading a view, and writing one that has changed", _view_price()),
    ]


def _view_price() -> str:
    large = f"{costs.SMALL_VIEW:,} bytes"
    return f"{costs.VIEW} + 1 a declared field; where it can be larger than {large}, 1 for every {1 << costs.VIEW_SHIFT} bytes besides"


def limits() -> list[Row]:
    """Every limit of programs and values."""
    limit = Limits()
    return [
        ("source", f"{parser.MAX_SOURCE_BYTES:,} bytes", "P107"),
        ("brackets inside one another", f"{parser.MAX_BRACKETS}", "P104"),
        ("nesting of expressions", f"{expression_trees.MAX_DEPTH}", "P104"),
        ("operands of one chain, as `a + b + …`", f"{expression_trees.MAX_OPERANDS}", "P104"),
        ("levels that one computation nests, calls included", f"{depths.MAX_DEPTH}", "T317"),
        ("`for` inside one another", f"{comprehensions.MAX_LOOPS}", "T319"),
        ("functions", f"{checker.MAX_FUNCTIONS}", "S410"),
        ("indexes", f"{schema.MAX_INDEXES}, of {schema.MAX_INDEX_KEYS} keys each", "S414"),
        ("fields of one record", f"{schema.MAX_FIELDS}", "S415"),
        ("members of one enum", f"{schema.MAX_MEMBERS}", "S415"),
        ("names of one event or field on the wire", f"{schema.MAX_WIRES}", "S415"),
        ("errors of one program", f"{reporting.MAX_PROBLEMS}", "P116"),
        ("steps of checking: one an expression, and again where a type is sought", f"{work.MAX_STEPS:,}", "P117"),
        ("steps of bounding what handlers cost", f"{abstract.MAX_STEPS:,}", "G503"),
        ("records, lists and maps inside one another", f"{types.MAX_DEPTH}", "S411"),
        ("gas for each event and view id", f"{limit.gas:,}", "O901"),
        ("gas for the routes of one event", f"{limit.route_gas:,}", "O901"),
        ("memory for each event and view id", f"{limit.alloc:,} units", "O902"),
        ("view ids of one event", f"{limit.ids_per_event}", "R709"),
        ("a view's JSON", f"{limit.view_bytes:,} bytes", "R712"),
        ("a string", f"{types.DEFAULT_STRING:,} code points", "D105, R711"),
        ("a list or a map", f"{types.DEFAULT_CONTAINER:,} items", "D105, R711"),
        ("a decimal", f"38 digits; `decimal(n)` keeps at most {types.MAX_SCALE} behind the point", "D105, R702"),
        ("an int", "64 bits, signed", "D105, R701"),
    ]


# --- codes -----------------------------------------------------------------------------------------------------------


def all_codes() -> set[str]:
    """Every code that stands in the package as a text."""
    return {
        code
        for path in (CHECKOUT / "projection").rglob("*.py")
        for code in re.findall(r'"([A-Z]\d{3})"', path.read_text())
    }


def checked_codes() -> list[Row]:
    """The codes of the checker, with the sentences of their constructors."""
    found = []
    for function in _functions(diagnostics):
        if match := re.match(r"([A-Z]\d{3}): (.+)", inspect.getdoc(function) or ""):
            found.append((f"`{match[1]}`", match[2][0].upper() + match[2][1:]))
    return sorted(found)


def lints() -> list[Row]:
    """The codes of warnings about what is probably not meant."""
    return [row for row in checked_codes() if row[0].startswith("`L")]


def running_codes() -> list[Row]:
    """The codes that a running program, an event or an order of events can have; what they mean is the page's own."""
    checked = {code.strip("`") for code, _ in checked_codes()} | {
        "P100",
        "R700",
    }  # defaults that nothing is raised with
    return [(f"`{code}`",) for code in sorted(all_codes() - checked, key=lambda code: ("DROP".index(code[0]), code))]


def _functions(module: Any) -> Iterable[Any]:
    return (one for _, one in inspect.getmembers(module, inspect.isfunction) if one.__module__ == module.__name__)


def problems() -> list[Row]:
    """The codes of what is told over HTTP, with their statuses and titles; what to do is the page's own."""
    return [(f"`{code}`", str(kind.status), kind.title) for code, kind in sorted(KINDS.items())]


# --- settings and manifest -------------------------------------------------------------------------------------------


def settings() -> list[Row]:
    """Every setting with its type, its default and its variable."""
    rows = []
    for path in _leaves(Settings, ()):
        model: Any = Settings
        for step in path[:-1]:
            model = model.model_fields[str(step)].annotation
        field = model.model_fields[str(path[-1])]
        name = ".".join(map(str, path))
        rows.append(
            (f"`{name}`", _type(field.annotation, field.metadata), _default(field.default), f"`{_variable(path)}`")
        )
    return rows


def manifest() -> list[Row]:
    """Every field of a manifest with its type and its default."""
    rows = list[Row]()
    for place, model in (("", _File), ("views.NAME.", _FileView), ("views.NAME.limits.", ManifestLimits)):
        for field in structs.fields(model):
            name = field.name
            if (place, name) == ("", "views"):
                kind, default = "a mapping, one entry or more", "required"
            elif (place, name) == ("", "events"):
                kind, default = "a mapping", "none"
            elif name in ("start", "limits") and place == "views.NAME.":
                kind, default = (
                    ("see below" if name == "start" else "a mapping"),
                    "first" if name == "start" else "none",
                )
            else:
                kind = _type(field.type)
                default = "required" if field.required else _default(field.default)
            rows.append((f"`{place}{name}`", kind, default))
    return rows


def _type(annotation: Any, metadata: Iterable[Any] = ()) -> str:
    arguments = [argument for argument in get_args(annotation) if argument is not NoneType]
    if get_origin(annotation) is Annotated:
        return _type(arguments[0], (*arguments[1:], *metadata))
    if get_origin(annotation) is Literal:
        return " or ".join(f"`{argument}`" for argument in arguments)
    if get_origin(annotation) is tuple:
        return "a list of strings"
    if arguments:
        return _type(arguments[0], metadata)
    bounds = {type(one): one for one in _flat(metadata)}
    if annotation is int:
        least, most = (bounds.get(kind, bounds.get(Meta)) for kind in (annotated_types.Ge, annotated_types.Le))
        return "a number" + (f", {least.ge:,} to {most.le:,}" if least and most else "")
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        return "a mapping"
    if members := getattr(annotation, "__members__", None):
        return ", ".join(f"`{member.value}`" for member in members.values())
    return {bool: "true or false", Path: "a path", SecretStr: "a string, secret"}.get(annotation, "a string")


def _flat(metadata: Iterable[Any]) -> Iterable[Any]:
    for one in metadata:
        yield from _flat(one.metadata) if hasattr(one, "metadata") else [one]


def _default(value: Any) -> str:
    if value is None or value == ():
        return "none"
    if value == "":
        return "empty"
    return f"`{value:,}`" if type(value) is int else f"`{str(value).lower() if isinstance(value, bool) else value}`"


# --- queries ---------------------------------------------------------------------------------------------------------

UQF_TYPES: dict[str, types.Type] = {
    "a string, an enum": types.TEXT,
    "an int, a decimal, a date, a timestamp, a duration, bytes": types.INT,
    "a bool": types.BOOL,
    "json": types.JSON,
    "a list or set of single values": types.List(types.TEXT),
    "a map": types.Map(types.TEXT, types.INT),
    "a record, a list of other things": types.List(types.META),
}


def query_operators() -> list[Row]:
    """What each kind of value can be asked."""
    return [(what, ", ".join(f"`{op}`" for op in operators_of(type_))) for what, type_ in UQF_TYPES.items()]


# --- commands --------------------------------------------------------------------------------------------------------


def command_parameters() -> dict[str, list[str]]:
    """The arguments and options of every command, as its help names them."""
    return dict(_parameters_of(app, ""))


def _parameters_of(group: Any, before: str) -> Iterable[tuple[str, list[str]]]:
    """Those of a group's commands, with the words before their names."""
    context = click.Context(group)
    for name in group.list_commands(context):
        command = group.get_command(context, name)
        if isinstance(command, click.Group):
            yield from _parameters_of(command, f"{before}{name} ")
            continue
        yield (
            f"{before}{name}",
            [
                one.opts[0] if one.param_type_name == "option" else (one.metavar or one.name).strip("[].").upper()
                for one in command.params
                if one.name != "help"
            ],
        )


OUTAGES = CHECKOUT / "docs/outages.md"
_LANGUAGE, _ERRORS = CHECKOUT / "docs/language.md", CHECKOUT / "docs/errors.md"


def reserved_words() -> list[Row]:
    """Words that mean something already, and what a program cannot give such a name."""

    def listed(names: Iterable[str]) -> str:
        return " ".join(f"`{name}`" for name in sorted(names))

    return [
        (
            "words of the grammar",
            listed(KEYWORDS),
            "a variable, a parameter or a function; a field may have such a name",
        ),
        ("types of the language", listed(schema._NAMES), "a type, an event or the view"),
    ]


# --- what is measured ------------------------------------------------------------------------------------------------


def outages() -> list[Row]:
    """Every fault that benchmarks/faults.py has, and its bound."""
    return [(one.fault, f"{one.bound:,g} {one.unit}", one.follows) for one in ROWS]


# --- metrics ---------------------------------------------------------------------------------------------------------


def metrics(group: tuple[Metric, ...]) -> list[Row]:
    """The metrics of one group, by the names that one queries by."""
    return [
        (f"`{one.sample}`", one.kind.value, ", ".join(f"`{label}`" for label in one.labels), one.help) for one in group
    ]


METRICS = CHECKOUT / "docs/metrics.md"
_METRIC_GROUPS = {
    "node": metric_declarations.NODE,
    "build": metric_declarations.BUILDS,
    "store": metric_declarations.STORES,
    "query": metric_declarations.QUERIES,
    "operation": metric_declarations.WORK,
    "sink": metric_declarations.SINK,
    "process": metric_declarations.PROCESS,
}


TABLES = [
    Table(_LANGUAGE, "words", ("there are", "words", "what cannot be called so"), reserved_words),
    Table(_LANGUAGE, "builtins", ("name", "takes → yields", "what it yields", "examples", "gas"), builtins),
    Table(_LANGUAGE, "operators", ("operator", "takes → yields", "gas"), operators),
    Table(_LANGUAGE, "prices", ("what", "gas"), prices),
    Table(_LANGUAGE, "limits", ("of", "limit", "beyond it"), limits),
    Table(_LANGUAGE, "lints", ("code", "what is wrong"), lints),
    Table(_ERRORS, "checked", ("code", "what is wrong"), checked_codes),
    Table(_ERRORS, "running", ("code", "what happened", "what to do"), running_codes),
    Table(CHECKOUT / "docs/http.md", "problems", ("code", "status", "title", "what to do"), problems),
    Table(CHECKOUT / "docs/settings.md", "settings", ("setting", "type", "default", "variable", "meaning"), settings),
    Table(CHECKOUT / "docs/query.md", "query operators", ("there is", "`op`"), query_operators),
    Table(
        OUTAGES,
        "outages",
        ("what happens", "at most", "which follows from", "seen", "meanwhile", "afterwards"),
        outages,
    ),
    Table(FAULTS, "faults", ("the fault", "who finds it", "what it says"), faults),
    Table(CHECKOUT / "docs/python.md", "exports", ("name", "import from", "signature", "what it is"), exports),
    Table(CHECKOUT / "docs/manifest.md", "fields", ("field", "type", "default", "meaning"), manifest),
    *(
        Table(METRICS, f"{name} metrics", ("metric", "type", "labels", "what it says"), partial(metrics, group))
        for name, group in _METRIC_GROUPS.items()
    ),
]
