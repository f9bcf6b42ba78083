"""The projection language."""
