"""Executors: the interpreter, the compiler, and what looks inside a computation."""
