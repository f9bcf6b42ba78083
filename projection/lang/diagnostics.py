"""Every diagnostic of the language: one code, one constructor, in this one file; codes are never reused.

P1 syntax · N2 names · T3 types · S4 schema · G5 cost · L6 lint · C8 compatibility. What an executor raises, R7 and O9,
stands in `failures`.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from msgspec.structs import replace

from projection.lang import habits
from projection.lang.reporting import Diagnostic, closest
from projection.lang.source import Span

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence


_MAX_FORMS = 6  # of an operation that a message lists


def _guessing(problem: Diagnostic, name: str, candidates: Iterable[str]) -> Diagnostic:
    """The same with what was probably meant, which can be put there where the name alone is underlined, or quoted."""
    if (found := closest(name, candidates)) is None:
        return problem
    put = {len(name): found, len(name) + 2: f'"{found}"'}.get(problem.span.end - problem.span.start)
    return replace(problem, label=f"did you mean `{found}`?", fix=None if put is None else (problem.span, put))


def _listed(names: Iterable[str]) -> str:
    return _begun(sorted(names))


def _begun(names: Sequence[str]) -> str:
    return ", ".join(names[:12]) + (", …" if len(names) > 12 else "")


# --- P1 syntax -------------------------------------------------------------------------------------------------------


def unexpected(span: Span, found: str, expected: Sequence[str]) -> Diagnostic:
    """P101: a token that cannot stand here."""
    wanted = " or ".join(expected) if len(expected) <= 4 else ", ".join(expected[:8]) + ", …"
    return Diagnostic("P101", f"{found} cannot stand here", span, help=f"expected {wanted}" if wanted else "")


def unfinished(span: Span, expected: Sequence[str]) -> Diagnostic:
    """P101: a declaration that ends too soon."""
    return replace(unexpected(span, "", expected), message="the declaration is not finished")


def unknown_character(span: Span, character: str) -> Diagnostic:
    """P102: a character that cannot begin anything."""
    return Diagnostic("P102", f"{character!r} is not part of the language", span)


def unterminated_string(span: Span) -> Diagnostic:
    """P103: a string without its closing quote."""
    return Diagnostic("P103", "this string is not closed on its line", span, help='close it with "')


def nested_too_deeply(span: Span, limit: int) -> Diagnostic:
    """P104: more nesting than is allowed."""
    return Diagnostic(
        "P104", f"this is nested more than {limit} levels deep", span, help="name a part with `let` or `fn`"
    )


def bad_escape(span: Span, found: str) -> Diagnostic:
    """P105: an escape that means nothing."""
    return Diagnostic("P105", f"{found} is not an escape", span, help=r"the escapes are \" \\ \n \t \{ \} \u{…}")


def bad_interpolation(span: Span, why: str, help_: str = r"write {expression}, or \{ for a brace") -> Diagnostic:
    """P106: `{…}` in a string that holds no expression."""
    return Diagnostic("P106", f"{why} in a string", span, help=help_)


def source_too_large(limit: int) -> Diagnostic:
    """P107: a program beyond the limit."""
    return Diagnostic("P107", f"the program is larger than {limit} bytes", Span(0, 1))


def wrong_edition(span: Span, found: int | None) -> Diagnostic:
    """P108: no edition, or an unknown one."""
    what = "the program does not say its edition" if found is None else f"edition {found} is not known"
    return Diagnostic("P108", what, span, help="begin the file with `proj 1`")


def no_projection_name(span: Span) -> Diagnostic:
    """P109: the second line is missing."""
    return Diagnostic("P109", "the program has no name", span, help="write `projection NAME` after the edition")


def not_utf8(offset: int) -> Diagnostic:
    """P110: a file that is not UTF-8."""
    return Diagnostic("P110", f"the file is not UTF-8 (byte {offset})", Span(0, 1))


def duration_too_long(span: Span) -> Diagnostic:
    """P111: a duration that is too long."""
    return Diagnostic("P111", "this duration is too long", span, help="the longest is 106751991d")


def foreign(span: Span, found: str, here: str | None, *, help_: str = "", length: int | None = None) -> Diagnostic:
    """P112: syntax of other languages.

    `here` is what to write instead of its first `length` characters, by default all of them; None where no text put
    there would mend it, and `help_` says what to do.
    """
    message = f"{found} is not part of the language"
    if here is None:
        return Diagnostic("P112", message, span, help=help_)
    help_ = f"write `{here.strip()}`" if here else "leave it out: a function is one expression"
    part = span if length is None else Span(span.start, span.start + length)
    return Diagnostic("P112", message, part, help=help_, fix=(part, here))


def missing_sign(span: Span, sign: str, fix: tuple[Span, str]) -> Diagnostic:
    """P113: a missing separator between two things."""
    return Diagnostic("P113", f"a `{sign}` is missing after this", span, fix=fix)


def if_without_else(span: Span) -> Diagnostic:
    """P114: an `if` that would have no value if its condition is false."""
    return Diagnostic("P114", "this `if` has no `else`", span, help="every `if` yields a value: add `else …`")


def no_division(span: Span, sign: str) -> Diagnostic:
    """P115: a division that would not say how it rounds."""
    help_ = "write `rem(x, y)`" if sign == "%" else "write `div(x, y)` of ints, `div(x, y, SCALE, MODE)` of decimals"
    return Diagnostic("P115", f"there is no `{sign}`", span, help=help_)


def too_many_problems(span: Span, limit: int) -> Diagnostic:
    """P116: so many errors that the rest is not checked."""
    return Diagnostic(
        "P116", f"there are more than {limit} errors; what follows is not checked", span, help="correct the first ones"
    )


def too_much_to_check(span: Span, limit: int) -> Diagnostic:
    """P117: a program that takes too many steps to check."""
    return Diagnostic(
        "P117",
        f"checking this program takes more than {limit:,} steps",
        span,
        help="split it: nest fewer `fold` whose types have to be found, and name their types with `let x: TYPE`",
    )


def not_inside_text(span: Span, what: str) -> Diagnostic:
    """P119: a string or a comment in the `{…}` of a string."""
    help_ = "name it before: `let x = …;`, and write {x}" if what == "a text" else "write it after the string"
    return Diagnostic("P119", f"{what} cannot be inside the {{…}} of a string", span, help=help_)


# --- N2 names --------------------------------------------------------------------------------------------------------


def unknown_name(span: Span, name: str, scope: Iterable[str]) -> Diagnostic:
    """N201: a variable that does not exist; P112 if another language has it."""
    names = list(scope)
    if name in habits.NAMES:
        return foreign(span, f"`{name}`", habits.NAMES[name])
    if name in habits.NAME_HINTS:
        return Diagnostic("N201", f"no variable `{name}` here", span, help=habits.NAME_HINTS[name])
    problem = Diagnostic("N201", f"no variable `{name}` here", span, help=f"in scope: {_listed(names)}")
    return _guessing(problem, name, names)


def already_declared(span: Span, name: str, line: int | None, first: Span | None) -> Diagnostic:
    """N202: two declarations of one name; without a line and a place, the first one is builtin."""
    where = "by the language" if line is None else f"in line {line}"
    related = ((first, "first here"),) if first is not None else ()
    return Diagnostic("N202", f"`{name}` is declared already, {where}", span, related=related)


def shadowed(span: Span, name: str, first: Span) -> Diagnostic:
    """N203: a variable that hides another."""
    related = ((first, "declared here"),) if first.end else ()  # the language's own stand nowhere
    message, help_ = f"`{name}` is a variable here already", "give one of them another name"
    return Diagnostic("N203", message, span, help=help_, related=related)


def unknown_field(span: Span, field: str, owner: str, fields: Iterable[str], line: int | None) -> Diagnostic:
    """N204: a field that was not declared."""
    names = list(fields)
    where = f" (line {line})" if line else ""
    declared = f"{owner.rsplit(maxsplit=1)[-1]} declares {_listed(names)}{where}" if names else ""
    return _guessing(Diagnostic("N204", f"no field `{field}` in {owner}", span, help=declared), field, names)


def unknown_type(span: Span, name: str, types: Iterable[str]) -> Diagnostic:
    """N205: a type that does not exist; P112 if another language has it."""
    names = list(types)
    if name in habits.TYPES:
        return foreign(span, f"`{name}`", habits.TYPES[name], length=len(name))
    if name in habits.TYPE_HINTS:
        return Diagnostic("N205", f"no type `{name}`", span, help=habits.TYPE_HINTS[name])
    problem = Diagnostic("N205", f"no type `{name}`", span, help=f"the types are {_listed(names)}")
    return _guessing(problem, name, names)


def unknown_function(span: Span, name: str, functions: Iterable[str]) -> Diagnostic:
    """N206: a function that neither the program nor the library has; P112 if another language has it."""
    if name in habits.FUNCTIONS:
        return foreign(span, f"`{name}`", habits.FUNCTIONS[name], length=len(name))
    if name in habits.FUNCTION_HINTS:
        return Diagnostic("N206", f"no function `{name}`", span, help=habits.FUNCTION_HINTS[name])
    return _guessing(Diagnostic("N206", f"no function `{name}`", span), name, functions)


def unknown_event(span: Span, name: str, events: Iterable[str]) -> Diagnostic:
    """N207: a handler for an event that was not declared."""
    names = list(events)
    problem = Diagnostic("N207", f"no event `{name}` is declared", span, help=f"declared: {_listed(names)}")
    return _guessing(problem, name, names)


def keyword_as_variable(span: Span, name: str) -> Diagnostic:
    """N208: a keyword may be a field's name, never a variable's."""
    return Diagnostic("N208", f"`{name}` is a keyword and cannot name a variable", span)


def recursive_function(span: Span, cycle: Sequence[str]) -> Diagnostic:
    """N209: functions may not call themselves, directly or indirectly."""
    return Diagnostic(
        "N209", f"`{cycle[0]}` calls itself: {' → '.join(cycle)}", span, help="iterate with `for` instead"
    )


def view_not_here(span: Span, why: str) -> Diagnostic:
    """N210: `view` where there is none."""
    return Diagnostic("N210", f"there is no `view` {why}", span)


def result_as_value(span: Span, name: str) -> Diagnostic:
    """N211: `keep` or `delete` where a value is needed."""
    help_ = f"write an arm of its own: `when … => {name}`"
    return Diagnostic("N211", f"`{name}` is a result of a handler or an arm, not a value", span, help=help_)


# --- T3 types --------------------------------------------------------------------------------------------------------


def mismatch(span: Span, found: str, wanted: str, place: str = "") -> Diagnostic:
    """T301: a value that does not fit its place."""
    return Diagnostic("T301", f"{found} does not fit {place + ', which is ' if place else ''}{wanted}", span)


def wrong_operands(span: Span, operator: str, types: Sequence[str], taken: Sequence[str]) -> Diagnostic:
    """T302: an operator or a builtin that does not take such values.

    `taken` is what each of its forms takes.
    """
    what = f"does not take {' and '.join(types)}" if types else "needs arguments"
    forms = list(dict.fromkeys(f"({one})" for one in taken))
    more = f" and {len(forms) - _MAX_FORMS} more" if len(forms) > _MAX_FORMS else ""
    return Diagnostic("T302", f"`{operator}` {what}", span, help=f"it takes {' or '.join(forms[:_MAX_FORMS])}{more}")


def branches_disagree(span: Span, first: str, second: str, which: str) -> Diagnostic:
    """T303: branches that yield different types."""
    return Diagnostic("T303", f"the branches disagree: {first}, but {which} {second}", span)


def maybe_none(span: Span, what: str, found: str, way_on: str = "") -> Diagnostic:
    """T304: an optional value where a required one is needed."""
    hint = f"{way_on}test it with `!= none`, give a default with `??`, or assert it with `!`"
    return Diagnostic("T304", f"{what} may be none (it is {found})", span, help=hint)


def scale_unknown(span: Span, found: str, wanted: str) -> Diagnostic:
    """T305: a decimal whose digits might be lost."""
    return Diagnostic(
        "T305", f"{found} may have more digits than {wanted}", span, help="round it: `round(x, SCALE, MODE)`"
    )


def missing_fields(span: Span, owner: str, fields: Sequence[str]) -> Diagnostic:
    """T306: a record literal without a field that has no default."""
    return Diagnostic("T306", f"{owner} needs {_listed(f'`{name}`' for name in fields)}", span)


def wrong_argument_count(span: Span, name: str, wanted: str, found: int) -> Diagnostic:
    """T307: too many arguments, or too few."""
    return Diagnostic("T307", f"`{name}` takes {wanted}, not {found}", span)


def not_a_member(span: Span, text: str, members: Sequence[str]) -> Diagnostic:
    """T308: a string that an enum does not have."""
    problem = Diagnostic("T308", f'"{text}" is not a value of this enum', span, help=f"it has {_begun(members)}")
    return _guessing(problem, text, members)


def incomparable(span: Span, left: str, right: str, help_: str = "") -> Diagnostic:
    """T309: a comparison that could only ever be false."""
    return Diagnostic("T309", f"{left} and {right} cannot be compared", span, help=help_)


def match_not_exhaustive(span: Span, missing: Sequence[str]) -> Diagnostic:
    """T310: a `match` that does not cover everything."""
    return Diagnostic("T310", f"the match does not cover {_listed(missing)}", span, help="add the cases, or `_ => …`")


def not_iterable(span: Span, found: str) -> Diagnostic:
    """T311: `for` over something that is neither a list nor a map."""
    return Diagnostic("T311", f"`for` cannot iterate over {found}", span)


def needs_place(span: Span, what: str) -> Diagnostic:
    """T312: a literal whose type is not known from its context."""
    return Diagnostic("T312", f"the type of {what} is not known here", span, help="name it: `let x: TYPE = …`")


def not_text(span: Span, found: str) -> Diagnostic:
    """T313: something that cannot be put into a string."""
    return Diagnostic("T313", f"{found} cannot be put into a string", span, help="only present, single values can")


def given_twice(span: Span, what: str) -> Diagnostic:
    """T314: a field twice in one literal, or overlapping paths in one `with`."""
    return Diagnostic("T314", f"{what} is given twice", span)


def unreachable_case(span: Span) -> Diagnostic:
    """T315: a case or arm after one that matches everything."""
    return Diagnostic("T315", "this is never reached", span, help="an earlier one matches everything")


def unreachable_arm(span: Span, why: str) -> Diagnostic:
    """T326: an arm that no view can reach."""
    return Diagnostic("T326", f"this is never reached: {why}", span)


def not_a_record(span: Span, found: str, help_: str = "") -> Diagnostic:
    """T316: a field or a `with` of something without fields."""
    return Diagnostic("T316", f"{found} has no fields", span, help=help_)


def too_deep_a_computation(span: Span, name: str, depth: int, limit: int) -> Diagnostic:
    """T317: calls that nest too deep."""
    return Diagnostic(
        "T317", f"`{name}` computes {depth} levels deep, {limit} are allowed", span, help="split it with `let`"
    )


def binder_not_alone(span: Span, name: str) -> Diagnostic:
    """T318: a name among other patterns, which would be bound in only one of them."""
    return Diagnostic("T318", f"`{name}` matches every value, so it cannot be combined with other patterns", span)


def loops_too_deep(span: Span, limit: int) -> Diagnostic:
    """T319: comprehensions that nest too deep."""
    return Diagnostic("T319", f"more than {limit} `for` are nested", span, help="put the inner one into a function")


def never_none(span: Span, what: str, found: str, needless: Span) -> Diagnostic:
    """T320: `!` or `??` where nothing can be none."""
    return Diagnostic("T320", f"`{what}` is never none (it is {found})", span, help="remove this", fix=(needless, ""))


def payload_misfit(span: Span, event: str, why: str) -> Diagnostic:
    """T321: a test's event that the program would reject."""
    return Diagnostic("T321", f"this does not fit {event}: {why}", span)


