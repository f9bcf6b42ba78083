"""What a state means is pinned: digests of a corpus of events, held as values.

They are the same under every Python and every version of the libraries that is allowed; `make test-all` runs this under
the oldest and the newest of both. A value that changes here changes every store that there is: that needs a new store
format with its migration, or a new edition of the language (docs/decisions/0021-what-is-pinned.md).
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest
from engine_support import TALLIES, Log, deploy, envelope, feed
from format_2_store import log

from projection.engine.lane import Lane
from projection.model.ids import TenantId, ViewId
from projection.model.parked import Drop
from projection.store.build import Build
from projection.store.memory import MemoryLaneStore

if TYPE_CHECKING:
    from pathlib import Path

VALUES = """proj 1
projection tallies

type Item { sku: string(20), price: decimal(2), more?: json }
event Seen {
  id: string, flag?: bool, n?: int, d?: decimal, d2?: decimal(2), s?: string(60), day?: date, at?: timestamp,
  wait?: duration, raw?: bytes(20), status?: enum(open, closed, ...), items: list<Item>(5) = [], tags: set<string>(5) = [],
  sizes: set<decimal>(5) = [], by: map<int, date>(5) = {}, days: map<date, int>(5) = {}, any?: json
}

view Pinned {
  flag?: bool, n?: int, d?: decimal, d2?: decimal(2), s?: string(60), day?: date, at?: timestamp, wait?: duration,
  raw?: bytes(20), status?: enum(open, closed, ...), items: list<Item>(5) = [], tags: set<string>(5) = [],
  sizes: set<decimal>(5) = [], by: map<int, date>(5) = {}, days: map<date, int>(5) = {}, any?: json, text: string = "",
  when: timestamp, narrowed?: duration
}

