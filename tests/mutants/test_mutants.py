"""The faults that the suite must notice: each is put into a copy of the package, and the tests named with it fail there.

A mutant is a small change of the source's text that must apply exactly once: where the code has moved on, the mutant has
to, or the test says so.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

import pytest
from patience import WITHIN_S
from sampling import ALL, SEED, sampled

ROOT = Path(__file__).resolve().parents[2]
PACKAGE = "projection"
SAMPLE = 4  # in a run that is not long
BESIDE = ("grammar", "projections", "docs")  # what the package looks for beside itself in a checkout


@dataclass(frozen=True)
class Mutant:
    """One thing gone wrong, in one file, and the tests that notice it."""

    name: str
    file: str
    changes: tuple[tuple[str, str], ...]
    killed_by: str  # as pytest is told

    def apply(self, package: Path) -> None:
        path = package / self.file
        text = path.read_text()
        for right, wrong in self.changes:
            assert text.count(right) == 1, f"{self.name}: {self.file} holds {right!r} {text.count(right)} times"
            text = text.replace(right, wrong)
        path.write_text(text)


MUTANTS = [
    Mutant(
        "no epoch check",
        "store/port.py",
        (("if epoch != stored:", "if False:"),),
        "tests/engine/test_lane_position.py::test_a_lane_whose_store_has_a_new_owner_can_commit_nothing",
    ),
    Mutant(
        "no base check",
        "store/port.py",
        (("if self.base == position:", "if True:"),),
        "tests/engine/test_lane_position.py",
    ),
    Mutant(
        "words in the digest",
        "model/parked.py",
        (("        event.subject,\n        *", "        event.subject,\n        event.message,\n        *"),),
        "tests/model/test_parked_digest.py",
    ),
    Mutant(
        "headers of a message only where a manifest describes it",
        "engine/parking.py",
        (("{*header_names(deployed.entry.events), *parts.headers}", "{*header_names(deployed.entry.events)}"),),
        "tests/engine/test_message_parts.py::test_what_a_parked_event_keeps_of_its_message_is_what_the_program_reads",
    ),
    Mutant(
        "parked events without what is read of their messages",
        "engine/adoption.py",
        (("if lacking and self._queues:", "if False:"),),
        "tests/engine/test_message_parts.py::test_a_program_that_reads_more_than_parked_events_keep_cannot_adopt_them",
    ),
    Mutant(
        "old forms made whole for their routes",
        "lang/check/rewriting.py",
        (("if read is None or leaves", "if True or leaves"),),
        "tests/engine/test_old_forms.py::test_an_old_form_that_cannot_be_turned_is_parked_for_its_view_and_later_events_wait",
    ),
    Mutant(
        "old forms of old forms left out",
        "lang/check/upcasts.py",
        (("            yield from self._of_old_forms(derived)\n", ""),),
        "tests/lang/test_upcasting.py::TestWhatBecomesOfOldForms::test_it_goes_on_through_any_number_of_forms",
    ),
    Mutant(
        "slots of a function over those of its handler",
        "lang/check/rewriting.py",
        (("META: core.META}, slots - FIRST_FREE)", "META: core.META}, 0)"),),
        "tests/lang/test_upcasting.py::test_variables_of_a_route_and_of_what_it_reads_are_kept_apart",
    ),
    Mutant(
        "defaults in the identity",
        "model/manifest.py",
        (("if value != defaults[name]}", "}"),),
        "tests/model/test_manifest.py::TestFoldTerms",
    ),
    Mutant(
        "views renamed over one another",
        "store/migration.py",
        (("for old in sorted(escaped, key=len):", "for old in escaped:"),),
        "tests/engine/test_migration.py::test_what_was_folded_before_equals_a_fold_anew",
    ),
    Mutant(
        "indexes of renamed views kept",
        "store/migration.py",
        (("    if is_any_renamed:\n", "    if False:\n"),),
        "tests/engine/test_migration.py::test_each_store_is_sound_and_goes_on",
    ),
    Mutant(
        "a build under way that is not told what was decided",
        "engine/operations.py",
        (("        for one in others:\n", "        for one in ():\n"),),
        "tests/ops/test_live_operations.py::test_a_decision_reaches_the_build_that_is_under_way",
    ),
    Mutant(
        "a pause that ends with the process",
        "store/catalog.py",
        (("            transaction.put(key, reason)\n", ""),),
        "tests/ops/test_live_operations.py::test_a_paused_view_type_is_served_and_not_folded_until_it_is_resumed_over_restarts_too",
    ),
    Mutant(
        "a rebuild that a restart forgets",
        "engine/builds.py",
        (("    if candidate is not None and candidate.base_identity == one.base_identity:\n", "    if False:\n"),),
        "tests/ops/test_live_operations.py::test_a_rebuild_goes_on_after_a_restart",
    ),
    Mutant(
        "a build that parks more than the other answers",
        "engine/gates.py",
        (("or not _parks(new)):", "or True):"),),
        "tests/engine/test_node.py::test_a_run_until_caught_up_ends_where_a_gate_holds_the_new_build",
    ),
    Mutant(
        "a former build that is not folded on",
        "engine/roster.py",
        (("if one.old is not None and one.follows:", "if False:"),),
        "tests/ops/test_promotion.py::test_going_back_is_one_step_and_loses_nothing_and_holds_over_restarts",
    ),
    Mutant(
        "a restart that undoes going back",
        "engine/builds.py",
        (("answers.number != build.number and build.gate.rolled_back:", "False:"),),
        "tests/ops/test_promotion.py::test_going_back_is_one_step_and_loses_nothing_and_holds_over_restarts",
    ),
    Mutant(
        "a cutover while an operation is at work",
        "engine/cutover.py",
        ((" or one.new.view_type in self.held:", ":"),),
        "tests/ops/test_live_operations.py::test_a_decision_reaches_the_build_that_is_under_way",
    ),
    Mutant(
        "start one off",
        "stream/opening.py",
        (('"opt_start_seq": sequence,', '"opt_start_seq": sequence + 1,'),),
        "tests/stream/test_jetstream_feed.py::test_reading_begins_right_behind_the_position",
    ),
    Mutant(
        "no chain check",
        "stream/chain.py",
        (
            ('if number != self._number + 1 or sequence <= self.sequence or delivered != "1":', "if False:"),
            ("or sequence <= last or int(number_digits) != number + 1", ""),
        ),
        "tests/stream/test_chain.py::test_frames_are_taken_up_to_the_first_that_is_no_next_message_of_the_consumer",
    ),
    Mutant(
        "acknowledge before commit",
        "engine/reading.py",
        (("min(member.lane.position.scanned for", "min(member.lane.scanned for"),),
        "tests/engine/test_node.py::test_nothing_is_acknowledged_that_is_not_committed_by_every_view_type",
    ),
    Mutant(
        "checkpoint in a second transaction",
        "store/lmdb_store.py",
        (
            (
                "            transaction.put(POSITION, commit.position.model_dump_json().encode())\n            transaction.put(DIGEST,",
                "            transaction.put(DIGEST,",
            ),
            (
                "        self._environment.update(write, on_written)\n",
                """        self._environment.update(write, on_written)
        position = commit.position.model_dump_json().encode()
        self._environment.update(lambda transaction: transaction.put(POSITION, position))
