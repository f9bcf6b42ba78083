"""`projection repl`: expressions of the language, one after another, with a program and its events at hand."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

from projection.cli.console import say
from projection.cli.parameters import Argument, Exit, Option
from projection.errors import EXIT_FAILED, ConfigurationError, ProjectionError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from projection.cli.history import History
    from projection.lang.check.sessions import Evaluated
    from projection.model.ids import TenantId

EXAMPLES = (
    "projection repl",
    "projection repl fine_summary.proj --events events.jsonl --view A1",
    "projection repl < expressions.txt",
)
_HELP = """\
an expression     its value, its type, and what it costs
let n = …         the same, and the value stays under its name
view(ID)          the view that the events have made; parked(ID) is the code that parked it
:event N          `e` and `meta` are event N, and views are as they were before it; without N, behind all events
:view ID          `view` and `id` are this view
:events           all events, with their numbers
:type …           the type of an expression, which is not computed
:load FILE        another program (.proj), or other events
:help, :quit      this; the end (as does Ctrl-D)"""
_WIDE = 88  # columns of a value on one line


def repl(
    program: Annotated[
        Path | None, Argument(metavar="[PATH]", help="A program whose types and functions are available.")
    ] = None,
    *,
    events: Annotated[
        Path | None, Option(metavar="FILE", help="Events: one JSON envelope per line, or their short form.")
    ] = None,
    tenant: Annotated[
        str, Option(metavar="TENANT", help="The tenant of the views (default: the default tenant).")
    ] = "",
    view: Annotated[str | None, Option(metavar="ID", help="The view that `view` refers to.")] = None,
) -> None:
    """Evaluate expressions, and show their types and costs.

    :help lists the commands.

    Exit status: 0 done, 1 the program has errors, or an input that is not from a terminal failed, 2 wrong usage.
    """
    if events is not None and program is None:
        raise ConfigurationError("events need a program", hint="name it: `projection repl PATH --events FILE`")
    conversation = _Conversation(program, events, tenant)
    if view is not None:
        conversation.look_at(view)
    has_failed = False
    for text in _inputs(conversation.names):
        if text in (":quit", ":q"):
            break
        try:
            for line in conversation.answer(text):
                say(line)
        except ProjectionError as error:
            has_failed = True
            say(conversation.complaint(text, error))
    if has_failed and not sys.stdin.isatty():
        raise Exit(EXIT_FAILED)


class _Conversation:
    """What has been loaded, and where in its events it stands."""

    def __init__(self, program: Path | None, events: Path | None, tenant: str) -> None:
        from projection.model.ids import DEFAULT_TENANT, TenantId

        try:
            self._tenant: TenantId = TenantId(tenant) if tenant else DEFAULT_TENANT
        except ValueError as error:
            raise ConfigurationError(str(error)) from None
        self._commands: dict[str, Callable[[str], Iterator[str]]] = {
            ":help": lambda _rest: iter([_HELP]),
            ":type": self._type,
            ":events": self._events,
            ":event": self._event,
            ":view": self._view,
            ":load": self._load,
        }
        self._program = program
        self._begin(events)

    def _begin(self, events: Path | None) -> None:
        """Start anew, behind all events."""
        from projection.cli.history import History
        from projection.lang.check.sessions import NO_PROGRAM, Session
        from projection.lang.program import Program
        from projection.lang.run.executors import Execution
        from projection.lang.source import Source

        self._history: History | None = None
        if self._program is not None:
            self._history = History(self._program, events)
        deployed = None if self._history is None else self._history.deployed.program
        source = Source("", NO_PROGRAM) if deployed is None else deployed.checked.source
        self._session = Session(source, None if deployed is None else deployed.limits)
        self._reader = Program(self._session.checked, self._session.limits, Execution.INTERPRETED)
        if self._history is not None:
            self._stand_before(len(self._history.given) + 1)

    def _stand_before(self, number: int) -> None:
        from projection.model.ids import ViewId

        history, session = self._needed(), self._session
        store = history.store_before(number)

        def held(view_id: str) -> Any:
            data = history.view(store, self._tenant, view_id)
            return None if data is None else self._reader.decode_view(data)

        session.view = held
        parked = [one for one in store.parked() if one.tenant_id == self._tenant]
        session.parked = lambda view_id: next((one.code for one in parked if one.view_id == ViewId(view_id)), None)

    def _needed(self) -> History:
        if self._history is None:
            raise ConfigurationError("no program is loaded", hint="`:load FILE` loads one")
        return self._history

    def names(self) -> list[str]:
        """What may be typed: variables, functions, words of the language, commands."""
        from projection.lang.check.expressions import KEYWORDS
        from projection.lang.library import BUILTINS

        functions = (one.name for one in self._session.checked.core.functions.values() if not one.makes_event)
        return sorted({*self._session.names(), *functions, *BUILTINS, *KEYWORDS, *self._commands})

    def answer(self, text: str) -> Iterator[str]:
        """The lines that an input is answered with.

        Raises:
            ProjectionError: there is no answer.
        """
        if not text.startswith(":"):
            yield from _shown(self._session.evaluate(text))
            return
        from projection.model.problems import did_you_mean

        word, _, rest = text.partition(" ")
        if (command := self._commands.get(word)) is None:
            raise ConfigurationError(f"there is no command {word}", hint=did_you_mean(word, self._commands))
        yield from command(rest.strip())

    def complaint(self, text: str, error: ProjectionError) -> str:
        """What is wrong with an input."""
        from projection.lang.failures import Failure
        from projection.lang.reporting import ProgramInvalidError

        if isinstance(error, ProgramInvalidError):
            return error.render()
        if isinstance(error, Failure):
            return self._session.excerpt(text, error)
        return f"error: {error.message}" + (f"\n  hint: {error.hint}" if error.hint else "")

    def look_at(self, view_id: str) -> None:
        """Let `view` and `id` be this view."""
        self._needed()
        self._session.look_at(view_id, self._session.view(view_id))

    # commands

    def _type(self, rest: str) -> Iterator[str]:
        yield str(self._session.type_of(rest))

    def _events(self, _rest: str) -> Iterator[str]:
        given = self._needed().given
        width = len(str(len(given)))
        yield from (f"{number:>{width}}  {one}" for number, one in enumerate(given, 1))

    def _event(self, rest: str) -> Iterator[str]:
        from projection.engine.event import with_message
        from projection.lang.message_parts import MessageParts
        from projection.model.event_format.headers import all_headers

        history = self._needed()
        if not rest:
            self._session.stand_at(None, None)
            self._stand_before(len(history.given) + 1)
            yield "behind all events"
            return
        if not rest.isdecimal():
            raise ConfigurationError(f"{rest!r} is no number of an event", hint="`:events` lists them")
        event = history.event(int(rest))
        if event.envelope is None or event.error is not None:
            raise event.error or ConfigurationError("the event has no envelope")
        reaction = self._reader.reaction(event.envelope.aggregate_type, event.envelope.event_type)
        if reaction is None:
            raise ConfigurationError(f"the program handles no event {event.envelope.event_type!r}")
        payload = reaction.decode(event.envelope.payload)
        named = tuple(name.lower() for name in all_headers(event.message.headers))  # an input may ask for any of them
        whole = with_message(event, MessageParts(named, subject=True, stored_at=True))
        if whole.error is not None:
            raise whole.error
        self._session.stand_at(payload, whole.meta)
        self._tenant = event.tenant_id
        self._stand_before(int(rest))
        yield f"e is {history.given[int(rest) - 1]}"

    def _view(self, rest: str) -> Iterator[str]:
        self.look_at(rest)
        yield from _shown(self._session.evaluate("view"))

    def _load(self, rest: str) -> Iterator[str]:
        path = Path(rest)
        if path.suffix == ".proj":
            before, self._program = self._program, path
            try:
                self._begin(None)
            except ProjectionError:
                self._program = before
                raise
        else:
            self._needed()
            self._begin(path)
        history = self._needed()
        yield f"{history.deployed.program.name}, {len(history.given)} events"


def _shown(found: Evaluated) -> Iterator[str]:
    import msgspec

    from projection.cli.steps import shown_value

    value = shown_value(found.value)
    if len(value) > _WIDE:
        value = msgspec.json.format(value, indent=2)
    yield value
    yield f"  {found.type} · {found.gas:,} gas · {found.alloc:,} alloc"


# --- input -----------------------------------------------------------------------------------------------------------


def _inputs(names: Callable[[], list[str]]) -> Iterator[str]:
    """What is typed, or piped: one input a line, or several while brackets are open."""
    is_typed = sys.stdin.isatty()
    if is_typed:
        _edit_lines(names)
        say("projection: an expression a line; :help, :quit")
    text = ""
    while True:
        try:
            line = input(("… " if text else "> ") if is_typed else "")
        except EOFError:
            if is_typed:
                say()
            break
        except KeyboardInterrupt:
            text = ""
            say()
            continue
        text = f"{text}\n{line}" if text else line
        if line.strip() and _is_open(text):
            continue
        if text.strip():
            yield text.strip()
        text = ""
    if text.strip():
        yield text.strip()


def _is_open(text: str) -> bool:
    """Whether more must follow: a bracket is open."""
    from projection.lang.syntax.elements import tokens_of

    tokens = [token.text for token in tokens_of(text)]
    return sum(tokens.count(one) for one in "([{") > sum(tokens.count(one) for one in ")]}")


def _edit_lines(names: Callable[[], list[str]]) -> None:
    """Edit lines, go back to earlier ones and complete names, where this Python can."""
    try:
        import readline
    except ImportError:
        return

    def complete(text: str, state: int) -> str | None:
        found: list[Any] = [name for name in names() if name.startswith(text)]
        return found[state] if state < len(found) else None

    readline.set_completer(complete)
    readline.set_completer_delims(' \t\n()[]{},;+-*<>=!?."')
    readline.parse_and_bind("tab: complete")