def bad_timestamp(span: Span, text: str) -> Diagnostic:
    """T322: a test's event without a valid time."""
    return Diagnostic("T322", f"{text!r} is not a timestamp", span, help='write "2000-01-31T12:00:00Z", with an offset')


def no_sorting(span: Span, name: str) -> Diagnostic:
    """T323: keys for an aggregate whose result does not depend on order."""
    return Diagnostic("T323", f"`{name}` takes no `by`", span, help="`min`, `max`, `first` and `group` do")


def group_key(span: Span) -> Diagnostic:
    """T324: `group` without its key."""
    return Diagnostic("T324", "`group` needs one key", span, help="write `group(x by x.key for x in xs)`")


def bad_header(span: Span, why: str, help_: str) -> Diagnostic:
    """T327: a header that is not read by its name, or that no program can read."""
    return Diagnostic("T327", why, span, help=help_)


def no_such_presence(span: Span, why: str) -> Diagnostic:
    """T325: `has` of something that no event has, or that every event has."""
    return Diagnostic("T325", f"`has` asks whether an event gave a field: {why}", span, help="write `has(e.field)`")


def ungrouped_coalesce(span: Span, sign: str, ways: Sequence[str], fix: tuple[Span, str] | None = None) -> Diagnostic:
    """T330: `??` next to another operator, without parentheses that group them."""
    help_ = f"write {' or '.join(f'`{way}`' for way in ways)}"
    return Diagnostic("T330", f"`??` beside `{sign}` needs parentheses", span, help=help_, fix=fix)


