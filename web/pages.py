"""The pages: templates beside this file, everything put into them escaped."""

from __future__ import annotations

import base64
import hashlib
from pathlib import Path

from fastapi.responses import HTMLResponse
from jinja2 import Environment, FileSystemLoader

_FOLDER = Path(__file__).parent / "templates"
_STYLE = (_FOLDER / "style.css").read_text("utf-8")
STYLE_HASH = base64.b64encode(hashlib.sha256(_STYLE.encode()).digest()).decode()
"Of the one style there is, for the content security policy (CSP Level 3 §2.3.1)."
_templates = Environment(loader=FileSystemLoader(_FOLDER), autoescape=True)
for _name in ("page.html", "offer.html", "settings.html"):
    _templates.get_template(_name)  # compiled at the start, so that no request waits for it


def page(template: str, title: str, *, status: int = 200, **values: object) -> HTMLResponse:
    """A page of the given template."""
    html = _templates.get_template(template).render(title=title, style=_STYLE, **values)
    return HTMLResponse(html, status)


def notice(title: str, text: str, status: int) -> HTMLResponse:
    """A page that only says something."""
    return page("page.html", title, status=status, text=text)
