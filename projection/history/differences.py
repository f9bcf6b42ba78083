"""What a comparison of two builds says, as the JSON of commands and of the server."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import msgspec

from projection.history.changes import ABSENT

if TYPE_CHECKING:
    from projection.history.build_comparison import BuildComparison, ComparedBuild
    from projection.history.changes import Change
    from projection.history.comparison import First, ParkedDifference, ViewDifference


class BuildSide(msgspec.Struct, frozen=True):
    """One of the builds."""

    build: int
    at: int  # the last event that it had taken when it was compared
    views: int
    parked: int  # with what was skipped
    suspended: int  # views and tenants
    digest: str


class FirstEvent(msgspec.Struct, frozen=True):
    """The event behind which a view differs first."""

    sequence: int
    event_type: str | None
    old_lines: list[int]  # of the program, that ran for it
    new_lines: list[int]


class DifferingView(msgspec.Struct, frozen=True):
    """A view that is not the same in both."""

    tenant_id: str
    view_id: str
    differs: str  # `only_old`, `only_new` or `changed`
    changes: list[dict[str, Any]]  # `path`, `before` and `after`; what is not there is left out
    first: FirstEvent | None  # null where it was not looked for, or not found

    @classmethod
    def of(cls, view: ViewDifference) -> DifferingView:
        """The same of a view in this process; what is on one side only is told without its fields."""
        told = view.changes if view.kind == "changed" else []
        return cls(str(view.tenant_id), str(view.view_id), view.kind, [*map(change_as_json, told)], _first(view.first))


class DifferentlyParked(msgspec.Struct, frozen=True):
    """An event that is parked or skipped in one build only, or for another reason in each."""

    tenant_id: str
    view_id: str | None  # null where it reached no view
    sequence: int
    old: str | None  # the code; null where the event was taken
    new: str | None

    @classmethod
    def of(cls, one: ParkedDifference) -> DifferentlyParked:
        """The same of an event in this process."""
        view_id = None if one.view_id is None else str(one.view_id)
        return cls(str(one.tenant_id), view_id, one.sequence, one.old, one.new)


class BuildDifferences(msgspec.Struct, frozen=True):
    """What two builds of a view type hold differently."""

    view_type: str
    equal: bool  # whether both hold the same views and park the same events, as far as they can be compared
    at_one_event: bool
    old: BuildSide
    new: BuildSide
    only_old: int  # views
    only_new: int
    changed: int
    in_between: int | None  # views left out, for an event that only one build has taken is for them; null: not known
    fields: dict[str, int]  # in how many changed views each of them differs
    newly_parked: int  # events
    no_longer_parked: int
    parked_otherwise: int
    views: list[DifferingView]  # the first ones
    parked: list[DifferentlyParked]  # the first ones

    @classmethod
    def of(cls, found: BuildComparison) -> BuildDifferences:
        """The same of a comparison in this process."""
        return cls(
            view_type=str(found.old.build.view_type),
            equal=found.is_equal,
            at_one_event=found.is_at_one_event,
            old=_side(found.old),
            new=_side(found.new),
            only_old=found.kinds["only_old"],
            only_new=found.kinds["only_new"],
            changed=found.kinds["changed"],
            in_between=found.in_between if found.touched_is_known else None,
            fields=dict(found.fields),
            newly_parked=found.newly_parked,
            no_longer_parked=found.no_longer_parked,
            parked_otherwise=found.parked_otherwise,
            views=[*map(DifferingView.of, found.views)],
            parked=[*map(DifferentlyParked.of, found.parked)],
        )


def _side(one: ComparedBuild) -> BuildSide:
    return BuildSide(one.build.number, one.scanned, one.views, one.parked, one.suspended, one.digest)


def change_as_json(change: Change) -> dict[str, Any]:
    """`{"path", "before", "after"}`; what is not there is left out."""
    sides = (("before", change.before), ("after", change.after))
    return {"path": change.path} | {name: value for name, value in sides if value is not ABSENT}


def _first(first: First | None) -> FirstEvent | None:
    if first is None:
        return None
    envelope, lines = first.event.envelope, [[] if one is None else [*one.lines] for one in (first.old, first.new)]
    event_type = None if envelope is None else envelope.event_type
    return FirstEvent(first.event.message.sequence, event_type, *lines)
