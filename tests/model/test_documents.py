"""Reading YAML, TOML and JSON by hand written."""

from decimal import Decimal

import pytest

from projection.errors import ConfigurationError
from projection.model.documents import MAX_DOCUMENT_BYTES, read_document


@pytest.fixture
def read(tmp_path):
    def read(text, suffix=".yaml"):
        path = tmp_path / f"file{suffix}"
        path.write_bytes(text if isinstance(text, bytes) else text.encode())
        return read_document(path)

    return read


@pytest.mark.parametrize(
    ("suffix", "text"),
    [
        (".yaml", "a: x\nb: {c: 1, d: [true, 2.5]}\nt: 2000-01-01T00:00:00+01:00\n"),
        (".yml", "# a comment\na: x\nb:\n  c: 1\n  d:\n  - true\n  - 2.5\nt: '2000-01-01T00:00:00+01:00'\n"),
        (".toml", 'a = "x"\nt = 2000-01-01T00:00:00+01:00\n[b]\nc = 1\nd = [true, 2.5]\n'),
        (".json", '{"a": "x", "b": {"c": 1, "d": [true, 2.5]}, "t": "2000-01-01T00:00:00+01:00"}'),
        (".json", '\ufeff{"a": "x", "b": {"c": 1, "d": [true, 2.5]}, "t": "2000-01-01T00:00:00+01:00"}'),
    ],
)
def test_one_document_reads_the_same_in_every_format(read, suffix, text):
    expected = {"a": "x", "b": {"c": 1, "d": [True, 2.5]}, "t": "2000-01-01T00:00:00+01:00"}

    assert repr(expected) == repr(dict(sorted(read(text, suffix).items())))


@pytest.mark.parametrize(
    ("suffix", "text"),
    [
        (".yaml", "a: 35.00\nb: [1, 0.10]\n"),
        (".toml", "a = 35.00\nb = [1, 0.10]\n"),
        (".json", '{"a": 35.00, "b": [1, 0.10]}'),
    ],
)
def test_a_document_can_be_read_with_decimals_as_they_were_written(tmp_path, suffix, text):
    (tmp_path / f"file{suffix}").write_text(text)
    found = read_document(tmp_path / f"file{suffix}", exact=True)
    assert repr({"a": Decimal("35.00"), "b": [1, Decimal("0.10")]}) == repr(found)


@pytest.mark.parametrize(
    "text", ["no", "off", "Yes", "1:30", "010", "0x1f", "1_000", "2000-01-01", "<<", ".inf", "1e3", "="]
)
def test_yaml_surprises_nobody_with_what_a_plain_word_is(read, text):
    assert {"a": text} == read(f"a: {text}\n")


@pytest.mark.parametrize(
    ("suffix", "text", "message"),
    [
        (".yaml", "a: 1\nb: 2\na: 3\n", "line 3, column 1: the key 'a' appears twice"),
        (".yaml", "v:\n  a: {b: 1, b: 2}\n", "line 2, column 13: the key 'b' appears twice"),
        (".toml", "a = 1\na = 2\n", "line 2"),
        (".json", '{"v": {"a": 1, "a": 2}}', "the key 'a' appears twice"),
        (".yaml", "a: &x [1]\nb: *x\n", "line 2, column 4: an alias is not allowed"),
        (".yaml", "a: !!python/object/apply:os.system ['true']\n", "line 1, column 4: a tag is not allowed"),
        (".yaml", "a: !!binary aGk=\n", "a tag is not allowed"),
        (".yaml", "1: a\n", "line 1, column 1: a key must be a text"),
        (".yaml", "? [a]\n: 1\n", "a key must be a text"),
        (".yaml", "true: a\n", "a key must be a text"),
        (".yaml", "a: [1\n", "line 2"),
        (".yaml", "a: 1\n---\nb: 2\n", "line 2"),
        (".yaml", "a: \x00\n", "special characters"),
        (".yaml", 'a: "\\ud800"\n', "lone surrogate"),
        (".json", '{"a": "\\ud800"}', "lone surrogate"),
        (".json", '{"a": NaN}', "NaN is not a JSON number"),
        (".json", '{"a": 1,}', "line 1, column"),
        (".json", '{"a": ' + "9" * 5000 + "}", "integer"),
        (".toml", "a = \n", "line 1"),
        (".yaml", "", "contains no mapping"),
        (".yaml", "- a\n", "contains no mapping"),
        (".json", "null", "contains no mapping"),
        (".yaml", b"a: \xff\n", "not UTF-8 text: byte 3"),
        (".yaml", "[" * 20_000, "nested too deeply"),
        (".json", "[" * 200_000, "nested too deeply"),
        (".toml", "a = " + "[" * 20_000, "nested too deeply"),
        (".toml", "a." * 40_000 + "a = 1\n", "a key has more than 100 parts"),
        (".toml", "b = {" + "'a' . " * 40_000 + "a = 1}\n", "a key has more than 100 parts"),
        (".toml", "[" + "a." * 40_000 + "a]\n", "a key has more than 100 parts"),
        (".toml", "a" * 500_000, "Expected '='"),
        (".yaml", " " * (MAX_DOCUMENT_BYTES + 1), "longer than 1048576 bytes"),
        (".ini", "a=1", "no known format"),
    ],
)
def test_what_is_wrong_with_a_file_is_named_with_its_place(read, suffix, text, message):
    with pytest.raises(ConfigurationError) as caught:
        read(text, suffix)

    assert f"file{suffix}" in caught.value.message
    assert message in caught.value.message


def test_an_alias_bomb_is_harmless(read):
    lines = ["a0: &a0 [x, x, x, x, x, x, x, x, x]"]
    lines += [f"a{n}: &a{n} [{', '.join([f'*a{n - 1}'] * 9)}]" for n in range(1, 12)]
    with pytest.raises(ConfigurationError, match="alias"):
        read("\n".join(lines))  # written out, it would fill the memory


@pytest.mark.parametrize("name", ["missing.yaml", "folder.yaml", "nul\0.yaml"])
def test_a_file_that_cannot_be_read_is_named(tmp_path, name):
    (tmp_path / "folder.yaml").mkdir()

    with pytest.raises(ConfigurationError, match="cannot be read"):
        read_document(tmp_path / name)


@pytest.mark.parametrize(
    ("suffix", "text"),
    [(".yaml", "password: 'hunter2\n"), (".toml", 'password = "hunter2\n'), (".json", '{"password": "hunter2}')],
)
def test_a_broken_file_is_not_quoted_for_it_may_hold_secrets(read, suffix, text):
    with pytest.raises(ConfigurationError) as caught:
        read(text, suffix)

    assert "hunter2" not in str(caught.value)
    assert caught.value.__cause__ is None
