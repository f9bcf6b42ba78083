"""The manifest: what it says, and what is said when it is wrong."""

import json
from pathlib import Path

import pytest
import yaml
from msgspec.structs import asdict

from projection.errors import ConfigurationError
from projection.model.manifest import FOLDED_LIMITS, Limits, Manifest, ManifestView, Policy, Start
from projection.model.settings import Settings

LIMITS_BESIDE_THE_FOLD = {"parked", "parked_per_tenant", "parked_per_view", "skipped"}
LEAST = {"manifest": 1, "views": {"fine_summary": {"program": "fine_summary.proj"}}}


@pytest.fixture
def load(tmp_path):
    """Loads a manifest from a folder of two programs."""
    folder = tmp_path / "fines"
    folder.mkdir()
    (folder / "fine_summary.proj").touch()
    (folder / "office_totals.proj").touch()
    (tmp_path / "outside.proj").touch()

    def load(document, name="manifest.yaml"):
        path = folder / name
        path.write_text(document if isinstance(document, str) else yaml.safe_dump(document, allow_unicode=True))
        return Manifest.load(path)

    return load


def with_view(**fields):
    return {"manifest": 1, "views": {"fine_summary": {"program": "fine_summary.proj"} | fields}}


def refusal(load, document, **names):
    with pytest.raises(ConfigurationError) as caught:
        load(document, **names)
    return caught.value.message


def test_a_view_type_cannot_have_the_name_of_the_catalogs_folder(load):
    found = refusal(load, {"manifest": 1, "views": {"catalog": {"program": "fine_summary.proj"}}})
    assert found.endswith("field views.catalog: 'catalog' is taken by the data folder itself; give it another name")


def test_the_least_manifest_has_every_default(load, tmp_path):
    manifest = load(LEAST)
    (view,) = manifest.views

    assert view.view_type == "fine_summary"
    assert (tmp_path / "fines" / "fine_summary.proj").resolve() == view.program
    assert view.subjects == ("tenant.*.aggregate.*.*",)
    assert str(view.start) == "first"
    assert view.on_error == Policy.PARK
    assert view.partition_by is None
    assert view.changes is False
    assert asdict(view.limits) == {
        "gas": 200_000,
        "route_gas": 10_000,
        "ids_per_event": 64,
        "view_bytes": 1048576,
        "parked": 10_000,
        "parked_per_tenant": 4_000,
        "parked_per_view": 2_000,
        "skipped": 1_000,
    }
    assert "tenant.<tenant>.aggregate.<type>.<id>" == str(view.subject_template) == str(manifest.subject_template)


def test_everything_that_it_says_is_taken(load):
    manifest = load(
        """
        manifest: 1
        subject_template: shop.<type>.<id>
        views:
          office_totals:
            program: ./office_totals.proj
          fine_summary:
            program: fine_summary.proj
            subjects: [shop.payment.*, shop.fine.*]
            start: {sequence: 17}
            on_error: halt
            limits: {gas: 5000, parked: 3}
        """
    )
    summary, totals = manifest.views

    assert [summary.view_type, totals.view_type] == ["fine_summary", "office_totals"]
    assert (summary.subjects, totals.subjects) == (("shop.fine.*", "shop.payment.*"), ("shop.*.*",))
    assert (Start(sequence=17), Policy.HALT, Limits(gas=5000, parked=3)) == (
        summary.start,
        summary.on_error,
        summary.limits,
    )


@pytest.mark.parametrize(
    ("name", "text"),
    [
        (
            "m.toml",
            'manifest = 1\n[views.fine_summary]\nprogram = "fine_summary.proj"\nstart.time = 2000-01-01T01:00:00+01:00\n',
        ),
        ("m.json", json.dumps(with_view(start={"time": "2000-01-01T00:00:00Z"}))),
        (
            "m.yaml",
            "manifest: 1\nviews: {fine_summary: {program: fine_summary.proj, start: {time: 2000-01-01T00:00:00Z}}}\n",
        ),
    ],
)
def test_yaml_toml_and_json_say_the_same(load, name, text):
    manifest = load(text, name)

    assert load(with_view(start={"time": "1999-12-31T23:00:00-01:00"})).views == manifest.views
    assert str(manifest.views[0].start) == "time 2000-01-01T00:00:00Z"


