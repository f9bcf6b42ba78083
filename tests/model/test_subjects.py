"""Subjects, their template and filters."""

import pytest
from hypothesis import given

from projection.model import subjects as subjects_module
from projection.model.ids import TenantId
from projection.model.subjects import DEFAULT_TEMPLATE, SubjectTemplate, common, filter_problem, matcher, overlapping
from projection.testing.hostile_ids import tenant_ids

DEFAULT = SubjectTemplate.parse(DEFAULT_TEMPLATE)


@given(tenant_ids(), tenant_ids(), tenant_ids())
def test_any_ids_make_a_subject_that_names_the_tenant(tenant, aggregate_type, aggregate_id):
    subject = DEFAULT.subject(tenant, aggregate_type, aggregate_id)

    assert tenant == DEFAULT.tenant_of(subject)
    assert DEFAULT.filter_problem(subject) is None
    assert len(subject.split(".")) == 5


@given(tenant_ids(), tenant_ids())
def test_different_aggregates_never_share_a_subject(one, other):
    assert (one == other) == (DEFAULT.subject("t", "a", one) == DEFAULT.subject("t", "a", other))


def test_the_default_template_reads_like_the_readme():
    assert DEFAULT.subject("office-s", "fine", "S38735") == "tenant.office-s.aggregate.fine.S38735"
    assert DEFAULT.subject("", "fine", "a.b") == "tenant.%-.aggregate.fine.a%2Eb"
    assert DEFAULT.filter() == "tenant.*.aggregate.*.*"
    assert str(DEFAULT) == DEFAULT_TEMPLATE


def test_a_template_without_a_tenant_names_none():
    template = SubjectTemplate.parse("shop.<type>.<id>")

    assert template.tenant_of("shop.order.1") is None
    assert template.filter() == "shop.*.*"


@pytest.mark.parametrize(
    "subject",
    [
        "tenant.a.aggregate.fine",
        "tenant.a.aggregate.fine.1.2",
        "tenants.a.aggregate.fine.1",
        "tenant.a.b.fine.1",
        "tenant.%.aggregate.fine.1",
        "tenant..aggregate.fine.1",
        "tenant.é.aggregate.fine.1",
        f"tenant.{'a' * 201}.aggregate.fine.1",
    ],
)
def test_a_subject_of_another_form_names_no_tenant(subject):
    with pytest.raises(ValueError):
        DEFAULT.tenant_of(subject)


@pytest.mark.parametrize(
    ("template", "subject", "tenant"),
    [
        (DEFAULT_TEMPLATE, "tenant.a.aggregate.order.1", "a"),
        ("<tenant>.<type>.<id>", "a.order.1", "a"),
        ("shop.<type>.<id>.<tenant>", "shop.order.1.a", "a"),
        ("shop.<id>.<tenant>.<type>", "shop.1.a.order", "a"),
        ("<id>.shop.<tenant>.<type>.v1", "1.shop.a.order.v1", "a"),
        ("shop.<type>.<id>", "shop.order.1", None),
        ("<type>.<id>", "order.1", None),
    ],
)
def test_the_tenant_is_read_from_wherever_the_template_has_it_and_nothing_else_is_let_pass(template, subject, tenant):
    reads = SubjectTemplate.parse(template).tenant_reader()
    fixed = [token for token in template.split(".") if not token.startswith("<")]
    others = {f"x.{subject}", f"{subject}.x", f"{subject}.x.y", subject.replace(".", "", 1), subject.partition(".")[0]}
    others |= {subject.replace(word, f"{word}s") for word in fixed}

    for _ in range(2):  # what was seen before is looked up
        assert (tenant, None if tenant is None else TenantId) == ((found := reads(subject)), found and type(found))
        assert tenant == reads(subject.replace("order", "fine"))
        for other in others:
            with pytest.raises(ValueError, match=f"subject '{other}' does not have the form {template}"):
                reads(other)


def test_however_many_tenants_come_few_are_remembered(monkeypatch):
    monkeypatch.setattr(subjects_module, "_REMEMBERED", 3)
    reads = DEFAULT.tenant_reader()

    for _ in range(2):
        assert [f"t{number}" for number in range(10)] == [
            reads(f"tenant.t{number}.aggregate.a.1") for number in range(10)
        ]
    [known] = [cell.cell_contents for cell in reads.__closure__ if isinstance(cell.cell_contents, dict)]
    assert len(known) <= 3


