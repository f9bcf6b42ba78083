"""The pages as a site: `python tests/docs/docs_site.py FOLDER` gathers what Zensical builds it of.

The folder gets the pages at their paths in the checkout, so that links between them stay as they are, with the files that
they link to, and the settings.
"""

from __future__ import annotations

import re
import shutil
import sys
from pathlib import Path

from docs_pages import CHECKOUT, PAGES, links

SETTINGS = CHECKOUT / "docs/zensical.toml"
SITE_PAGES = sorted({*PAGES, *CHECKOUT.glob("grammar/*.md"), *CHECKOUT.glob("projections/**/*.md")})
_OPENING_FENCE = re.compile(r"^```(\w+) .*$", re.MULTILINE)  # its attributes are for tests only


def gather(folder: Path) -> None:
    """Put into a folder all that the site is built of, and nothing that was there before."""
    shutil.rmtree(folder / "pages", ignore_errors=True)
    for page in SITE_PAGES:
        copy = _in(folder, page)
        copy.write_text(_OPENING_FENCE.sub(r"```\1", page.read_text()))
        for link in links(page):
            target = (page.parent / link.partition("#")[0]).resolve()
            if target.is_file() and target.suffix != ".md":
                shutil.copy(target, _in(folder, target))
    shutil.copy(SETTINGS, folder)


def _in(folder: Path, file: Path) -> Path:
    copy = folder / "pages" / file.relative_to(CHECKOUT)
    copy.parent.mkdir(parents=True, exist_ok=True)
    return copy


if __name__ == "__main__":
    gather(Path(sys.argv[1]))