class TestFoldTerms:
    """What of a manifest is part of a fold's identity."""

    def test_what_is_at_its_default_is_no_part_of_them(self, load):
        (least,) = load(LEAST).views
        spelled_out = {
            "start": "first",
            "on_error": "park",
            "limits": asdict(Limits()),
            "changes": False,
            "columns": [],
        }
        (whole,) = load(with_view(**spelled_out, subjects=["tenant.*.aggregate.*.*"])).views

        assert {} == least.fold_terms() == whole.fold_terms()

    def test_the_defaults_of_an_edition_stay_what_they_are(self, load):
        """Another default would fold another state under the same identity; only a new edition may bring one."""
        assert {
            "on_error": "park",
            "limits.gas": 200_000,
            "limits.route_gas": 10_000,
            "limits.ids_per_event": 64,
            "limits.view_bytes": 1_048_576,
            "subjects": ["tenant.*.aggregate.*.*"],
            "subject_template": "tenant.<tenant>.aggregate.<type>.<id>",
            "events": None,
            "start": "first",
        } == load(LEAST).views[0].fold_settings()

    def test_they_name_what_is_not(self, load):
        (view,) = load(with_view(start={"sequence": 5}, on_error="skip", limits={"gas": 7})).views

        assert {"start": "sequence 5", "on_error": "skip", "limits.gas": 7} == json.loads(json.dumps(view.fold_terms()))

    def test_spelling_does_not_matter(self, load):
        two = ["tenant.*.aggregate.fine.*", "tenant.*.aggregate.payment.*"]
        (one,) = load(with_view(subjects=two)).views
        (other,) = load(with_view(subjects=two[::-1], start="first", limits={"gas": 200_000}, on_error="park")).views

        assert one.fold_terms() == other.fold_terms()

    @pytest.mark.parametrize(
        "change",
        [
            {"subjects": ["tenant.*.aggregate.fine.*"]},
            {"start": {"sequence": 2}},
            {"start": {"time": "2000-01-01T00:00:00Z"}},
            {"on_error": "skip"},
            {"on_error": "halt"},
            *({"limits": {name: 7}} for name in FOLDED_LIMITS),
        ],
    )
    def test_each_change_of_the_fold_changes_them(self, load, change):
        assert load(LEAST).views[0].fold_terms() != load(with_view(**change)).views[0].fold_terms()

    def test_each_field_of_an_entry_is_known_to_be_part_of_them_or_not(self):
        """A field that is added is no part of any identity until it is named, here and in `fold_settings`."""
        folded = {"subject_template", "subjects", "events", "start", "on_error", "limits"}
        beside = {
            "view_type",
            "program",
            "partition_by",
            "changes",
            "columns",
        }  # the program's digest is a term of its own

        assert folded | beside == set(ManifestView.__struct_fields__)
        assert set(FOLDED_LIMITS) | LIMITS_BESIDE_THE_FOLD == set(Limits.__struct_fields__)

    @pytest.mark.parametrize("name", sorted(LIMITS_BESIDE_THE_FOLD))
    def test_how_much_may_wait_is_no_part_of_them(self, load, name):
        assert {} == load(with_view(limits={name: 7})).views[0].fold_terms()

    @pytest.mark.parametrize("way", ["tenant", "subject", "view"])
    def test_how_the_log_is_split_among_lanes_changes_no_view(self, load, way):
        (view,) = load(with_view(partition_by=way)).views

        assert way == view.partition_by
        assert load(LEAST).views[0].fold_terms() == view.fold_terms()

    def test_whether_changes_are_kept_is_no_part_of_them(self, load):
        (view,) = load(with_view(changes=True)).views

        assert view.changes is True
        assert load(LEAST).views[0].fold_terms() == view.fold_terms()


