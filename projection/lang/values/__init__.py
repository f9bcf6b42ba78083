"""Values at the boundary and within: numbers, times, and JSON to the declared types and back."""
