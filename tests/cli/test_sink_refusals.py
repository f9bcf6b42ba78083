"""What `projection sink` says where it cannot begin: one sentence, and never the password."""

import pytest
from command_support import in_this_process, projection
from query_support import Site
from sink_support import asked

from projection.errors import EXIT_FAILED, EXIT_USAGE
from projection.extras import missing_extra

PASSWORD = "hunter2%41"


@pytest.fixture
def folder(tmp_path):
    site = Site(tmp_path / "data")
    site.store.lane.declare_changes(wanted=True)
    site.close()
    return tmp_path


def said(folder, url, *options, status=EXIT_FAILED):
    ended = projection("sink", url, "--until-level", "--storage", folder / "data", *options, folder=folder)
    assert ended.returncode == status, ended.stderr
    assert ended.stdout == ""
    assert "hunter2" not in ended.stderr
    assert "Traceback" not in ended.stderr
    return ended.stderr


def named(url, **parts):
    user, password, database = (parts.get(name) for name in ("user", "password", "database"))
    host = url.partition("?")[2]
    return f"postgres://{user or 'tester'}{':' + password if password else ''}@/{database or 'postgres'}?{host}"


def test_a_wrong_password(folder, database):
    asked(database, "DROP ROLE IF EXISTS limited; CREATE ROLE limited LOGIN PASSWORD 'right'")
    text = said(folder, named(database, user="limited", password="hunter2"))
    assert 'password authentication failed for user "limited"' in text
    assert "check user and password" in text


def test_a_database_that_is_not_there(folder, database):
    text = said(folder, named(database, database="elsewhere"))
    assert 'database "elsewhere" does not exist' in text
    assert "createdb" in text


def test_a_role_that_may_make_nothing(folder, database):
    asked(database, "DROP ROLE IF EXISTS limited; CREATE ROLE limited LOGIN PASSWORD 'right'")
    name = database.partition("@/")[2].partition("?")[0]
    text = said(folder, named(database, user="limited", password="right", database=name))
    assert "permission denied for database" in text
    assert "grant what is missing" in text


def test_a_database_that_holds_no_unicode(folder, database):
    asked(database, "CREATE DATABASE latin ENCODING 'LATIN1' LOCALE 'C' TEMPLATE template0")
    assert "holds texts in LATIN1" in said(folder, named(database, database="latin"), status=EXIT_USAGE)


@pytest.mark.parametrize(
    "url", ["mysql://u:hunter2@h/d", "postgres://u:hunter2%zz@h/d", "hunter2", "postgres://h:hunter2:1/"]
)
def test_an_address_that_is_none(tmp_path, url):
    ended = in_this_process("sink", url, "--until-level", folder=tmp_path)
    assert ended.returncode in (EXIT_USAGE, EXIT_FAILED)
    assert "hunter2" not in ended.stderr
    assert "postgres" in ended.stderr.lower()


def test_a_folder_and_view_types_that_are_not_there(folder, database, tmp_path):
    (tmp_path / "nowhere").mkdir()
    assert "there is no data folder" in said(tmp_path / "nowhere", database, status=EXIT_USAGE)
    assert "there is no view type 'elsewhere'" in said(folder, database, "elsewhere")
    assert "is not a lower-case identifier" in said(folder, database, "Else", status=EXIT_USAGE)


def test_a_view_type_that_keeps_no_changes(tmp_path, database):
    Site(tmp_path / "data").close()
    text = said(tmp_path, database, "things")
    assert "keeps no changes" in text
    assert "`changes: true`" in text


def test_the_library_that_is_missing_is_named_with_its_extra():
    found = missing_extra(ModuleNotFoundError(name="psycopg"))
    assert found is not None
    assert "pip install 'projection-node[postgres]'" in str(found)
