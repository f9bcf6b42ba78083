"""What goes wrong in a cluster, to the servers, to the links, to the node and to the loader."""

from __future__ import annotations

import random
import signal
from dataclasses import dataclass
from time import sleep
from typing import TYPE_CHECKING

from cluster import SIZE

if TYPE_CHECKING:
    from cluster_site import ClusterSite
    from crash_site import NodeProcess
    from loader import Loader

_DOWN = ("kill", "stop", "lame_duck", "pause")  # what takes a server away; `Cluster` has a method for each
_OF_ONE_SERVER = (*_DOWN, "isolated", "isolated, and refused")
_OF_LINKS = ("slow", "cut")  # of all links of the node, or of the loader
RENEWAL = "certificates renewed"
KINDS = (
    *_OF_ONE_SERVER,
    *(f"{whose} links {how}" for whose in ("node", "loader") for how in _OF_LINKS),
    "step_down",
    "consumers",
    "node killed",
    "node frozen",
    "loader killed",
)
_BYTES = (500, 200_000)  # a second, or in the mean until a connection is cut


@dataclass(frozen=True, slots=True)
class Fault:
    """What goes wrong, to whom, when and for how long."""

    kind: str
    number: int | None  # of the server; None: the one that has the stream in its charge
    after_s: float
    for_s: float
    size: int  # bytes a second, or in the mean until a connection is cut

    @classmethod
    def draw(cls, dice: random.Random, kind: str) -> Fault:
        """A fault of a kind."""
        least, most = _BYTES
        size = int(least * (most / least) ** dice.random())  # as often small as large
        return cls(kind, dice.choice((None, *range(SIZE))), dice.uniform(0.0, 1.0), dice.uniform(0.5, 8.0), size)

    def strike(self, site: ClusterSite, node: NodeProcess, loader: Loader) -> None:
        """Returns as soon as it is over, but for a node that was killed: it stays so."""
        node.wait_until_it_reads()
        sleep(self.after_s)
        match self.kind:
            case "step_down":
                site.step_down()
            case "consumers":
                site.delete_consumers()
            case "node killed":
                node.kill()
            case "node frozen":
                node.send(signal.SIGSTOP)
                sleep(self.for_s)
                node.send(signal.SIGCONT)
            case "loader killed":
                loader.kill()
            case kind if kind == RENEWAL:
                site.renew()
            case kind if kind in _OF_ONE_SERVER:
                self._harm_server(site)
            case _:
                self._harm_links(site)

    def _harm_server(self, site: ClusterSite) -> None:
        number = self.number if self.number is not None else site.leader() or 0
        if self.kind in _DOWN:
            getattr(site.server, self.kind)(number)
        else:
            site.server.isolate(number, refused=self.kind.endswith("refused"))
        sleep(self.for_s)
        site.restore()

    def _harm_links(self, site: ClusterSite) -> None:
        links = site.server.to_nodes if self.kind.startswith("node") else site.server.to_loaders
        dice = random.Random(self.size)

        def harm() -> None:
            for link in links:
                if self.kind.endswith("slow"):
                    link.bytes_per_s = self.size
                else:
                    link.cut(dice, self.size)

        site.server.links.tell(harm)
        sleep(self.for_s)
        site.restore()
