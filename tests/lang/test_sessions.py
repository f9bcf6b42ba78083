"""Sessions: an expression in a session comes to what it comes to in a program, at the same cost."""

import re

import pytest
from language_support import Expression, all_cases, meta, plenty

from projection.lang.check.sessions import NO_PROGRAM, Session
from projection.lang.failures import Failure
from projection.lang.reporting import ProgramInvalidError
from projection.lang.source import Source
from projection.lang.values.codec import Codec, encode

CASES = [case for case in all_cases() if not re.search("^proj", case.text, re.MULTILINE)]
SAMPLE = [case for case in CASES if case.file != "diagnostics"][::4]  # those have no event


def outcome(run):
    try:
        return run()
    except ProgramInvalidError as error:
        return [(one.code, one.span) for one in error.diagnostics]
    except Failure as failure:
        return failure.code, failure.message


@pytest.mark.parametrize("case", SAMPLE, ids=str)
def test_an_expression_of_a_case_is_what_it_is_in_a_program(case):
    program = f"proj 1\nprojection cases\n{case.prelude}\nview Out {{ x: int = 0 }}\non In to none => keep\n"
    session = Session(Source("case", program))
    session.stand_at(Codec(session.checked.events["In"]).decode(case.event.encode()), meta())
    whole = outcome(lambda: Expression(case.text, case.prelude))
    if isinstance(whole, list):
        assert [code for code, _span in whole] == [code for code, _span in outcome(lambda: session.evaluate(case.text))]
        return

    def in_program():
        value = encode(whole.run(case.event, plenty()))
        return value, str(whole.type)

    def in_session():
        found = session.evaluate(case.text)
        return encode(found.value), str(found.type)

    assert outcome(in_program) == outcome(in_session)


def test_a_failure_in_a_function_is_shown_in_the_program_and_any_other_in_the_input():
    session = Session(Source("p.proj", NO_PROGRAM + "fn half(n: int) -> int = div(1, n)\n"))
    for text, place in (("half(0)", "p.proj:6:26"), ("1 + div(1, 0)", "<input>:1:5")):
        with pytest.raises(Failure) as failed:
            session.evaluate(text)
        assert f"--> {place}\n" in session.excerpt(text, failed.value)


def test_a_view_that_is_not_there_may_be_none_and_one_that_is_there_is_not():
    session = Session(Source("p.proj", NO_PROGRAM))
    session.look_at("a")
    assert ("view V?", None) == (str(session.type_of("view")), session.evaluate("view").value)
    session.look_at("a", session.checked.view.made()(n=3))
    assert ("view V", 4) == (str(session.type_of("view")), session.evaluate("view.n + 1").value)
    assert ["id", "view"] == session.names()
    session.look_at(None)
    assert [] == session.names()


def test_what_an_event_gave_is_known_where_a_handler_asks_for_it():
    source = """proj 1
projection p
event E { asked?: int, other?: int }
view V { n: int = 0 }
on E as e to "a" when has(e.asked) => { n: 1 }
"""
    session = Session(Source("p.proj", source))
    session.stand_at(Codec(session.checked.events["E"]).decode(b'{"asked": null}'), meta())

    assert session.evaluate("has(e.asked)").value
    with pytest.raises(ProgramInvalidError, match="nobody asks for `other`"):
        session.evaluate("has(e.other)")