# --- S4 schema -------------------------------------------------------------------------------------------------------


def no_view(span: Span) -> Diagnostic:
    """S401: a program must declare one view."""
    return Diagnostic("S401", "the program declares no view", span, help="declare one: `view Name { … }`")


def second_view(span: Span) -> Diagnostic:
    """S402: a program has one view type."""
    return Diagnostic("S402", "a program has one view", span, help="put the other one into a separate program")


def default_not_constant(span: Span) -> Diagnostic:
    """S403: a default that would have to be computed."""
    return Diagnostic("S403", "a default is a constant", span)


def optional_with_default(span: Span, name: str) -> Diagnostic:
    """S404: `f?: T = d` says two things at once."""
    return Diagnostic(
        "S404", f"`{name}` is optional and has a default", span, help="drop the `?`: a default fills an absent field"
    )


def bad_type(span: Span, why: str) -> Diagnostic:
    """S405: a type with arguments that it does not take."""
    return Diagnostic("S405", why, span)


def same_route_twice(span: Span, event: str, line: int, first: Span) -> Diagnostic:
    """S406: two handlers of one event that touch the same view."""
    return Diagnostic(
        "S406", f"{event} is routed to the same view in line {line} already", span, help="use one `on` with arms",
        related=((first, "first here"),),
    )  # fmt: skip