@pytest.mark.parametrize(
    ("document", "message"),
    [
        ({"views": LEAST["views"]}, "field manifest: is missing"),
        ({"manifest": 1}, "field views: is missing"),
        (LEAST | {"manifest": 2}, "field manifest: 2 is not allowed; it must be 1"),
        (LEAST | {"manifest": "1"}, "field manifest: '1' is not allowed"),
        (LEAST | {"manifest": True}, "field manifest: True is not allowed; it must be 1"),
        (LEAST | {"veiws": {}}, "field veiws: is not known; did you mean 'views'?"),
        (LEAST | {"zzzzzz": {}}, "field zzzzzz: is not known; known here: events, manifest, subject_template, views"),
        ({"manifest": 1, "views": {}}, "field views: must not be empty"),
        ({"manifest": 1, "views": ["a"]}, "field views: must be a mapping, not a list"),
        ({"manifest": 1, "views": {"fine_summary": None}}, "field views.fine_summary: must be a mapping, not empty"),
        ({"manifest": 1, "views": {"fine_summary": {}}}, "field views.fine_summary.program: is missing"),
        (
            {"manifest": 1, "views": {"Fine": {"program": "fine_summary.proj"}}},
            "field views.Fine: view type 'Fine' is not a",
        ),
        (with_view(program=1), "field views.fine_summary.program: 1 is not allowed; it must be a valid string"),
        (with_view(on_eror="park"), "field views.fine_summary.on_eror: is not known; did you mean 'on_error'?"),
        (with_view(on_error="drop"), "on_error: 'drop' is not allowed; it must be 'park', 'skip' or 'halt'"),
        (
            with_view(partition_by="id"),
            "field views.fine_summary.partition_by: 'id' is not allowed; it must be 'tenant', 'subject' or 'view'",
        ),
        (with_view(start="last"), "field views.fine_summary.start: 'last' is not a start: `first`, `{sequence: 17}`"),
        (with_view(start={}), "is not a start"),
        (with_view(start={"sequence": 1, "time": "2000-01-01T00:00:00Z"}), "is not a start"),
        (with_view(start={"sequence": 0}), "field views.fine_summary.start.sequence: 0 is not allowed"),
        (with_view(start={"sequence": True}), "field views.fine_summary.start.sequence: True is not allowed"),
        (
            with_view(start={"sequenc": 1}),
            "field views.fine_summary.start.sequenc: is not known; did you mean 'sequence'?",
        ),
        (with_view(start={"time": "yesterday"}), "start.time: 'yesterday' is not an RFC 3339 timestamp"),
        (with_view(start={"time": "2000-01-01T00:00:00"}), "is not an RFC 3339 timestamp with an offset"),
        (with_view(limits={"gas": 0}), "limits.gas: 0 is not allowed; it must be greater than or equal to 1"),
        (
            with_view(limits={"gas": 10**9}),
            "limits.gas: 1000000000 is not allowed; it must be less than or equal to 10000000",
        ),
        (
            with_view(limits={"gas": 10**7}),
            "limits: gas times ids_per_event is 640000000, and one event may use 100000000, about a second of work",
        ),
        (with_view(limits={"gas": "many"}), "limits.gas: 'many' is not allowed"),
        (with_view(limits={"gas": "5"}), "limits.gas: '5' is not allowed"),
        (with_view(limits={"gas": 5.0}), "limits.gas: 5.0 is not allowed"),
        (with_view(limits={"gass": 5}), "limits.gass: is not known; did you mean 'gas'?"),
        (with_view(subjects=[]), "field views.fine_summary.subjects: must not be empty"),
        (with_view(subjects="tenant.*.aggregate.fine.*"), "subjects: 'tenant.*.aggregate.fine.*' is not allowed"),
        (with_view(subjects=[1]), "field views.fine_summary.subjects.0: 1 is not allowed"),
        (with_view(subjects=["tenant.>"]), "subjects: 'tenant.>' takes subjects that do not have the form"),
        (with_view(subjects=["tenant..aggregate.fine.*"]), "is not a subject filter"),
        (
            with_view(subjects=["tenant.a.aggregate.fine.*", "tenant.*.aggregate.fine.*"]),
            "take some of the same subjects",
        ),
        (with_view(subjects=["tenant.*.aggregate.fine.*"] * 2), "take some of the same subjects"),
        (LEAST | {"subject_template": "a.<tenant>"}, "field subject_template: 'a.<tenant>' must name <type> once"),
        (LEAST | {"subject_template": 5}, "field subject_template: 5 is not allowed"),
        (with_view(program="fine_summry.proj"), "program: 'fine_summry.proj' does not exist (looked for the file "),
        (with_view(program="."), "program: '.' does not exist"),
        (with_view(program=""), "program: '' does not exist"),
        (with_view(program="../outside.proj"), "program: '../outside.proj' is not a path inside the manifest's folder"),
        (with_view(program="/etc/passwd"), "is not a path inside the manifest's folder"),
        (with_view(program="a\0b"), "is not a path of a file"),
        (with_view(program="a" * 5000), "is not a path of a file"),
    ],
)
def test_what_is_wrong_is_named_with_file_field_value_and_what_is_allowed(load, document, message):
    found = refusal(load, document)

    assert message in found
    assert "manifest.yaml" in found
    assert "\n" not in found


