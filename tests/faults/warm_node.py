"""Imported by the process that nodes are forked from: what each of them would have to import, and to make first."""

import projection.cli.main
import projection.cli.run
import projection.engine.node  # noqa: F401 - as the other two, to be there
from projection.lang.syntax.parser import parse_expression

parse_expression("0", 0)  # makes the parser's tables, which takes a third of a second