def no_handlers(span: Span) -> Diagnostic:
    """S407: a program that reacts to nothing."""
    return Diagnostic("S407", "the program has no handler", span, help="add one: `on Event as e to e.id => …`")


def wire_taken(span: Span, wire: str, line: int) -> Diagnostic:
    """S408: two events, or two fields, that read the same wire name."""
    return Diagnostic("S408", f'"{wire}" is read already, in line {line}', span)


def unreadable_wire(span: Span, wire: str) -> Diagnostic:
    """S413: a wire name of a field with a quote, a backslash or a control character, which is not allowed."""
    return Diagnostic(
        "S413", f"no field can be read from {wire!r}: it has a quote, a backslash or a control character", span
    )


def recursive_type(span: Span, cycle: Sequence[str]) -> Diagnostic:
    """S409: a type that contains itself."""
    return Diagnostic("S409", f"`{cycle[0]}` contains itself: {' → '.join(cycle)}", span)


def types_too_deep(span: Span, limit: int) -> Diagnostic:
    """S411: values that nest too deep."""
    return Diagnostic("S411", f"values of this type are more than {limit} levels deep", span)


def too_many_functions(span: Span, limit: int) -> Diagnostic:
    """S410: more functions than a program may have."""
    return Diagnostic("S410", f"the program has more than {limit} functions", span)


