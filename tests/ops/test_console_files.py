"""The files of the console: what is served, with which policies, and that they hold no markup made of texts."""

from __future__ import annotations

import re
from html.parser import HTMLParser
from pathlib import PurePosixPath

import pytest
from ops_support import fine, served

from projection.lang.library import BUILTINS
from projection.ops.http.console import assets

SCRIPTS = {path: found.content.decode() for path, found in assets().items() if path.endswith(".js")}
STYLES = {path: found.content.decode() for path, found in assets().items() if path.endswith(".css")}
PAGE = assets()["index.html"].content.decode()
# What makes markup or code of a text, or fetches from elsewhere.
FORBIDDEN = re.compile(
    r"innerHTML|outerHTML|insertAdjacentHTML|document\.write|\beval\(|new Function|DOMParser|createContextualFragment|https?://(?!www\.w3\.org/2000/svg)"
)


class Elements(HTMLParser):
    """The elements of a page, with their attributes."""

    def __init__(self, text):
        super().__init__()
        self.found = []
        self.feed(text)

    def handle_starttag(self, tag, attrs):
        self.found.append((tag, dict(attrs)))


@pytest.mark.parametrize("path", sorted(SCRIPTS))
def test_no_script_makes_markup_or_code_of_a_text(path):
    assert [] == FORBIDDEN.findall(SCRIPTS[path])


@pytest.mark.parametrize("path", sorted(SCRIPTS))
def test_a_script_imports_only_files_that_there_are(path):
    folder = PurePosixPath(path).parent
    named = re.findall(r"""(?:from|import)\s*\(?\s*["'](\.[^"']+)["']""", SCRIPTS[path])
    for one in named:
        parts = []
        for step in (folder / one).parts:
            parts = parts[:-1] if step == ".." else [*parts, step]
        assert "/".join(parts) in assets(), one


def test_the_page_holds_no_script_or_style_and_names_only_its_own_files():
    elements = Elements(PAGE).found
    for tag, attributes in elements:
        assert not [name for name in attributes if name.startswith("on") or name == "style"], tag
        assert tag != "style"
        for name in ("src", "href"):
            if name in attributes and not attributes[name].startswith("#"):
                assert attributes[name] in assets(), attributes[name]
        if tag == "script":
            assert attributes.get("src")
    assert "<script>" not in PAGE


@pytest.mark.parametrize("path", sorted(STYLES))
def test_a_style_names_no_file_at_all(path):
    assert not re.search(r"url\(|@import", STYLES[path])


def test_the_functions_that_are_offered_are_those_of_the_language():
    offered = re.search(r"FUNCTIONS = \[(.*?)\]", SCRIPTS["js/completion.js"], re.DOTALL)
    assert sorted(BUILTINS) == re.findall(r'"(\w+)"', offered[1])


def test_each_theme_gives_every_color_a_value():
    light, dark = re.findall(r":root[^{]*\{(.*?)\}", STYLES["css/tokens.css"], re.DOTALL)

    def names(block):
        return set(re.findall(r"(--[\w-]+):", block))

    assert names(light) - names(dark) == {"--sans", "--mono", "--radius", "--gap", "--scale"}
    used = {name for text in STYLES.values() for name in re.findall(r"var\((--[\w-]+)\)", text)}
    assert used <= names(light)


def luminance(color):
    def linear(channel):
        value = int(channel, 16) / 255
        return value / 12.92 if value <= 0.04045 else ((value + 0.055) / 1.055) ** 2.4

    red, green, blue = (linear(color[at : at + 2]) for at in (1, 3, 5))
    return 0.2126 * red + 0.7152 * green + 0.0722 * blue


@pytest.mark.parametrize("theme", [0, 1], ids=["light", "dark"])
def test_texts_have_the_contrast_of_wcag_aa_on_every_surface(theme):
    block = re.findall(r":root[^{]*\{(.*?)\}", STYLES["css/tokens.css"], re.DOTALL)[theme]
    colors = dict(re.findall(r"--([\w-]+): (#[0-9a-f]{6});", block))
    surfaces = ("ground", "surface", "raised")
    pairs = [(text, surface) for text in ("ink", "muted", "accent", "good", "warn", "bad") for surface in surfaces]
    pairs += [(name, f"{name}-soft") for name in ("accent", "good", "warn", "bad")] + [("accent-ink", "accent")]
    pairs += [("accent", "warn-soft"), ("accent", "bad-soft"), ("ground", "ink"), ("surface", "bad")]
    for text, surface in pairs:
        low, high = sorted((luminance(colors[text]), luminance(colors[surface])))
        assert (high + 0.05) / (low + 0.05) >= 4.5, (text, surface)
    for surface in surfaces:  # of the lines around fields and buttons
        low, high = sorted((luminance(colors["line-strong"]), luminance(colors[surface])))
        assert (high + 0.05) / (low + 0.05) >= 3, surface


async def test_the_files_are_for_everybody_and_kept_by_browsers(nats_server, stream_name, tmp_path):
    secret = "0123456789abcdef-of-the-gateway"
    http = {"access": {"mode": "header", "secret": secret}}
    async with served(nats_server.url, stream_name, tmp_path, [fine("a")], http=http) as one:
        assert (308, "console/") == _of(await one.get("/console", None), "location")
        for path in ("", *assets()):
            answer = await one.get(f"/console/{path}", None)
            assert 200 == answer.status_code
            assert assets()[path or "index.html"].content == answer.content
            policies = answer.headers.get_list("content-security-policy")
            assert 1 == len(policies)
            assert policies[0].startswith("default-src 'none'; script-src 'self'; style-src 'self'")
            assert "frame-ancestors 'none'" in policies[0]
            assert "unsafe" not in policies[0]
            assert "nosniff" == answer.headers["x-content-type-options"]
            again = await one.get(f"/console/{path}", None, if_none_match=answer.headers["etag"])
            assert (304, b"") == (again.status_code, again.content)
        for path in ("nothing.js", "../pyproject.toml", "%2e%2e/http/app.py", "js", "js/"):
            assert 404 == (await one.get(f"/console/{path}", None)).status_code
        assert (
            "default-src 'none'; frame-ancestors 'none'"
            == (await one.get("/health")).headers["content-security-policy"]
        )
        assert 401 == (await one.get("/v1/access", None)).status_code


def _of(answer, header):
    return answer.status_code, answer.headers[header]
