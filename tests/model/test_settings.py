"""Settings: their sources, which of them wins, and what is said of a wrong value."""

import json
import pickle
import re
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from projection.errors import ConfigurationError
from projection.model.envelope import Tenancy
from projection.model.ids import TenantId
from projection.model.setting_sources import _is_of_a_service, _leaves, _variable
from projection.model.settings import BackPressure, Settings

SECRET = "hunter2"


@pytest.fixture(autouse=True)
def _elsewhere(tmp_path, monkeypatch):
    """No test finds a settings file or variable that it did not make itself."""
    monkeypatch.chdir(tmp_path)


def load(document=None, overrides=None, environ=None, name="projection.yaml"):
    if document is not None:
        Path(name).write_text(document if isinstance(document, str) else json.dumps(document))
    return Settings.load(Path(name) if document is not None else None, overrides, environ or {})


def refusal(*args, **kwargs):
    with pytest.raises(ConfigurationError) as caught:
        load(*args, **kwargs)
    assert caught.value.__cause__ is None
    return caught.value.message


@pytest.mark.parametrize(("patience_ms", "patience_s"), [(0, 0.1), (99, 0.1), (100, 0.1), (1_000, 1.0)])
def test_a_view_type_that_is_slow_is_waited_for_a_tenth_of_a_second_at_least(patience_ms, patience_s):
    assert patience_s == BackPressure(patience_ms=patience_ms).patience_s


class TestSources:
    def test_settings_are_complete_without_any_source(self):
        settings = load()

        assert settings.nats.url == "nats://127.0.0.1:4222"
        assert ("events", None, None, Path("data"), Path("manifest.yaml")) == (
            settings.stream,
            settings.subjects,
            settings.node,
            settings.storage,
            settings.manifest,
        )
        assert (
            settings.back_pressure.batch,
            settings.back_pressure.batch_bytes,
            settings.back_pressure.linger_ms,
        ) == (20_000, 64 * 1024 * 1024, 20)
        assert Tenancy(enabled=True, default=TenantId("")) == settings.tenancy

    def test_each_source_is_stronger_than_the_one_before(self):
        file = {"back_pressure": {"batch": 1, "linger_ms": 1, "in_flight": 3}, "stream": "file"}
        environ = {"PROJECTION_BACK_PRESSURE__BATCH": "2", "PROJECTION_BACK_PRESSURE__LINGER_MS": "2"}
        settings = load(file, {"back_pressure.batch": 3, "stream": None}, environ)

        found = settings.back_pressure
        assert (found.batch, found.linger_ms, found.in_flight, found.ack_timeout_s) == (3, 2, 3, 86_400)
        assert settings.stream == "file"

    @pytest.mark.parametrize(
        ("name", "text"),
        [
            ("projection.yaml", "stream: fines\nnats: {token: hunter2}\nsubjects: [a.*, b.>]\nmulti_tenancy: off\n"),
            (
                "projection.toml",
                'stream = "fines"\nsubjects = ["a.*", "b.>"]\nmulti_tenancy = false\nnats.token = "hunter2"\n',
            ),
            (
                "projection.json",
                '{"stream": "fines", "nats": {"token": "hunter2"}, "subjects": ["a.*", "b.>"], "multi_tenancy": false}',
            ),
        ],
    )
    def test_yaml_toml_and_json_in_the_current_folder_are_found(self, name, text):
        Path(name).write_text(text)
        settings = Settings.load(environ={})

        assert (settings.stream, settings.subjects, settings.multi_tenancy) == ("fines", ("a.*", "b.>"), False)
        assert settings.nats.token.get_secret_value() == SECRET

    def test_two_files_in_the_current_folder_are_one_too_many(self):
        Path("projection.yaml").write_text("{}")
        Path("projection.json").write_text("{}")

        with pytest.raises(ConfigurationError, match=r"projection.yaml and projection.json .*--config"):
            Settings.load(environ={})

    def test_a_file_that_is_named_must_exist(self):
        with pytest.raises(ConfigurationError, match=r"other\.yaml cannot be read"):
            Settings.load(Path("other.yaml"), environ={})

    def test_every_field_can_be_given_by_the_environment(self):
        Path("ca.pem").touch()
        environ = {
            "PROJECTION_NATS__URL": "tls://n1:4222, tls://n2:4222",
            "PROJECTION_NATS__USER": "u",
            "PROJECTION_NATS__PASSWORD": SECRET,
            "PROJECTION_NATS__TLS_CA_FILE": "ca.pem",
            "PROJECTION_STREAM": "s",
            "PROJECTION_SUBJECTS": "a.*, b.>",
            "PROJECTION_DURABLE": "x{node}_{feed}_{partition}",
            "PROJECTION_NODE": "n-1",
            "PROJECTION_STORAGE": "/var/lib/p",
            "PROJECTION_MULTI_TENANCY": "false",
            "PROJECTION_DEFAULT_TENANT": "main",
            "PROJECTION_BACK_PRESSURE__ACK_TIMEOUT_S": "60",
            "PROJECTION_MANIFEST": "m.yaml",
            "PATH": "/bin",
        }
        settings = load(environ=environ)

        assert ("tls://n1:4222, tls://n2:4222", "u", SECRET, Path("ca.pem")) == (
            settings.nats.url,
            settings.nats.user,
            settings.nats.password.get_secret_value(),
            settings.nats.tls_ca_file,
        )
        assert ("s", ("a.*", "b.>"), "n-1", Path("/var/lib/p"), Path("m.yaml"), 60) == (
            settings.stream,
            settings.subjects,
            settings.node,
            settings.storage,
            settings.manifest,
            settings.back_pressure.ack_timeout_s,
        )
        assert Tenancy(enabled=False, default=TenantId("main")) == settings.tenancy

    def test_the_environment_of_the_process_is_read_when_none_is_given(self, monkeypatch):
        monkeypatch.setenv("PROJECTION_STREAM", "mine")

        assert Settings.load().stream == "mine"
        assert Settings.load(environ={}).stream == "events"
        assert Settings().stream == "events"

    def test_paths_in_a_file_count_from_its_folder(self, tmp_path):
        Path("etc").mkdir()
        Path("etc/ca.pem").touch()
        document = {"storage": "data", "manifest": "/abs/m.yaml", "nats": {"tls_ca_file": "ca.pem"}}
        settings = load(document, name="etc/node.json")

        assert (Path("etc/data"), Path("/abs/m.yaml"), Path("etc/ca.pem")) == (
            settings.storage,
            settings.manifest,
            settings.nats.tls_ca_file,
        )
        assert Path("data") == load(document, {"storage": Path("data")}, name="etc/node.json").storage


