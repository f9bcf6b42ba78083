"""`python -m benchmarks`: one JSON line a measure."""
