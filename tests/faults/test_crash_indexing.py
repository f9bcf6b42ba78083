"""`kill -9` while indexes are built and deleted in the background: what is there is sound, and the next node goes on."""

from __future__ import annotations

import signal
from itertools import count
from typing import TYPE_CHECKING

from node_faults import Point, Struck

from projection.model.ids import ViewType
from projection.query.reading import serving_reader
from projection.store.indexes import described

if TYPE_CHECKING:
    from crash_site import CrashSite

ORDERS, TALLIES = ViewType("shop_orders"), ViewType("tallies")
FIRST, EVERY_NTH = 8, 4  # each of the seven lanes writes once when it is opened; then come the indexes
LATER = {
    ORDERS: ("index by status, placed_on desc\n", "index by placed_on\nindex by items.sku\n"),
    TALLIES: ("view Tally", "index by total desc\nview Tally"),
}


def test_a_node_killed_while_it_builds_indexes_goes_on_where_it_was(site: CrashSite) -> None:
    site.publish()
    site.run_to_the_end()
    for view_type, (now, later) in LATER.items():
        program = site.folder / f"{view_type}.proj"
        assert now in program.read_text()
        program.write_text(program.read_text().replace(now, later))
    unfinished = 0
    for passing in count(FIRST, EVERY_NTH):
        with site.start(Struck(Point.OPENED, passing)) as node:
            status = node.wait()
        site.check()
        unfinished += not all(indexes(site, ORDERS).values())
        if status == 0:
            break
        assert status == -signal.SIGKILL, site.node_log()
    assert unfinished > 1
    by_customer = "customer_id, placed_on desc"
    assert indexes(site, ORDERS) == {by_customer: True, "placed_on": True, "items.sku": True}
    assert indexes(site, TALLIES) == {"total desc": True}
    site.check_all()


def indexes(site: CrashSite, view_type: ViewType) -> dict[str, bool]:
    """Whether each is built."""
    with serving_reader(site.data, view_type) as reader, reader.snapshot() as snapshot:
        return {described(index.keys): index.built for index in snapshot.indexes}
