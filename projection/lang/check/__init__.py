"""Syntax tree → core: names, types, places, and every diagnostic of a program."""
