"""What becomes of a build whose store is gone: a power loss took it, or somebody moved it away."""

import shutil

import pytest
from build_support import TALLY, fold_on, state
from engine_support import CORRECTED, Log, added, broken, deploy

from projection.engine.adoption import adopt
from projection.engine.builds import open_store
from projection.engine.recipes import deployed_by
from projection.errors import StorageDamagedError
from projection.store import dirty_mark
from projection.store.catalog import Catalog
from projection.store.dirty_mark import DirtyMark


def test_a_store_that_a_power_loss_took_is_folded_anew_and_told(tmp_path, deployed, logged, monkeypatch):
    data, log = tmp_path / "data", Log(added("x", 1), broken("x"), added("y", 5))
    fold_on(data, deployed, log.messages)
    before = state(data)
    with Catalog.open(data) as catalog:
        DirtyMark(catalog.require(TALLY).lane_path()).set()
    monkeypatch.setattr(dirty_mark, "boot_id", lambda: "another boot")
    fold_on(data, deployed, log.messages)
    assert ["build 1 of view type tallies"] == [one["build"] for one in logged if "went down" in one["event"]]
    assert before == state(data)


@pytest.fixture
def adopted(tmp_path, deployed):
    """A catalog whose answering build has taken over the views of another one."""
    fold_on(tmp_path / "data", deployed, Log(added("x", 1), broken("x")).messages)
    with Catalog.open(tmp_path / "data") as catalog:
        adopt(catalog, deploy(tmp_path / "new", CORRECTED)[0])
        yield catalog


def test_an_adopted_build_whose_store_is_gone_is_not_folded_anew(adopted):
    """The log gives back what the new program makes of it, and not what the former one left."""
    build = adopted.require(TALLY)
    shutil.rmtree(build.lane_path())
    for _ in range(2):
        with pytest.raises(StorageDamagedError, match="is gone, and the log does not give it back: it was adopted"):
            open_store(build, deployed_by(build))


def test_an_adopted_build_outlives_the_loss_of_power_whatever_the_settings_say(adopted):
    build = adopted.require(TALLY)
    with open_store(build, deployed_by(build), durability="process"):
        assert not DirtyMark(build.lane_path()).is_set()
