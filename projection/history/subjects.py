"""Which subjects have to be read for one view: those of its aggregate, where its id tells which that is."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from projection.lang.partition import partitioning
from projection.model.subjects import common, disjoint

if TYPE_CHECKING:
    from projection.engine.deployment import DeployedView
    from projection.model.ids import TenantId, ViewId


class Subjects(NamedTuple):
    """What is to be read."""

    filters: tuple[str, ...]  # no subject is taken by two; empty: no event can touch such a view
    are_own: bool  # whether these are the subjects of the view's own aggregate, and not all of its tenant


def subjects_of(deployed: DeployedView, tenant_id: TenantId, view_id: ViewId, *, of_any_type: bool = False) -> Subjects:
    """All subjects whose events can touch a view; events of another tenant never do.

    Args:
        deployed: what folds the view.
        tenant_id: whose it is.
        view_id: its id.
        of_any_type: whether to take all types of aggregates, also those of which the program handles no event.
    """
    if deployed.entry.events is not None:  # what its subjects tell of a view's aggregate is not looked at
        return Subjects(deployed.entry.subjects, are_own=False)
    checked, template, tenancy = deployed.program.checked, deployed.entry.subject_template, deployed.tenancy
    aggregates = partitioning(checked).aggregate_ids(view_id)
    # The empty token names the default tenant; where there are no tenants, both are its.
    tenants: set[str | None] = {tenant_id, ""} if tenant_id == tenancy.default else {tenant_id}
    types: set[str | None] = set()
    for handler in checked.core.handlers:
        of = {checked.event_declarations[name].aggregate_type for name in handler.events}
        types |= {None} if of_any_type else of or {None}
    wanted = set()
    for aggregate_id in {None} if aggregates is None else aggregates:
        for tenant in tenants:
            try:
                wanted |= {template.filter(tenant, one, aggregate_id) for one in types}
            except ValueError:  # an id too long for a subject: no event has it
                continue
    found = common(wanted, deployed.entry.subjects)  # where any type will do, that covers the others
    return Subjects(found and disjoint(found, deployed.entry.all_subjects), aggregates is not None)


def subjects_of_tenant(deployed: DeployedView, tenant_id: TenantId) -> Subjects:
    """All subjects whose events concern a tenant, also those that reach no view of its.

    Messages that name no tenant, or none that can be, count as the default tenant's.
    """
    entry = deployed.entry
    if entry.events is not None or tenant_id == deployed.tenancy.default:
        return Subjects(entry.subjects, are_own=False)
    try:
        found = common({entry.subject_template.filter(tenant_id)}, entry.subjects)
    except ValueError:  # an id too long for a subject: no event has it
        found = ()
    return Subjects(found and disjoint(found, entry.all_subjects), are_own=False)
