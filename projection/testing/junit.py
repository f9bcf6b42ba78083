"""Results of tests as JUnit XML, which every CI reads."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING
from xml.etree import ElementTree as ET

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from projection.testing.runner import Result

_NOT_IN_XML = re.compile("[^\t\n\r\x20-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")


def write_junit(path: Path, results: Sequence[Result]) -> None:
    """Write the results as one suite.

    Raises:
        OSError: the file cannot be written.
    """
    failures = sum(one.failure is not None for one in results)
    seconds = sum(one.seconds for one in results)
    totals = {"tests": str(len(results)), "failures": str(failures), "errors": "0", "time": f"{seconds:.3f}"}
    root = ET.Element("testsuites", {"name": "projection", **totals})
    suite = ET.SubElement(root, "testsuite", {"name": "projection", **totals})
    for one in results:
        file, _, name = one.id.partition("::")
        case = ET.SubElement(
            suite, "testcase", {"classname": file, "name": _text(name), "file": file, "time": f"{one.seconds:.3f}"}
        )
        if one.failure is not None:
            message = _text(one.failure)
            ET.SubElement(case, "failure", {"message": message.partition("\n")[0]}).text = message
        if one.warnings:
            ET.SubElement(case, "system-err").text = _text("\n".join(one.warnings))
    ET.indent(root)
    ET.ElementTree(root).write(path, encoding="utf-8", xml_declaration=True)


def _text(text: str) -> str:
    """The text without characters that no XML file may hold."""
    return _NOT_IN_XML.sub("\N{REPLACEMENT CHARACTER}", text)
