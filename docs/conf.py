"""The documentation site: `make docs` builds it into build/docs.

Everything it needs lies in the site; it loads nothing from elsewhere, so it can be read offline and
tells nobody who reads it.
"""

from __future__ import annotations

import tomllib
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent

project = "EncryptoTel"
version = release = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))["project"][
    "version"
]
extensions = ["myst_parser"]
exclude_patterns = ["_build"]
language = "en"

# The same anchors as a forge shows: links to a heading hold in both places.
myst_heading_anchors = 4
# Prices and quotations stand as they were typed.
smartquotes = False

html_theme = "furo"
html_title = "EncryptoTel"
# The sources are in the repository; a copy beside each page is one more thing that can be stale.
html_copy_source = False
html_show_copyright = False
# There is no address of the sources to view or edit them at.
html_theme_options: dict[str, list[str]] = {"top_of_page_buttons": []}
