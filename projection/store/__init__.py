"""The store: views and checkpoints, written in one transaction (`port`), in memory and in LMDB."""