def manifest_invalid(span: Span, why: str) -> Diagnostic:
    """S480: a manifest, or a scenario, with a value that is not allowed; the place is in that file."""
    return Diagnostic("S480", why, span)


def too_many_indexes(span: Span, what: str, found: int, limit: int) -> Diagnostic:
    """S414: more indexes than a view may have, or more keys than an index may have."""
    help_ = "each is updated with every change of a view: keep those that queries sort and filter by"
    return Diagnostic("S414", f"there are {found} {what}, and {limit} are allowed", span, help=help_)


def too_many_parts(span: Span, what: str, found: int, limit: int) -> Diagnostic:
    """S415: more fields, members of an enum or names on the wire than a declaration may have."""
    return Diagnostic("S415", f"there are {found} {what}, and {limit} are allowed", span)


def event_was_itself(span: Span, cycle: Sequence[str]) -> Diagnostic:
    """S416: an event that is an old form of itself."""
    return Diagnostic("S416", f"an event cannot be an old form of itself: {' was '.join(cycle)}", span)


def handler_of_old_form(span: Span, old: str, event: str) -> Diagnostic:
    """S417: a handler of an event that is converted to another one before handlers see it."""
    message = f"no handler sees `{old}`: it becomes `{event}`"
    return Diagnostic("S417", message, span, help=f"write `on {event}`")


