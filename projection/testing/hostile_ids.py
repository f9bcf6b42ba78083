"""Generators of ids that try to break keys and subjects: prefixes of one another, separators, escapes, emoji."""

from __future__ import annotations

from hypothesis import strategies as st

from projection.model.ids import TenantId, ViewId

TRAPS = [
    "a",
    "ab",
    "a:",
    "a:b",
    "a%3Ab",
    "%",
    "%25",
    "%-",
    "*",
    ">",
    ".",
    "..",
    "_",
    "/",
    "-",
    "=",
    " ",
    "!",
    "😀",
    "é",
]
TRAPS += ["a\x00", "\x1f", "\x7f", "\n", "view", "view:a", "checkpoint", "a:orders:1", "orders", "0", "\uffff"]

# Few pieces, joined at random, so that ids often meet, and often begin with one another.
_texts = st.lists(st.sampled_from(TRAPS), max_size=4).map("".join) | st.text(
    st.characters(exclude_categories=["Cs"]), max_size=20
)


def tenant_ids() -> st.SearchStrategy[TenantId]:
    """Hostile ids of tenants that events can make, the empty one among them."""
    return _texts.map(lambda text: TenantId(text.strip(" \t")))


def view_ids() -> st.SearchStrategy[ViewId]:
    """Hostile view ids that still make a legal key."""
    return _texts.filter(bool).map(ViewId)
