"""Search for what events can do to a program that its author did not mean: `projection fuzz` (docs/fuzzing.md).

`observing` folds some events and says what is remarkable, `searching` finds events for which something new is, and has
hypothesis make them few; `growth` goes on with them, `findings` puts all of it in words, and `fuzzing` is the whole.
"""
