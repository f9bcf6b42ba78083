"""Operating a node: the server for queries, its health, its numbers."""