def old_form_twice(span: Span, event: str, old: str) -> Diagnostic:
    """S418: two ways to convert one old form to an event."""
    message = f"`{event}` has two `was` clauses for `{old}`"
    return Diagnostic("S418", message, span, help="give one `was` several arms: `when … => … else => …`")


def route_against_partitions(span: Span, route: str, why: str) -> Diagnostic:
    """S412: a route under which events of one view would fall into several partitions."""
    help_ = "use `partition_by: view` or `tenant`, or put `meta.aggregate_id` into the id: `key(meta.aggregate_id, …)`"
    return Diagnostic("S412", f"no `partition_by: subject`: `{route}` {why}", span, help=help_)


# --- G5 cost ---------------------------------------------------------------------------------------------------------


def always_beyond_limit(span: Span, event: str, ledger: str, least: int, limit: int) -> Diagnostic:
    """G501: a handler that always exceeds a limit."""
    message = f"on {event}: at least {least:,} `{ledger}` are needed, and {limit:,} are allowed"
    help_ = "build smaller values" if ledger == "alloc" else f"compute less, or raise `{ledger}` in the manifest"
    return Diagnostic("G501", message, span, help=help_)


def may_go_beyond_limit(
    span: Span, event: str, ledger: str, most: str, limit: int, terms: Sequence[str], declared: Sequence[Span]
) -> Diagnostic:
    """G502: a handler that may exceed a limit; a warning, with the largest terms of the sum."""
    message = f"on {event}: up to {most} `{ledger}` may be needed, and {limit:,} are allowed"
    help_ = "the largest parts: " + "; ".join(terms) + "; to accept it, write `# accept G502` above the handler"
    related = tuple((field, "a smaller bound here lowers it") for field in declared)
    return Diagnostic("G502", message, span, help=help_, severity="warning", related=related)


