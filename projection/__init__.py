"""A node for read models: deterministic programs folded over a JetStream log into LMDB, exactly once."""

from __future__ import annotations

__all__ = ["__version__"]


def __getattr__(name: str) -> str:
    if name != "__version__":
        raise AttributeError(name)
    from importlib.metadata import version  # noqa: PLC0415 - 50 ms, which only those pay who ask

    return version("projection-node")
