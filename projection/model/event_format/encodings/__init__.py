"""Bodies that are no JSON, or compressed: each is made the JSON that it means, and read as that."""