def too_much_to_bound(span: Span, event: str, limit: int) -> Diagnostic:
    """G503: a handler whose cost takes too many steps to bound."""
    return Diagnostic(
        "G503",
        f"on {event}: finding out what this costs takes more than {limit:,} steps",
        span,
        help="split it: put fewer `fold` and calls of functions inside one another",
    )


# --- L6 lint: warnings, which stop no program -----------------------------------------------------------------------

_UNUSED_HELP = {
    "variable of `for`": "call it `_`",
    "parameter": "remove it, here and in all calls",
    "event": "remove the `as`",
}


def unhandled_event(span: Span, event_type: str, aggregate_type: str, guess: str | None) -> Diagnostic:
    """L680: an event in a file beside programs that none of them handles; the place is in that file."""
    message = f"no program here handles events of type {event_type} of aggregate type {aggregate_type}"
    return Diagnostic("L680", message, span, help=guess or "", severity="warning")


def unused_variable(span: Span, what: str, name: str) -> Diagnostic:
    """L601: a variable, parameter or event that nothing reads."""
    help_ = _UNUSED_HELP.get(what, "remove it")
    return Diagnostic("L601", f"nothing reads the {what} `{name}`", span, help=help_, severity="warning")


def unused_event(span: Span, name: str) -> Diagnostic:
    """L602: an event that no handler handles."""
    return Diagnostic("L602", f"no handler handles the event `{name}`", span, severity="warning")


def unused_type(span: Span, name: str) -> Diagnostic:
    """L603: a type that nothing uses."""
    return Diagnostic("L603", f"nothing uses the type `{name}`", span, severity="warning")


def unread_field(span: Span, name: str, event: str) -> Diagnostic:
    """L604: a field of an event that the program never reads."""
    help_ = "an event declares only what is read; other fields are ignored"
    return Diagnostic("L604", f"nothing reads the field `{name}` of {event}", span, help=help_, severity="warning")


def unused_function(span: Span, name: str) -> Diagnostic:
    """L605: a function that no handler needs."""
    return Diagnostic("L605", f"no handler needs the function `{name}`", span, severity="warning")


def constant_condition(span: Span, *, always: bool) -> Diagnostic:
    """L606: a condition that always goes one way."""
    return Diagnostic("L606", f"this is always {str(always).lower()}", span, severity="warning")


def stream_read(span: Span, field: str, help_: str) -> Diagnostic:
    """L607: a view that depends on the stream's sequence numbers."""
    message = f"`meta.{field}` is another one when the events are loaded into another stream"
    return Diagnostic("L607", message, span, help=help_, severity="warning")


def ambiguous_id(span: Span, parts: Sequence[str]) -> Diagnostic:
    """L608: two free strings next to each other in an id: different pairs can give the same one."""
    message = f"other values of {' and '.join(f'`{part}`' for part in parts)} can make the same id"
    return Diagnostic("L608", message, span, help=f"write `key({', '.join(parts)})`", severity="warning")


def invisible_character(span: Span, character: str) -> Diagnostic:
    """L610: a character that is invisible, or that changes the order in which others are shown."""
    escape = f"\\u{{{ord(character):x}}}"
    return Diagnostic(
        "L610", f"the invisible character {escape} lets the program look different from what it is", span,
        help=f"delete it, or, where a string needs it, write `{escape}`", severity="warning",
    )  # fmt: skip


# --- C8 compatibility: what a change means to others; nothing is wrong with the program ------------------------------


def breaks_readers(span: Span, what: str, hint: str) -> Diagnostic:
    """C801: a change that breaks readers of the views; a warning."""
    return Diagnostic("C801", f"this breaks readers: {what}", span, help=hint, severity="warning")


def breaks_producers(span: Span, what: str, hint: str) -> Diagnostic:
    """C802: a change after which present events are rejected, ignored or read differently; a warning."""
    return Diagnostic("C802", f"this breaks producers: {what}", span, help=hint, severity="warning")


def compatible(span: Span, what: str) -> Diagnostic:
    """C803: a change that affects neither side; a note."""
    return Diagnostic("C803", what, span, severity="note")
