"""The server dies, or falls silent, in the middle of a fetch: the node finds to it again by itself and loses nothing."""

from __future__ import annotations

import signal
from time import sleep
from typing import TYPE_CHECKING

from node_faults import Point, Struck

if TYPE_CHECKING:
    from crash_site import CrashSite

DOWN_S = 0.5
SILENCE_S = 4.0  # longer than the feed waits for a word

in_mid_fetch = Struck(Point.RECEIVED, 2, signal.SIGSTOP)  # there the node waits until the server has been harmed


def test_a_server_killed_in_mid_fetch_and_started_again_is_read_on(site: CrashSite) -> None:
    site.publish()
    with site.start(in_mid_fetch) as node:
        node.wait_until_it_is_frozen()
        site.server.kill()
        node.send(signal.SIGCONT)
        sleep(DOWN_S)
        site.server.start()
        assert node.wait() == 0, site.node_log()
    site.check_all()


def test_a_server_that_falls_silent_in_mid_fetch_is_read_on(site: CrashSite) -> None:
    site.publish()
    with site.start(in_mid_fetch) as node:
        node.wait_until_it_is_frozen()
        site.server.pause()
        node.send(signal.SIGCONT)
        sleep(SILENCE_S)
        site.server.resume()
        assert node.wait() == 0, site.node_log()
    site.check_all()


def test_a_server_that_dies_with_the_node_comes_back_with_it(site: CrashSite) -> None:
    site.publish()
    with site.start(in_mid_fetch) as node:
        node.wait_until_it_is_frozen()
        site.server.kill()
        node.kill()
    site.server.start()
    site.check()
    site.run_to_the_end()
    site.check_all()
