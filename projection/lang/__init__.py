"""The projection language: from a program's text to what becomes of a view.

>>> from projection.lang.check.checker import check
>>> from projection.lang.program import Meta, Program
>>> from projection.lang.source import Source
>>> program = Program(check(Source("counter.proj", '''proj 1
... projection counter
... event Counted { id: string(40), by: decimal(2) }
... view Counter { total: decimal(2) = 0.00 }
... on Counted as e to e.id => (view ?? {}) with { total += e.by }
... ''')))
>>> from datetime import UTC, date, datetime
>>> meta = Meta(
...     aggregate_id="a", aggregate_type="counter", correlation_id=None, date=date(2026, 3, 1), event_id=None,
...     sequence=1, tenant_id="", time=datetime(2026, 3, 1, tzinfo=UTC), type="Counted",
... )
>>> event, targets, gas = program.reaction("counter", "Counted").take(b'{"id": "a", "by": 62.59}', meta)
>>> list(targets)
['a']
>>> applied = program.apply("a", targets["a"], event, meta, None)
>>> program.encode_view(applied.view)
b'{"total":62.59}'

The way of a program: `syntax` reads it, `check` turns it into `core`, `cost` prices it, `run` executes it, with the
operations of `library` on the values of `values`. `program` is what the engine uses.
"""