def test_all_that_is_wrong_is_said_at_once(load):
    views = {"one": {"program": "a.proj", "on_error": "no"}, "two": {"limits": {"gas": -1}}}

    assert len(refusal(load, {"manifest": 1, "views": views}).splitlines()) == 3 + 1


def test_all_missing_programs_are_said_at_once(load):
    views = {"one": {"program": "a.proj"}, "two": {"program": "b.proj", "subjects": ["x"]}}
    found = refusal(load, {"manifest": 1, "views": views})

    assert "has 3 problems" in found
    for part in (
        "views.one.program: 'a.proj' does not",
        "views.two.program: 'b.proj' does not",
        "views.two.subjects: 'x'",
    ):
        assert part in found


def test_a_program_is_named_from_the_manifest_even_inside_its_folder(load, tmp_path):
    absolute = str(tmp_path / "fines" / "fine_summary.proj")

    assert "is not a path inside the manifest's folder" in refusal(load, with_view(program=absolute))


def test_a_link_does_not_lead_out_of_the_folder(load, tmp_path):
    (tmp_path / "fines" / "link.proj").symlink_to(tmp_path / "outside.proj")

    assert "'link.proj' is not a path inside the manifest's folder" in refusal(load, with_view(program="link.proj"))


def test_a_link_inside_the_folder_is_followed(load, tmp_path):
    (tmp_path / "fines" / "link.proj").symlink_to("office_totals.proj")

    assert load(with_view(program="link.proj")).views[0].program.name == "office_totals.proj"


def test_a_loop_of_links_is_no_program(load, tmp_path):
    (tmp_path / "fines" / "loop.proj").symlink_to("loop.proj")

    assert "'loop.proj' does not exist" in refusal(load, with_view(program="loop.proj"))


def test_a_broken_file_is_named(load):
    assert "manifest.yaml, line 2, column 1: the key 'manifest' appears twice" in refusal(
        load, "manifest: 1\nmanifest: 1\n"
    )


def test_a_manifest_is_found_from_another_folder(load, tmp_path, monkeypatch):
    load(LEAST)
    monkeypatch.chdir(tmp_path)

    assert (tmp_path / "fines/fine_summary.proj").resolve() == Manifest.load(Path("fines/manifest.yaml")).views[
        0
    ].program


def test_settings_do_not_read_the_manifest(tmp_path):
    assert Path("missing.yaml") == Settings.load(None, {"manifest": Path("missing.yaml")}, {}).manifest
