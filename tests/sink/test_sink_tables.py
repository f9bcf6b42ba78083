"""Views as rows: after every step that ends level, a table holds the views of one moment and nothing else."""

import os
import random
import threading
from contextlib import suppress
from decimal import Decimal
from secrets import randbits
from time import monotonic

import psycopg
import pytest
from query_support import IDS, TENANTS, THINGS, Site, thing
from sink_support import Written, asked, running, views_in, views_of

from projection.errors import ConfigurationError
from projection.model.ids import TenantId, ViewId
from projection.model.keys import ViewKey
from projection.sink import reading
from projection.sink.filling import Step
from projection.store import changes
from projection.store.port import Commit

DICE = random.Random(7)
LONG_S = 60
NORTH, SOUTH = TenantId("north"), TenantId("south")
COLUMNS = ["owner", "status", "n", "price", "rate", "name", "home.city", "home.zip"]
KINDS = {"n": "bigint", "price": "numeric", "rate": "numeric", "home_zip": "bigint"}


@pytest.fixture
def site(tmp_path):
    site = Site(tmp_path / "data")
    site.store.lane.declare_changes(wanted=True)
    yield site
    site.close()


@pytest.fixture
def written(site, database):
    written = Written(site, database)
    yield written
    written.close()


def cut_over(written: Written) -> None:
    """Have another build answer, with the views of the one before."""
    site = written.site
    build, store = site.another_build()
    store.lane.declare_changes(wanted=True)
    if site.store.views:
        store.put(site.store.views)
    written.stores[build.number] = store.lane
    site.catalog.serve(build)
    site.build, site.store = build, store


def decide(site: Site, dice: random.Random) -> None:
    """Change views without an event, as an operator's decision does."""
    if not site.store.views:
        return
    tenant, view_id = dice.choice(sorted(site.store.views))
    position = site.store.lane.position()
    key = ViewKey(tenant, THINGS, ViewId(view_id)).encode()
    site.store.lane.commit(Commit(site.store._epoch, position, position, {key: None}))
    del site.store.views[tenant, view_id]


def columns_agree(written: Written) -> None:
    """Each typed column holds what stands in the view."""
    for column in written.filling.rows(written.serving.of(THINGS)).shape.columns:
        path = "{" + column.path.replace(".", ",") + "}"
        differing = asked(
            written.url,
            f"SELECT id FROM projection.things WHERE {column.name} IS DISTINCT FROM (view #>> '{path}')::{column.type}",
        )
        assert differing == [], column


def test_a_table_is_filled_at_one_sequence_and_follows(site, written):
    site.store.put({(NORTH, "a"): thing("x", DICE), (SOUTH, "a"): thing("y", DICE)})
    written.level()
    assert views_of(site) == views_in(written.url)
    site.store.put({(NORTH, "a"): None, (NORTH, "b"): thing("z", DICE)})
    site.store.put({(SOUTH, "a"): thing("changed", DICE)})
    assert written.step() is Step.LEVEL
    assert views_of(site) == views_in(written.url)
    assert written.position() == site.store.lane.position().scanned


def test_the_rows_show_a_sequence_also_where_nothing_has_changed(site, written):
    site.store.put({(NORTH, "a"): thing("x", DICE)})
    written.level()
    site.store.put({})
    written.level()
    assert written.position() == 2


class CutError(Exception):
    """The process ends here."""


class Cut:
    """Ends the process, as far as the database can tell, at its nth statement."""

    def __init__(self, written: Written, statements: int) -> None:
        self.left, self.written = statements, written
        self.execute = written.connection.execute
        written.connection.execute = self

    def __call__(self, *arguments, **named):
        self.left -= 1
        if self.left < 0:
            self.written.connection.close()
            raise CutError
        return self.execute(*arguments, **named)


