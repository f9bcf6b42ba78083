"""The levels of the log: what a text of them means, and what is said of a wrong one."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from projection.errors import ConfigurationError
from projection.model.log_settings import COMPONENTS, LEVELS, LogLevels
from projection.model.settings import Settings


@given(st.sampled_from(LEVELS), st.dictionaries(st.sampled_from(COMPONENTS), st.sampled_from(LEVELS)))
def test_each_component_has_its_own_level_or_that_of_all(default, by_component):
    parts = [default, *(f"{one}={level}" for one, level in by_component.items())]
    for text in (",".join(parts), " , ".join(reversed(parts)).replace("=", " = ")):
        levels = LogLevels.parse(text)
        assert {one: by_component.get(one, default) for one in COMPONENTS} == {
            one: levels.of(one) for one in COMPONENTS
        }
        assert levels == LogLevels.parse(str(levels))


def test_without_a_level_for_all_it_is_info():
    assert ("info", "debug") == tuple(LogLevels.parse("stream=debug").of(one) for one in ("http", "stream"))


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("", "'' is not a level of the log; known here: debug, error, info, warning"),
        ("verbose", "'verbose' is not a level of the log"),
        ("waring", "did you mean 'warning'?"),
        ("INFO", "'INFO' is not a level of the log"),
        ("info,streem=debug", "'streem' is not a component that logs; did you mean 'stream'?"),
        ("=debug", "'' is not a component that logs; known here: backup, builds, fold"),
        ("stream=", "'' is not a level of the log"),
        ("info,debug", "'info' and 'debug' are two levels for all components; name one of them"),
        ("stream=info,stream=debug", "component 'stream' has two levels; name one of them"),
        ("info,", "'' is not a level of the log"),
        ("x" * 10_000, "is not a level of the log"),
    ],
)
def test_a_wrong_level_is_refused_with_its_place_and_what_there_is(text, said):
    with pytest.raises(ConfigurationError) as caught:
        Settings.load(environ={"PROJECTION_LOG__LEVEL": text})
    assert said in caught.value.message
    assert caught.value.message.startswith("environment variable PROJECTION_LOG__LEVEL: ")
    assert len(caught.value.message) < 400


def test_a_form_that_there_is_not_is_refused():
    with pytest.raises(ConfigurationError, match="PROJECTION_LOG__FORMAT: 'xml' is not allowed"):
        Settings.load(environ={"PROJECTION_LOG__FORMAT": "xml"})