class TestWrongValues:
    @pytest.mark.parametrize(
        ("arguments", "message"),
        [
            (
                {"environ": {"PROJECTION_BACK_PRESSURE__BATCH": "many"}},
                "environment variable PROJECTION_BACK_PRESSURE__BATCH: 'many' is not allowed; it must be a valid integer",
            ),
            (
                {"document": {"back_pressure": {"batch": 0}}},
                "file projection.yaml, field back_pressure.batch: 0 is not allowed; it must be greater than or equal to 1",
            ),
            (
                {"overrides": {"back_pressure.linger_ms": -1}},
                "option --linger-ms: -1 is not allowed; it must be greater than or equal to 0",
            ),
        ],
    )
    def test_the_field_the_value_and_the_source_are_named(self, arguments, message):
        assert refusal(**arguments).startswith(message)

    def test_the_source_is_the_strongest_that_has_the_value(self):
        document = {"back_pressure": {"batch": 0}}

        assert "option --batch: -1" in refusal(
            document, {"back_pressure.batch": -1}, {"PROJECTION_BACK_PRESSURE__BATCH": "x"}
        )
        assert "PROJECTION_BACK_PRESSURE__BATCH: 'x'" in refusal(
            document, {"back_pressure.linger_ms": 1}, {"PROJECTION_BACK_PRESSURE__BATCH": "x"}
        )

    def test_a_wrong_value_that_a_stronger_source_replaces_does_no_harm(self):
        assert load({"back_pressure": {"batch": "x"}}, {"back_pressure.batch": 5}).back_pressure.batch == 5

    def test_all_that_is_wrong_is_said_at_once(self):
        found = refusal({"stream": "a.b", "nats": 1}, {"storage": 5}, {"PROJECTION_NODE": "a b"})

        for part in (
            "file projection.yaml, field stream: 'a.b' is not a stream's name",
            "file projection.yaml, field nats: must be a mapping, not a number",
            "option --storage: 5 is not allowed",
            "environment variable PROJECTION_NODE: 'a b' is not a node id",
        ):
            assert found.count(part) == 1

    @pytest.mark.parametrize(
        ("document", "message"),
        [
            ({"sream": "x"}, "field sream: is not known; did you mean 'stream'?"),
            ({"back_pressure": {"bach": 1}}, "field back_pressure.bach: is not known; did you mean 'batch'?"),
            ({"zzzz": {"a": 1}}, "field zzzz: is not known; known here: back_pressure, backup, builds"),
            ({"stream": 5}, "field stream: 5 is not allowed; it must be a valid string"),
            ({"stream": None}, "field stream: None is not allowed"),
            ({"back_pressure": None}, "field back_pressure: must be a mapping, not empty"),
            ({"back_pressure": {"batch": True}}, "field back_pressure.batch: True is not a number"),
            ({"back_pressure": {"batch": 1.5}}, "field back_pressure.batch: 1.5 is not allowed"),
            ({"back_pressure": {"batch": [1]}}, "field back_pressure.batch: a list is not allowed"),
            ({"back_pressure": {"in_flight": 1}}, "field back_pressure.in_flight: 1 is not allowed"),
            ({"multi_tenancy": "perhaps"}, "field multi_tenancy: 'perhaps' is not allowed"),
            ({"default_tenant": "a" * 201}, "is longer than 200 bytes"),
            ({"subjects": []}, "field subjects: must not be empty"),
            ({"subjects": ["a", "b..c"]}, "field subjects: 'b..c' is not a subject filter"),
            ({"subjects": {"a": "b"}}, "field subjects: a mapping is not allowed"),
            ({"node": "a_b"}, "field node: 'a_b' is not a node id"),
            ({"durable": "{node}_{feed}"}, "field durable: '{node}_{feed}' must hold {partition} once"),
            ({"durable": "{node}_{node}_{feed}_{partition}"}, "must hold {node} once"),
            ({"durable": "{node}.{feed}.{partition}"}, "must hold only ASCII letters"),
            ({"durable": "{node.__class__}_{node}_{feed}_{partition}"}, "must hold only ASCII letters"),
            (
                {"nats": {"tls_ca_file": "none.pem"}},
                "field nats.tls_ca_file: 'none.pem' is not allowed; path does not point to a file",
            ),
            ({"nats": {"url": "http://h"}}, "field nats.url: 'http://h' is not the URL of a NATS server"),
            ({"nats": {"url": "nats://"}}, "is not the URL of a NATS server"),
            ({"nats": {"url": "127.0.0.1:4222"}}, "is not the URL of a NATS server"),
            ({"nats": {"url": "nats://h:port"}}, "is not the URL of a NATS server"),
            ({"nats": {"url": "nats://a,h"}}, "field nats.url: 'h' is not the URL of a NATS server"),
            ({"nats": {"url": "nats://h:99999"}}, "is not the URL of a NATS server"),
            ({"nats": {"url": "nats://h\nx"}}, "is not the URL of a NATS server"),
        ],
    )
    def test_what_is_wrong_in_a_file_is_named(self, document, message):
        found = refusal(document)

        assert found.startswith("file projection.yaml, field ")
        assert message in found

    @pytest.mark.parametrize(
        ("variable", "near"),
        [
            ("PROJECTION_STREM", "PROJECTION_STREAM"),
            ("PROJECTION_NATS__URLL", "PROJECTION_NATS__URL"),
            ("PROJECTION_NATS_URL", "PROJECTION_NATS__URL"),
            ("PROJECTION_nats__url", "PROJECTION_NATS__URL"),
        ],
    )
    def test_an_unknown_variable_is_an_error(self, variable, near):
        found = refusal(environ={variable: SECRET})

        assert f"environment variable {variable} is not known; did you mean {near!r}?" == found

    def test_a_section_is_not_given_as_one_variable(self):
        assert "PROJECTION_NATS is not known" in refusal(environ={"PROJECTION_NATS": '{"url": "nats://h"}'})

    @pytest.mark.parametrize("service", ["", "NODE_", "READ_MODELS_", "NATS_", "BACK_PRESSURE_"])
    def test_what_kubernetes_says_of_a_service_of_our_name_is_no_setting(self, service):
        begin = f"PROJECTION_{service}"
        port = f"{begin}PORT_7070_TCP"
        environ = {
            f"{begin}SERVICE_HOST": "10.0.0.1",
            f"{begin}SERVICE_PORT": "7070",
            f"{begin}SERVICE_PORT_HTTP": "7070",
            f"{begin}SERVICE_PORT_HTTP_ALT": "7071",
            f"{begin}PORT": "tcp://10.0.0.1:7070",
            port: "tcp://10.0.0.1:7070",
            f"{port}_PROTO": "tcp",
            f"{port}_PORT": "7070",
            f"{port}_ADDR": "10.0.0.1",
            f"{begin}PORT_53_UDP": "udp://10.0.0.1:53",
        }
        assert load() == load(environ=environ)
        assert "mine" == load(environ={**environ, "PROJECTION_STREAM": "mine"}).stream

    @pytest.mark.parametrize(
        "variable", ["PROJECTION_PORT", "PROJECTION_HTTP__PORT", "PROJECTION_SERVICE", "PROJECTION_SERVICE_HOSTS"]
    )
    def test_what_only_looks_like_it_is_an_error(self, variable):
        assert f"{variable} is not known" in refusal(environ={variable: "7070"})

    @pytest.mark.parametrize("text", ["7070", "tcp://10.0.0.1:7070"])
    def test_no_setting_has_the_name_of_such_a_variable(self, text):
        names = [_variable(path) for path in _leaves(Settings, ())]
        assert len(names) > 50
        assert [] == [name for name in names if _is_of_a_service(name, text)]

    def test_an_unknown_override_is_an_error(self):
        assert refusal(overrides={"back_pressure.bach": 1}) == "option --bach: is not known; did you mean 'batch'?"

    def test_ways_in_that_contradict_name_every_source_that_has_a_part_in_them(self):
        found = refusal({"nats": {"user": "u", "password": SECRET}}, environ={"PROJECTION_NATS__TOKEN": SECRET})

        assert found.startswith("environment variable PROJECTION_NATS__TOKEN, file projection.yaml, field nats.user, ")
        assert found.endswith(": name one way in: user and password, or token, or credentials_file, or nkey_seed_file")

    @pytest.mark.parametrize("name", ["user", "password", "tls_key_file", "tls_certificate_file"])
    def test_one_half_of_a_pair_is_not_enough(self, name):
        Path("half").touch()

        assert "go together; one of them is missing" in refusal({"nats": {name: "half"}})


