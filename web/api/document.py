"""Writes the document of the API: `python -m web.api.document`."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from web.api.app import create_api

if __name__ == "__main__":
    desk: Any = None  # no request is answered
    file = Path("docs/openapi.json")
    file.write_text(json.dumps(create_api(desk).openapi(), indent=1) + "\n", "utf-8")
    print(file)