def test_a_sink_that_ends_at_any_statement_leaves_the_rows_of_the_position_that_it_says(site, written):
    history = {}
    site.store.put({(NORTH, name): thing("x", DICE) for name in "abc"})
    written.level()
    for statement in range(10):
        gone = {(NORTH, f"{statement - 1}"): None} if statement else {}
        position = site.store.put({(NORTH, "a"): thing("x", DICE), (NORTH, f"{statement}"): thing("y", DICE)} | gone)
        history[position - 1], history[position] = views_in(written.url), views_of(site)
        Cut(written, statement)
        with suppress(CutError):
            written.level()
        assert history[written.position()] == views_in(written.url), f"cut at statement {statement}"
        written.again()
        written.level()


def test_one_who_was_away_while_deletions_were_forgotten_is_filled_anew(site, written, monkeypatch):
    monkeypatch.setattr(changes, "MAX_TOMBSTONES", 2)
    site.store.put({(NORTH, name): thing("x", DICE) for name in "abcde"})
    written.level()
    for name in "abcd":
        site.store.put({(NORTH, name): None})
    written.level()
    assert views_of(site) == views_in(written.url)


def schedule(seed: int, site: Site, url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Random changes, cutovers, decisions, columns and ends of the sink; whenever it is level, rows are views."""
    dice = random.Random(seed)
    monkeypatch.setattr(reading, "PIECE_VIEWS", dice.choice([1, 3, 2_000]))
    monkeypatch.setattr(reading, "PIECE_BYTES", dice.choice([1, 5_000, 4_000_000]))
    monkeypatch.setattr(changes, "MAX_TOMBSTONES", dice.choice([2, 100_000]))
    columns = ()
    written = Written(site, url, columns)
    for _ in range(25):
        match dice.choices(["put", "step", "level", "cut", "build", "decide", "columns"], [8, 4, 4, 4, 1, 1, 1])[0]:
            case "put":
                chosen = {
                    (dice.choice(TENANTS[:6]), dice.choice(IDS)): None if dice.random() < 0.3 else thing("x", dice)
                    for _ in range(dice.choice([1, 1, 4, 12]))
                }
                site.store.put({of: view for of, view in chosen.items() if view or of in site.store.views})
            case "step":
                if written.step() is Step.LEVEL:
                    assert views_of(site) == views_in(url)
            case "level":
                written.level()
                assert views_of(site) == views_in(url)
                assert written.position() == site.store.lane.position().scanned
            case "cut":
                Cut(written, dice.randrange(30))
                with suppress(CutError):
                    written.level()
                written.again(columns)
            case "build":
                cut_over(written)
            case "decide":
                decide(site, dice)
            case "columns":
                columns = tuple(dice.sample(COLUMNS, dice.randrange(4)))
                written.again(columns)
    written.level()
    assert views_of(site) == views_in(url)
    columns_agree(written)
    tables = asked(url, "SELECT count(*) FROM pg_tables WHERE schemaname = 'projection'")
    assert tables == [(2,)], "nothing is left of drafts"
    written.close()


@pytest.mark.parametrize("_number", range(3))
def test_rows_are_views_whatever_happens(_number, site, database, monkeypatch):
    seed = int(os.environ.get("SINK_SEED") or randbits(32))
    print(f"seed {seed}")
    schedule(seed, site, database, monkeypatch)


@pytest.mark.long
def test_rows_are_views_whatever_happens_at_length(tmp_path, postgres, monkeypatch):
    count, end = 0, monotonic() + LONG_S
    while monotonic() < end:
        count += 1
        seed = randbits(32)
        print(f"seed {seed}")
        site = Site(tmp_path / str(count))
        site.store.lane.declare_changes(wanted=True)
        schedule(seed, site, postgres.new_database(), monkeypatch)
        site.close()
    print(f"{count} schedules")


def test_two_sinks_of_one_view_type_leave_the_same_as_one(site, written, monkeypatch):
    monkeypatch.setattr(reading, "PIECE_VIEWS", 2)
    other = Written(site, written.url)
    for number in range(7):
        site.store.put({(NORTH, str(number)): thing("x", DICE)})
    with running(lambda _: other.level()):
        written.level()
    site.store.put({(NORTH, "0"): None})
    other.level()
    written.level()
    assert views_of(site) == views_in(written.url)
    other.close()


def test_a_cutover_is_seen_without_a_gap(site, written):
    """A reader that asks all the time sees the views of the one build or of the other, and always all of them."""
    site.store.put({(NORTH, f"{number}"): thing("former", DICE) for number in range(50)})
    written.level()
    seen = set()

    def ask(stopping: threading.Event) -> None:
        with psycopg.connect(written.url, autocommit=True) as connection:
            while not stopping.is_set():
                row = connection.execute("SELECT count(*), min(owner), max(owner) FROM projection.things").fetchone()
                seen.add(row)

    written.again(("owner",))
    written.level()
    with running(ask):
        for number in range(3):
            for of in site.store.views:
                site.store.views[of] = thing(f"build {number}", DICE)
            cut_over(written)
            written.level()
    assert {row[0] for row in seen} == {50}
    assert all(least == most for _, least, most in seen)


def test_a_table_that_somebody_reads_for_long_is_exchanged_when_they_are_done(site, written, monkeypatch):
    monkeypatch.setattr("projection.sink.tables._LOCK_WAIT", "50ms")
    site.store.put({(NORTH, "a"): thing("x", DICE)})
    written.level()
    with psycopg.connect(written.url) as reader:
        reader.execute("SELECT * FROM projection.things")
        cut_over(written)
        site.store.put({(NORTH, "b"): thing("y", DICE)})
        with pytest.raises(Exception, match="lock timeout"):
            written.level()
        assert [("a",)] == reader.execute("SELECT id FROM projection.things").fetchall()
    written.level()
    assert views_of(site) == views_in(written.url)


@pytest.fixture
def limited(postgres, written):
    """The URL of a role that may read the table and nothing else."""
    name = f"reader_{written.url.partition('@/')[2].partition('?')[0]}"
    asked(written.url, f"CREATE ROLE {name} LOGIN; GRANT USAGE ON SCHEMA projection TO {name}")
    return name, postgres.url(written.url.partition("@/")[2].partition("?")[0], name)


@pytest.mark.parametrize("later", ["at once", "after a cutover"])
def test_row_level_security_shows_a_tenant_its_own_rows_and_nobody_elses(site, written, limited, later):
    name, url = limited
    views = {(tenant, "a"): thing(f"of {tenant!r}", DICE) for tenant in TENANTS}
    site.store.put(views)
    written.level()
    asked(
        written.url,
        f"ALTER TABLE projection.things ENABLE ROW LEVEL SECURITY; GRANT SELECT ON projection.things TO {name}",
    )
    if later == "after a cutover":
        cut_over(written)
        written.level()
    with psycopg.connect(url, autocommit=True) as connection:
        ask = "SELECT tenant_id, id FROM projection.things"
        assert connection.execute(ask).fetchall() == []
        for tenant in TENANTS:
            with connection.transaction():
                connection.execute("SELECT set_config('projection.tenant', %s, true)", (tenant,))
                found = connection.execute(ask).fetchall()
            assert found == ([(tenant, "a")] if tenant else []), (
                "the default tenant's are shown to nobody by the policy"
            )
            assert connection.execute(ask).fetchall() == [], "a setting that was reset names no tenant"
        with pytest.raises(psycopg.errors.InsufficientPrivilege):
            connection.execute("DELETE FROM projection.things")


def test_what_others_have_made_of_a_table_is_kept_at_a_cutover(site, written, limited):
    name, url = limited
    site.store.put({(NORTH, "a"): thing("x", DICE), (NORTH, "b"): thing("secret", DICE)})
    written.level()
    asked(
        written.url,
        "ALTER TABLE projection.things ENABLE ROW LEVEL SECURITY; DROP POLICY tenant ON projection.things;"
        f"CREATE POLICY everything ON projection.things TO {name} USING (true);"
        "CREATE POLICY \"no % {secret}\" ON projection.things AS RESTRICTIVE USING (view->>'owner' <> 'secret');"
        f"GRANT SELECT ON projection.things TO {name} WITH GRANT OPTION; GRANT INSERT ON projection.things TO PUBLIC",
    )
    held = "SELECT relacl::text, relrowsecurity FROM pg_class WHERE oid = 'projection.things'::regclass"
    before = asked(written.url, held)
    cut_over(written)
    written.level()
    assert before == asked(written.url, held)
    assert [("a",)] == asked(url, "SELECT id FROM projection.things")


def test_a_table_on_which_others_depend_is_kept_beside_the_new_one(site, written):
    site.store.put({(NORTH, "a"): thing("x", DICE)})
    written.level()
    asked(written.url, "CREATE VIEW public.mine AS SELECT id FROM projection.things")
    cut_over(written)
    site.store.put({(NORTH, "b"): thing("y", DICE)})
    written.level()
    assert views_of(site) == views_in(written.url)
    assert [("a",)] == asked(written.url, "SELECT id FROM public.mine")
    ((kept,),) = asked(written.url, "SELECT tablename FROM pg_tables WHERE tablename LIKE 'things$former%'")
    cut_over(written)
    written.level()
    assert [(kept,)] == asked(written.url, "SELECT tablename FROM pg_tables WHERE tablename LIKE 'things$former%'")


def test_other_columns_come_by_a_table_of_their_own(site, written):
    view = thing("x", DICE) | {"rate": Decimal("1.50"), "home": {"city": "Rome", "zip": 3}}
    site.store.put({(NORTH, "a"): view})
    written.level()
    written.again(("owner", "home.city"))
    assert written.step() is Step.MORE
    assert [("a",)] == written.rows("id"), "the former table is read meanwhile"
    written.level()
    assert [("x", "Rome", 3, Decimal("1.50"))] == written.rows("owner, home_city, home_zip, rate")


def test_a_table_that_no_sink_has_made_is_left_alone(site, written):
    site.store.put({(NORTH, "a"): thing("x", DICE)})
    for name in ("things", "things$draft"):
        asked(written.url, f'CREATE TABLE projection."{name}" (precious int)')
        with pytest.raises(ConfigurationError, match="that no sink has made"):
            written.level()
        asked(written.url, f'DROP TABLE projection."{name}"')
    written.level()
    assert views_of(site) == views_in(written.url)


def test_a_table_that_somebody_dropped_is_filled_anew(site, written):
    site.store.put({(NORTH, "a"): thing("x", DICE)})
    written.level()
    asked(written.url, "DROP TABLE projection.things")
    site.store.put({(NORTH, "b"): thing("x", DICE)})
    written.level()
    assert views_of(site) == views_in(written.url)


def test_indexes_of_the_program_are_indexes_of_the_table(site, written):
    site.store.put({(NORTH, "a"): thing("x", DICE)})
    written.level()
    found = {text.partition(" USING btree ")[2] for (text,) in asked(
        written.url, "SELECT indexdef FROM pg_indexes WHERE tablename = 'things'"
    )}  # fmt: skip
    assert {"(tenant_id, id)", "(tenant_id, n)", "(tenant_id, status, price DESC)", "(tenant_id, home_zip)"} <= found
    assert not any("name" in one for one in found), "a text of 2,000 characters fits in no index of PostgreSQL"


def test_a_view_of_the_largest_kind_of_id_and_text_fits(site, written):
    for mark in ("\x00", "\u2400", "é", "x"):
        tenant = TenantId(mark * (60 if mark != "x" else 200))
        view_id = mark * 70
        view = thing(mark * 50, DICE) | {"name": mark * 2_000, "home": {"city": mark * 200, "zip": 1}}
        site.store.put({(tenant, view_id): view})
    written.level()
    assert views_of(site) == views_in(written.url)