on Seen as e to e.id => {
  flag: e.flag, n: e.n, d: e.d, d2: e.d2, s: e.s, day: e.day, at: e.at, wait: e.wait, raw: e.raw, status: e.status,
  items: e.items, tags: e.tags, sizes: e.sizes, by: e.by, days: e.days, any: e.any, when: meta.time,
  text: let s = e.s ?? "-"; "{upper(s)}|{lower(s)}|{trim(s)}|{length(s)}",
  narrowed: narrow(e.any?.wait)
}
"""


def seen(number: int, **payload: Any) -> bytes:
    return envelope("Seen", {"id": f"{number:02}", **payload})


def raw(number: int, written: str) -> bytes:
    """An event whose payload holds this JSON, as it stands here."""
    return seen(number).replace(b'"}', b'", ' + written.encode("utf-8", "surrogatepass") + b"}", 1)


def values() -> Log:
    """Each type, at its ends and beyond them."""
    texts = ["", "aZ\t", "İıẞßǅ", "e\u0301é", "\u00a0 x \u2003", "\0\x01\x7f", "\U0001f6b2\uffff", "\u0378ა", "\u0661"]
    found = Log(*(seen(number, s=text, tags=[text, "b", text]) for number, text in enumerate(texts)))
    for number, written in enumerate(
        [
            '"flag": true, "n": -9223372036854775808, "d": 1.50, "d2": 1e1, "day": "0001-01-01", "raw": "AP8="',
            '"n": 9223372036854775808',
            '"n": 1.0',
            '"n": "1"',
            '"d": 1e-38',
            '"d": 1e400',
            '"d": -0.00',
            '"d2": 0.001',
            '"d": 12345678901234567890123456789.123456789',
            '"sizes": [1.0, 1, 1.00, 0.5e1, -0]',
            '"sizes": [1, "1"]',
            '"at": "2024-02-29T23:59:59.999999999+23:59"',
            '"at": "2024-02-29t24:00:00z"',
            '"at": "2016-12-31T23:59:60Z"',
            '"at": "0001-01-01T00:00:00Z", "day": "9999-12-31T23:59:59.9Z"',
            '"at": "2024-02-29 12:00:00.1-00:00"',
            '"wait": "PT1.1234567S", "any": {"wait": "PT1.1234567S"}',
            '"wait": "P200000000D"',
            '"wait": "-pt0.0000001s"',
            '"wait": "P106751991DT14454.775807S"',
            '"wait": "PT1.5H"',
            '"any": {"wait": "P200000000D"}',
            '"wait": "P1W"',
            '"status": "closed"',
            '"status": "other"',
            '"raw": "AP9="',
            '"raw": "AP8"',
            '"s": "\\ud800"',
            '"s": "\ud800"',
            '"s": "\\ud83d\\ude00\\u0000"',
            '"by": {"10": "2024-01-01", "-1": "2024-01-02"}',
            '"by": {"01": "2024-01-01"}',
            '"days": {"2024-01-02T00:00:00Z": 1, "2024-01-01": 2, "2024-01-02": 3}',
            '"n": 1, "n": 2',
            '"any": {"b": 1, "a": [1.10, 1e2, -0.0, null], "b": 2}',
            '"any": 18446744073709551616',
            '"items": [{"sku": "a", "price": 1, "more": {"z": 0.10}}, {"sku": "b", "price": 2.5}]',
            '"items": [{"sku": "a"}]',
            '"s": 1',
            '"flag": 1',
            '"unknown": [[[]]]',
            '"any": ' + "[" * 33 + "]" * 33,
        ],
        20,
    ):
        found.add(raw(number, written))
    found.add(b"", b"[]", b"\xff", seen(90)[:-1], seen(91, n=1).replace(b'"timestamp"', b'"time"'))
    found.add(envelope("Seen", {"id": "t"}, timestamp="2024-02-29T12:00:00.1234567+01:00"))
    found.add(envelope("Seen", {"id": "t"}, timestamp="2024-02-29T24:00:00Z"), envelope("Seen", {"id": ""}))
    return found


DROPS = (Drop(2, TenantId("a"), ViewId("a:b")), Drop(3, TenantId(""), None), Drop(4, TenantId("a"), None))
CORPUS: dict[str, tuple[str, Log, dict[str, Any], tuple[Drop, ...]]] = {
    "values": (VALUES, values(), {}, ()),
    "values, skipped": (VALUES, values(), {"on_error": "skip"}, ()),
    "failures": (TALLIES, log(), {}, ()),
    "failures, skipped": (TALLIES, log(), {"on_error": "skip", "limits": {"gas": 150_000}}, ()),
    "failures, dropped": (TALLIES, log(), {"limits": {"parked": 777}}, DROPS),
}
# The state digest, the fold identity, and the digest of the program, each by its first 16 digits.
PINNED = {
    "values": ("8015b42650141b63", "87e7b1a67217b387", "db94973653bc034e"),
    "values, skipped": ("0feb1aa3ef3bd33d", "c3502ce930633879", "db94973653bc034e"),
    "failures": ("acf44a170c0d852f", "a0afc51eb7e2b6d3", "b95db3356a96e924"),
    "failures, skipped": ("be587bd67f6d166e", "63286961ee191706", "b95db3356a96e924"),
    "failures, dropped": ("992eb72691d74d12", "e5c78a4ffe65b436", "b95db3356a96e924"),
}


@pytest.mark.parametrize("name", CORPUS)
def test_the_corpus_folds_to_the_digests_that_it_always_had(tmp_path: Path, name: str) -> None:
    program, events, entry, drops = CORPUS[name]
    (deployed,) = deploy(tmp_path, program, **entry)
    build = Build(tmp_path, deployed.entry.view_type, 1, deployed.base_identity, "{}", drops)
    lane = feed(Lane(deployed.within(build), MemoryLaneStore()), events.messages)
    audit = lane.store.audit()
    assert audit.agrees
    found = (str(audit.digest), build.fold_identity, deployed.program.digest)
    assert PINNED[name] == tuple(one[:16] for one in found)


def test_the_corpus_has_a_failure_of_every_class_that_can_be_parked(tmp_path: Path) -> None:
    codes = set()
    for name, (program, events, entry, _) in CORPUS.items():
        (deployed,) = deploy(tmp_path / name, program, **entry)
        lane = feed(Lane(deployed, MemoryLaneStore()), events.messages)
        codes |= {one.code for one in lane.store.parked()}
    assert {"D101", "D102", "D105", "P000", "R701", "R707", "R708", "R710"} <= codes, codes