""",
            ),
        ),
        "tests/faults/test_crash_points.py::test_a_node_killed_at_a_step_leaves_the_fold_so_far_and_the_next_one_goes_on[stored]",
    ),
    Mutant(
        "idle rule without its second half",
        "stream/log_end.py",
        (("if unread is not None or state.last_seq <= after:", "if state.last_seq <= after:"),),
        "tests/stream/test_jetstream_feed.py::test_scanned_never_passes_a_message_that_is_stored_and_not_yet_delivered",
    ),
    Mutant(
        "the end of the log read after the question for the next message",
        "stream/log_end.py",
        (
            (
                "                return state, found\n        return state, None\n",
                """                return state, found
        return (await self._jetstream.stream_info(stream)).state, None
""",
            ),
        ),
        "tests/stream/test_jetstream_feed.py::test_scanned_never_passes_a_message_that_is_stored_while_the_log_is_asked",
    ),
    Mutant(
        "tenant left out of the key of the cached views",
        "engine/view_cache.py",
        (
            ("cached = self._views[target] =", "cached = self._views[target[1]] ="),
            ("self.get = self._views.get", "self.get = lambda target: self._views.get(target[1])"),
        ),
        "tests/engine/test_lane_fold.py",
    ),
    Mutant(
        "position of a lane that handles nothing not moved",
        "engine/reading.py",
        (
            (
                "            member.lane.move_to(scanned, time)\n",
                "            if member.lane.has_changes:\n                member.lane.move_to(scanned, time)\n",
            ),
        ),
        "tests/engine/test_node.py::test_a_view_type_that_handles_nothing_of_the_log_stands_at_its_end_all_the_same",
    ),
    Mutant(
        "a lane joins others that have gone on",
        "engine/reading.py",
        (("        self._awaited_at = position\n", "        self._awaited_at = 0\n"),),
        "tests/engine/test_reading.py",
    ),
    Mutant(
        "a commit that failed is forgotten",
        "engine/committer.py",
        (
            (
                "                self.breaker.failed(error)\n",
                "                self.breaker.failed(error)\n                self.lane.committed()\n                return\n",
            ),
        ),
        "tests/engine/test_node.py::"
        "test_a_store_that_cannot_be_written_for_a_while_stops_nothing_and_nothing_is_done_twice",
    ),
    Mutant(
        "digest without parked events",
        "engine/lane.py",
        (("self._digest.plus(sealed.gained + parking.gained)", "self._digest.plus(sealed.gained)"),),
        "tests/engine",
    ),
    Mutant(
        "tenant left out of the keys of index entries",
        "store/indexes.py",
        (
            (
                'start = b"%b%b:" % (prefix, tenant)\n                if old',
                'start = prefix + b":"\n                if old',
            ),
            ('prefix + escape_part(tenant_id).encode() + b":"', 'prefix + b":"'),
        ),
        "tests/store/test_indexes.py::test_tenants_never_meet",
    ),
    Mutant(
        "the entries of a view as it was left in the index",
        "store/indexes.py",
        (("                    found[start + _cut(old + last)] = None\n", "                    pass\n"),),
        "tests/engine/test_indexing.py::test_a_commit_brings_the_entries_of_what_it_changes",
    ),
    Mutant(
        "an index taken for built a piece too early",
        "store/index_building.py",
        (("self._is_last = len(chunk) < views", "self._is_last = len(chunk) <= views"),),
        "tests/engine/test_indexing.py::test_an_index_that_is_declared_later_is_built_from_the_views",
    ),
    Mutant(
        "ids of changes bound to no tenant",
        "query/changes.py",
        (("(tenant_id.encode(), followed)", '(b"", followed)'),),
        "tests/query/test_following.py::TestPlacesAsTexts",
    ),
    Mutant(
        "a float taken for the number of its digits",
        "model/event_format/encodings/json_form.py",
        (("""b'{"float":%b}' % repr(value).encode()""", "repr(value).encode()"),),
        "tests/lang/test_binary_floats.py",
    ),
    Mutant(
        "a compressed body without a bound",
        "model/event_format/encodings/compressed.py",
        (
            ("one.decompress(rest, MAX_ENVELOPE_BYTES + 1 - len(found))", "one.decompress(rest)"),
            ("if len(found) > MAX_ENVELOPE_BYTES:", "if False:"),
        ),
        "tests/model/test_refused_bodies.py::test_a_bomb_takes_no_more_memory_than_an_event_may_have",
    ),
    Mutant(
        "the header of a compressed body not kept",
        "model/event_format/reader.py",
        (("        self.header_names.add(HEADER)\n", ""),),
        "tests/engine/test_encoded_events.py::test_what_was_parked_compressed_is_read_again",
    ),
    Mutant(
        "records that hold themselves",
        "model/event_format/encodings/avro.py",
        (("            if schema in around:\n", "            if False:\n"),),
        "tests/model/test_refused_bodies.py::test_a_schema_whose_bodies_have_no_bounds_is_refused",
    ),
    Mutant(
        "schemas left out of the identity",
        "model/event_format/encodings/declaration.py",
        (("contents(self.protobuf.descriptors)})", "Contents(base64='')})"),),
        "tests/model/test_encodings.py::test_each_encoding_and_what_its_schemas_say_is_an_identity_of_its_own",
    ),
    Mutant(
        "changes recorded where their commit began",
        "store/changes.py",
        (("scanned = commit.position.scanned", "scanned = commit.base.scanned"),),
        "tests/query/test_following.py::test_one_who_begins_now_hears_what_changes_from_now_on",
    ),
    Mutant(
        "tenant left out of the key of a query's plans",
        "query/serving.py",
        (
            ("self.plans.get(tenant_id, ", "self.plans.get(None, "),
            ("self.plans[tenant_id] = ", "self.plans[None] = "),
        ),
        "tests/query/test_service.py::test_a_query_that_another_tenant_has_just_asked_gives_ones_own_views",
    ),
    Mutant(
        "tenant left out of a cursor",
        "query/cursors.py",
        (
            ("encode(payload), tenant_id.encode(), query)", "encode(payload), query)"),
            ("open(cursor, tenant_id.encode(), query)", "open(cursor, query)"),
        ),
        "tests/query/test_service.py::test_a_cursor_leads_another_tenant_nowhere",
    ),
    Mutant(
        "an event that is refused before it is routed holds up no view",
        "engine/lane.py",
        (("        ids = known.ids[:most]\n", "        ids = ()\n"),),
        "tests/engine/test_refused_events.py::test_later_events_wait_behind_a_refused_one_and_an_erasure_discards_it",
    ),
    Mutant(
        "a suspension is left out of the digest",
        "engine/parking.py",
        (("        self._gained += one.digest\n", ""),),
        "tests/engine/test_bounds_of_parking.py::"
        "test_a_suspension_outlives_a_restart_and_says_the_same_however_the_log_was_committed",
    ),
    Mutant(
        "a new build serves whatever it has seen",
        "engine/cutover.py",
        (("if one.must_see_all and ", "if False and "),),
        "tests/engine/test_streams_that_lose.py::"
        "test_a_new_build_that_saw_fewer_messages_does_not_serve_unless_that_is_accepted",
    ),
    Mutant(
        "tenant left out of an etag",
        "query/service.py",
        (("for part in (tenant_id.encode(), ", "for part in ("),),
        "tests/query/test_service.py::test_an_etag_tells_states_tenants_ids_and_degraded_views_apart",
    ),
    Mutant(
        "the catalog asked only once which build answers",
        "query/serving.py",
        (("if served is not None and served.number == number:", "if served is not None:"),),
        "tests/query/test_service.py::test_after_a_switch_the_new_build_answers_and_cursors_of_the_old_one_are_gone",
    ),
    Mutant(
        "an index used before it is built",
        "query/planning.py",
        (("if not index.built:", "if False:"),),
        "tests/query/test_planning.py::test_an_index_that_is_not_built_yet_is_not_used",
    ),
    Mutant(
        "a page that begins with the last view of the one before",
        "query/execution.py",
        (("and place <= after:", "and place < after:"),),
        "tests/query/test_planning.py::test_a_page_begins_also_behind_keys_between_which_a_known_one_stands",
    ),
    Mutant(
        "level by what is scanned and not yet committed",
        "query/freshness.py",
        (("if level is not None and position.scanned >= level[0]:", "if level is not None:"),),
        "tests/query/test_service.py::test_an_answer_says_up_to_when_all_events_are_in_it",
    ),
    Mutant(
        "rows in PostgreSQL and their position in transactions of their own",
        "sink/filling.py",
        (
            ('cannot be written"), connection.transaction():', 'cannot be written"):'),
            ("with connection.transaction():  # what", "if True:  # what"),
        ),
        "tests/sink/test_sink_tables.py::test_a_sink_that_ends_at_any_statement_leaves_the_rows_of_the_position_that_it_says",
    ),
    Mutant(
        "forgotten deletions stay as rows",
        "sink/reading.py",
        (("if horizon(snapshot, tenant_id) > mark.scanned:", "if False:"),),
        "tests/sink/test_sink_tables.py::test_one_who_was_away_while_deletions_were_forgotten_is_filled_anew",
    ),
    Mutant(
        "a setting that was reset names the default tenant",
        "sink/tables.py",
        (("nullif(current_setting('projection.tenant', true), '')", "current_setting('projection.tenant', true)"),),
        "tests/sink/test_sink_tables.py::test_row_level_security_shows_a_tenant_its_own_rows_and_nobody_elses",
    ),
]


@pytest.fixture
def package(tmp_path: Path) -> Path:
    """A copy of the package, with what belongs beside it."""
    shutil.copytree(ROOT / PACKAGE, tmp_path / PACKAGE, ignore=shutil.ignore_patterns("__pycache__"))
    for name in BESIDE:
        (tmp_path / name).symlink_to(ROOT / name)
    return tmp_path / PACKAGE


def run_tests(package: Path, tests: str) -> subprocess.CompletedProcess[str]:
    """Run tests of this checkout against a copy of the package, each test at most once and up to the first failure."""
    # The working directory is no place to import from, neither for pytest nor for what the tests start: it is this one.
    environment = {**os.environ, "PYTHONPATH": str(package.parent), "PYTHONSAFEPATH": "1", SEED: ALL}
    for name in [name for name in environment if name.startswith("PYTEST")]:
        del environment[name]
    without = ("cacheprovider", "randomly", "anyio", "schemathesis")  # no test here needs them
    command = [sys.executable, "-m", "pytest", "-q", "-x", *(f"-pno:{name}" for name in without)]
    return subprocess.run(
        [*command, "-m", "not long", *tests.split()],
        cwd=ROOT,
        env=environment,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        timeout=WITHIN_S,
        check=False,
    )


CASES = sampled(MUTANTS, SAMPLE)


@pytest.mark.parametrize("mutant", CASES, ids=lambda mutant: mutant.name)
def test_the_suite_notices(mutant: Mutant, package: Path) -> None:
    mutant.apply(package)
    ran = run_tests(package, mutant.killed_by)
    assert ran.returncode == 1, f"{mutant.name} was not noticed by {mutant.killed_by}:\n{ran.stdout[-3_000:]}"
    assert "FAILED" in ran.stdout, ran.stdout[-3_000:]


def test_without_a_mutant_the_same_tests_pass_on_a_copy(package: Path) -> None:
    """Else a mutant would be killed by the copying alone."""
    tests = [case.killed_by for case in CASES if isinstance(case, Mutant)]  # what is long is not one
    ran = run_tests(package, " ".join(sorted(set(tests))))
    assert ran.returncode == 0, ran.stdout[-3_000:]
    assert (
        str(package)
        in subprocess.run(
            [sys.executable, "-P", "-c", "import projection; print(projection.__file__)"],
            env={**os.environ, "PYTHONPATH": str(package.parent)},
            stdout=subprocess.PIPE,
            text=True,
            check=True,
        ).stdout
    )
