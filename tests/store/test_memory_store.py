"""The memory back end holds the contract; it is what the others are compared with."""

from projection.store.memory import MemoryLaneStore
from projection.testing.store_contract import LaneStoreContract


class TestMemoryLaneStore(LaneStoreContract):
    def new_store(self) -> MemoryLaneStore:
        return MemoryLaneStore()
