"""Messages with pseudonyms: what is chosen is replaced wherever it stands, all else stays as it came."""

from __future__ import annotations

import json
from base64 import b64decode, b64encode
from urllib.parse import quote

import pytest
from hypothesis import given
from hypothesis import strategies as st

from projection.errors import ConfigurationError, DecodeError
from projection.model.escaping import escape_token
from projection.model.event_format.headers import all_headers, headers_block
from projection.model.pseudonyms import Pseudonyms
from projection.stream.port import Message
from projection.stream.pseudonymizing import Pseudonymizer

PSEUDONYMS = Pseudonyms(b"0123456789abcdef")
P = PSEUDONYMS.text
SECRETS = st.text(st.characters(exclude_categories=("Cs", "Cc")), min_size=1, max_size=20)


def changed(message: Message, *places: str, subjects: tuple[str, ...] = ("shop.<id>.>",)) -> Message:
    return Pseudonymizer(PSEUDONYMS, places, subjects).message(message)


def message(body: bytes = b"{}", subject: str = "shop.o-7.placed", **headers: str) -> Message:
    named = {name.replace("_", "-"): text for name, text in headers.items()}
    return Message(7, subject, body, "0", "", headers_block(named))


@pytest.mark.parametrize(
    ("place", "body", "expected"),
    [
        ("body.a", b'{"a": "ann", "b":1.10}', f'{{"a":"{P("ann")}","b":1.10}}'),
        ("body.a.b", b'{"a":{"b":12,"c" : 1.50}}', f'{{"a":{{"b":{P("12")},"c" : 1.50}}}}'.replace(" : ", ":")),
        ("body.a.b", b'{"a":[{"b":12},{"c":1},3]}', f'{{"a":[{{"b":{P("12")}}},{{"c":1}},3]}}'),
        ("body.a", b'{"a":{"b":["x1",true,null,{}]}}', f'{{"a":{{"b":["{P("x1")}",true,null,{{}}]}}}}'),
        ('body."a.b"', b'{"a.b":"x","a":{"b":"x"}}', f'{{"a.b":"{P("x")}","a":{{"b":"x"}}}}'),
        ("body", b'["x",{"y":"x"}]', f'["{P("x")}",{{"y":"{P("x")}"}}]'),
        ("body.a", b'{"b":1}', '{"b":1}'),
        ("body.a.b", b'{"a":"text"}', '{"a":"text"}'),
        ("body.a", b'{"a":"x","a":"ann"}', f'{{"a":"{P("ann")}"}}'),
        ("body.a", b"", ""),
    ],
)
def test_fields_of_a_body_by_their_paths(place: str, body: bytes, expected: str) -> None:
    assert expected.encode() == changed(message(body), place).data


def test_headers_and_places_of_subjects() -> None:
    found = changed(message(X_User="ann", Kind="event"), "header.x-user", "subject.<id>")
    assert {"X-User": P("ann"), "Kind": "event"} == all_headers(found.headers)
    assert f"shop.{P('o-7')}.placed" == found.subject
    assert b"{}" == found.data


@given(secret=SECRETS)
def test_a_value_has_one_pseudonym_wherever_it_stands(secret: str) -> None:
    """In a body, a header, a CloudEvent's header, and a token as the node escapes them."""
    told = Message(
        7,
        f"shop.{escape_token(secret)}.x",
        json.dumps({"a": secret, "b": [{"c": secret}]}).encode(),
        "0",
        "",
        headers_block({"ce-user": quote(secret), "user": quote(secret)}),
    )
    found = changed(told, "body.a", "body.b.c", "header.ce-user", "header.user", "subject.<id>")
    body, headers = json.loads(found.data), all_headers(found.headers)
    assert P(secret) == body["a"] == body["b"][0]["c"]
    assert f"shop.{escape_token(P(secret))}.x" == found.subject
    assert P(quote(secret)) == headers["user"]
    ours = changed(Message(7, "s", json.dumps({"a": secret}).encode(), "0", "", b""), "body.a").data
    assert P(secret) == json.loads(ours)["a"]


@pytest.mark.parametrize("batch", [False, True])
@given(secret=SECRETS)
def test_the_data_of_a_cloudevent_is_looked_into_also_where_it_is_base64(secret: str, *, batch: bool) -> None:
    """It is JSON in another form, and the same place of the event."""
    data = {"user": {"name": secret}, "n": 1}
    ours = {"specversion": "1.0", "data_base64": b64encode(json.dumps(data).encode()).decode()}
    found = json.loads(changed(message(json.dumps([ours] if batch else ours).encode()), "body.data.user").data)
    (event,) = found if batch else [found]
    assert {"user": {"name": P(secret)}, "n": 1} == json.loads(b64decode(event["data_base64"]))
    assert ours | {"data_base64": event["data_base64"]} == event


@pytest.mark.parametrize("data", [b"\xff\xd8\xff", b"{"])
def test_a_cloudevent_whose_data_cannot_be_looked_into_is_refused(data: bytes) -> None:
    body = json.dumps({"specversion": "1.0", "data_base64": b64encode(data).decode()}).encode()
    with pytest.raises(DecodeError, match=r"message 7 cannot be pseudonymized: its `data_base64` is no JSON"):
        changed(message(body), "body.data.user")
    assert body == changed(message(body), "header.x").data
    assert json.loads(body) == json.loads(changed(message(body), "body.other").data)


@pytest.mark.parametrize(
    "body", [b'{"data_base64":"x"}', b'{"specversion":"1","data_base64":""}', b'{"specversion":"1","data_base64":null}']
)
def test_what_holds_no_data_as_base64_stays_as_it_is(body: bytes) -> None:
    assert body == changed(message(body), "body.data.user").data


def test_a_place_within_a_token_is_replaced_and_its_literals_stay() -> None:
    found = changed(message(b"{}", "legacy.Order-77.v2"), "subject.<id>", subjects=("x.<id>", "legacy.Order-<id>.>"))
    assert f"legacy.Order-{P('77')}.v2" == found.subject


def test_the_values_of_each_place_are_counted() -> None:
    made = Pseudonymizer(PSEUDONYMS, ("body.a", "body.b", "header.x"), ())
    made.message(message(b'{"a":["x","y"]}'))
    assert {"body.a": 2, "body.b": 0, "header.x": 0} == made.counts


@pytest.mark.parametrize(
    "body", [b"\xff", b"{", b" ", b'{"a":"\xff"}', b'{"a":' + b"[" * 10_000 + b"]" * 10_000 + b"}"]
)
def test_a_body_that_cannot_be_looked_into_is_refused_and_not_written_as_it_is(body: bytes) -> None:
    with pytest.raises(DecodeError, match=r"message 7 cannot be pseudonymized: its body is no JSON"):
        changed(message(body), "body.a")
    assert body == changed(message(body), "header.x").data


def test_a_subject_of_no_template_is_refused() -> None:
    with pytest.raises(DecodeError, match="'other' fits no template"):
        changed(message(b"{}", "other"), "subject.<id>")


@pytest.mark.parametrize(
    ("place", "said"),
    [
        ("email", "is not where a part of an event can be"),
        ("subject", "is not what can be replaced"),
        ("stored", "is not what can be replaced"),
        ("attribute.subject", "is not what can be replaced"),
        ("subject.<user>", "is in no template"),
    ],
)
def test_what_is_no_place_is_said(place: str, said: str) -> None:
    with pytest.raises(ConfigurationError, match=said):
        changed(message(), place)
