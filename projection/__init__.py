"""A node for read models: deterministic programs folded over a JetStream log into LMDB, exactly once."""

from importlib.metadata import version

__version__ = version("projection-node")
__all__ = ["__version__"]