@pytest.mark.parametrize(
    "text",
    [
        "",
        "<type>",
        "<id>.<tenant>",
        "<type>.<id>.<id>",
        "a..<type>.<id>",
        "<types>.<id>",
        "a.*.<type>.<id>",
        "a.>",
        "é.<type>.<id>",
    ],
)
def test_a_template_needs_its_places_once_and_plain_words(text):
    with pytest.raises(ValueError):
        SubjectTemplate.parse(text)


@pytest.mark.parametrize("text", ["a", "a.b", "*", ">", "a.*.c", "a.>", "%-.a%2Eb", "$JS.x", "é"])
def test_a_legal_filter_has_no_problem(text):
    assert filter_problem(text) is None


@pytest.mark.parametrize(
    "text", ["", ".", "a.", ".a", "a..b", "a b", "a\t", "a\n", "a*", "a.b>", ">.a", "a.>.b", "\x00", "\ud800"]
)
def test_what_is_no_filter_is_named(text):
    assert "is not a subject filter" in filter_problem(text)


@pytest.mark.parametrize(
    ("subject_filter", "reason"),
    [
        ("tenant.>", "do not have the form"),
        ("tenant.*.aggregate.fine.>", "do not have the form"),
        ("tenant.*.aggregate.fine", "do not have the form"),
        ("*.*.aggregate.fine.*", "do not have the form"),
        ("tenant.*.aggregates.fine.*", "do not have the form"),
        ("tenant.Zürich.aggregate.fine.*", r"must be written 'Z%C3%BCrich'"),
        ("tenant.a b.aggregate.fine.*", "is not a subject filter"),
    ],
)
def test_a_filter_outside_the_template_is_named(subject_filter, reason):
    assert reason in DEFAULT.filter_problem(subject_filter)


@pytest.mark.parametrize("text", ["tenant.*.aggregate.*.*", "tenant.a.aggregate.fine.*", "tenant.%-.aggregate.fine.S1"])
def test_a_filter_inside_the_template_has_no_problem(text):
    assert DEFAULT.filter_problem(text) is None


@pytest.mark.parametrize(
    ("one", "other", "expected"),
    [("a.*", "a.b", True), ("a.*", "*.b", True), ("a.b", "a.b", True), ("a.*", "b.*", False), ("a.b", "a.c", False)],
)
def test_two_filters_overlap_where_one_subject_fits_both(one, other, expected):
    assert expected == overlapping(one, other) == overlapping(other, one)


@pytest.mark.parametrize(
    ("filters", "subject", "expected"),
    [
        (["a.*.c"], "a.b.c", True),
        (["a.*.c"], "a.b.x.c", False),
        (["a.>"], "a.b.c", True),
        (["a.>"], "a", False),
        (["a.b", "a.c"], "a.c", True),
        (["a.b", "a.c"], "a.b.c", False),
        (["$x.a+"], "$x.aa", False),
        (["$x.a+"], "$x.a+", True),
    ],
)
def test_a_matcher_decides_as_the_server_does(filters, subject, expected):
    assert expected == matcher(filters)(subject)


@pytest.mark.parametrize(
    ("ones", "others", "expected"),
    [
        (["a.*.c"], ["*.b.*"], ("a.b.c",)),
        (["a.*"], ["b.*"], ()),
        (["a.*", "a.b"], ["*.*"], ("a.*",)),  # what another covers is read once
        (["*.x", "*.y"], ["a.*"], ("a.x", "a.y")),
        ([], ["a.*"], ()),
    ],
)
def test_what_two_sets_of_filters_have_in_common_is_taken_once(ones, others, expected):
    assert expected == common(ones, others)


def test_a_filter_with_what_is_known_takes_those_subjects_only():
    assert "tenant.t.aggregate.*.a%3A1" == DEFAULT.filter("t", aggregate_id="a:1")
    assert matcher([DEFAULT.filter("", "order")])(DEFAULT.subject("", "order", "7"))
    assert not matcher([DEFAULT.filter("", "order")])(DEFAULT.subject("t", "order", "7"))
