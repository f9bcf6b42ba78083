"""The build hook: the parser's tables are made of the grammar once, when the package is built or installed."""

from __future__ import annotations

import importlib.util
from pathlib import Path
from typing import Any

from hatchling.builders.hooks.plugin.interface import BuildHookInterface


class TablesHook(BuildHookInterface):  # type: ignore[type-arg]
    """Writes `projection/_bundled/grammar/tables.json`; see `projection/lang/syntax/tables.py`."""

    def initialize(self, _version: str, build_data: dict[str, Any]) -> None:
        """Called by hatchling before a wheel is built, also an editable one."""
        root = Path(self.root)
        spec = importlib.util.spec_from_file_location("tables", root / "projection" / "lang" / "syntax" / "tables.py")
        if spec is None or spec.loader is None:
            raise AssertionError(root)
        tables = importlib.util.module_from_spec(spec)
        spec.loader.exec_module(tables)
        target = root / "projection" / "_bundled" / "grammar" / "tables.json"
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_text(tables.dump((root / "grammar" / "projection.lark").read_text(encoding="utf-8")))
        build_data["artifacts"].append("projection/_bundled/grammar/tables.json")
