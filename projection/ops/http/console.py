"""The console: pages for browsers, which ask the same addresses as every other client.

The files are static, and hold nothing of anybody: they are for everybody, and what they show is asked for with the
credentials of whoever looks. No file is fetched from elsewhere, and no script or style stands in a page.
"""

from __future__ import annotations

from functools import cache
from hashlib import sha256
from importlib.resources import files
from typing import NamedTuple

from fastapi import APIRouter, Request, Response

from projection.ops.http.problems import RequestError

PATH = "/console"
CONTENT_SECURITY_POLICY = (
    "default-src 'none'; script-src 'self'; style-src 'self'; connect-src 'self'; img-src 'self'; "
    "base-uri 'none'; form-action 'none'; frame-ancestors 'none'; require-trusted-types-for 'script'"
)
_KINDS = {
    "css": "text/css; charset=utf-8",
    "html": "text/html; charset=utf-8",
    "js": "text/javascript; charset=utf-8",
    "svg": "image/svg+xml",
}
_PAGE = "index.html"
router = APIRouter(include_in_schema=False)


class Asset(NamedTuple):
    """A file of the console."""

    content: bytes
    kind: str
    tag: str


@cache
def assets() -> dict[str, Asset]:
    """All files of the console, by their paths; read once."""
    found: dict[str, Asset] = {}
    folders = [("", files("projection.ops") / "console")]
    while folders:
        path, folder = folders.pop()
        for one in folder.iterdir():
            if one.is_dir():
                folders.append((f"{path}{one.name}/", one))
            elif (kind := _KINDS.get(one.name.rpartition(".")[2])) is not None:
                content = one.read_bytes()
                found[path + one.name] = Asset(content, kind, f'"{sha256(content).hexdigest()[:24]}"')
    return found


@router.get(PATH)
@router.get(PATH + "/{path:path}")
async def asset(request: Request, path: str = "") -> Response:
    """A file of the console; without a name, its page."""
    if request.scope["path"] == PATH:  # what the page names is relative to a folder
        return Response(status_code=308, headers={"location": PATH.lstrip("/") + "/"})
    found = assets().get(path or _PAGE)
    if found is None:
        raise RequestError("http.not_found", "the console has no such file", hint=f"its page is at {PATH}/")
    headers = {
        "cache-control": "no-cache",  # a browser keeps it, and asks whether it is still good
        "content-security-policy": CONTENT_SECURITY_POLICY,
        "cross-origin-opener-policy": "same-origin",
        "cross-origin-resource-policy": "same-origin",
        "etag": found.tag,
    }
    known = request.headers.get("if-none-match", "")
    if found.tag in (one.strip().removeprefix("W/") for one in known.split(",")):
        return Response(None, 304, headers)
    return Response(found.content, 200, headers, found.kind)