class TestSecrets:
    def settings(self):
        return load({"nats": {"user": "u", "password": SECRET}})

    def test_they_are_in_no_text_that_settings_make(self):
        settings = self.settings()

        assert (
            SECRET
            not in f"{settings!r} {settings} {settings.nats!r} {settings.model_dump()} {settings.model_dump_json()}"
        )
        assert pickle.loads(pickle.dumps(settings)).nats.password.get_secret_value() == SECRET

    @pytest.mark.parametrize(
        "document",
        [
            {"nats": {"password": [SECRET]}},
            {"nats": {"password": {"value": SECRET}}},
            {"nats": {"pasword": SECRET}},
            {"nats": SECRET},
            {"nats": [SECRET]},
            {"nats": {"user": "u", "password": SECRET, "token": SECRET}},
            {"nats": {"url": f"nats://u:{SECRET}@host:4222"}},
            {"nats": {"url": f"u:{SECRET}@host"}},
            {"nats": {"url": f"nats://u:{SECRET}/@host@x:p"}},
            {"token": SECRET},
            f"nats:\n  password: '{SECRET}\n",
            f"nats: {{password: !!binary {SECRET}}}",
        ],
    )
    def test_a_wrong_one_is_not_quoted(self, document):
        assert SECRET not in refusal(document)

    def test_a_number_for_a_secret_is_masked_too(self):
        found = refusal({"nats": {"token": 123456}})

        assert "123456" not in found
        assert "field nats.token: the value (a secret, not shown) is not allowed; it must be a valid string" in found


class TestConsumerNames:
    def test_a_name_holds_node_feed_and_partition(self):
        assert load().consumer_name("n-1", "fine_summary-3", 0) == "n-1_fine_summary-3_0"
        assert load({"durable": "{partition}-{node}-{feed}"}).consumer_name("a", "f", 0) == "0-a-f"

    @given(
        *[
            st.tuples(
                st.from_regex(r"[a-z-]{1,5}", fullmatch=True),
                st.from_regex(r"[a-z_]{1,5}", fullmatch=True),
                st.integers(0, 99),
            )
        ]
        * 2
    )
    def test_two_readers_never_have_one_name(self, one, other):
        settings = Settings()

        assert (one == other) == (settings.consumer_name(*one) == settings.consumer_name(*other))
        assert re.fullmatch(r"[A-Za-z0-9_-]+", settings.consumer_name(*one))
