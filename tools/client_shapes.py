"""Writes the shapes of the client library from the document of the API: `make client`."""

from __future__ import annotations

import json
import keyword
import re
import subprocess
import sys
import textwrap
from collections.abc import Iterator
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parents[1]
DOCUMENT, FILE = ROOT / "docs/openapi.json", ROOT / "encryptotel_client/shapes.py"
HEAD = '''\
"""What is sent and answered, as the API's document has it. `make client` writes this file."""

from __future__ import annotations

from typing import Literal, NotRequired, TypedDict

Moment = str
"ISO 8601 with an offset; `datetime.fromisoformat` reads it."
Day = str
"ISO 8601; `date.fromisoformat` reads it."
'''
SIMPLE = {"string": "str", "integer": "int", "number": "float", "boolean": "bool", "null": "None"}
FORMATS = {"date-time": "Moment", "date": "Day"}


def shapes() -> str:
    """The module with all shapes that are sent, answered or refused with."""
    document = json.loads(DOCUMENT.read_text("utf-8"))
    known = document["components"]["schemas"]
    parts = [_shape(name, known[name]) for name in sorted(_used(document))]
    return formatted("\n\n".join([HEAD, *parts]), FILE)


def formatted(text: str, file: Path) -> str:
    """A module in the style of the house. Raises CalledProcessError."""
    for command in (["check", "--fix-only", "--unsafe-fixes", "--select", "I,UP028"], ["format"]):
        words = [sys.executable, "-m", "ruff", *command, "-q", "--stdin-filename", str(file), "-"]
        text = subprocess.run(  # noqa: S603 - our own words
            words, input=text, capture_output=True, text=True, check=True, cwd=ROOT
        ).stdout
    return text


def _used(document: dict[str, Any]) -> set[str]:
    """What bodies and answers are made of. The framework documents a 422 of its own here and there,
    which is never answered."""
    known, used = document["components"]["schemas"], set[str]()
    ahead: list[Any] = [{"$ref": "#/components/schemas/Problem"}]
    for operations in document["paths"].values():
        for operation in operations.values():
            ahead.append(operation.get("requestBody"))
            ahead += [one for code, one in operation["responses"].items() if code[0] == "2"]
    while ahead:
        for name in _references(ahead.pop()):
            if name not in used:
                used.add(name)
                ahead.append(known[name])
    return used


def _references(part: Any) -> Iterator[str]:
    if isinstance(part, dict):
        if "$ref" in part:
            yield part["$ref"].rpartition("/")[2]
        for inner in part.values():
            yield from _references(inner)
    elif isinstance(part, list):
        for inner in part:
            yield from _references(inner)


def name_of(name: str) -> str:
    """What a schema is called in Python: `PageOldCall` of `Page_OldCall_`."""
    return re.sub(r"\W|_", "", name)


def type_of(schema: dict[str, Any]) -> str:
    """A schema as an annotation."""
    if "$ref" in schema:
        return name_of(schema["$ref"].rpartition("/")[2])
    if "anyOf" in schema:
        return " | ".join(type_of(one) for one in schema["anyOf"])
    if "enum" in schema:
        return f"Literal[{', '.join(json.dumps(one) for one in schema['enum'])}]"
    if schema["type"] == "array":
        return f"list[{type_of(schema['items'])}]"
    if schema["type"] == "object":
        return f"dict[str, {type_of(schema['additionalProperties'])}]"
    return FORMATS.get(schema.get("format", ""), SIMPLE[schema["type"]])


def _shape(name: str, schema: dict[str, Any]) -> str:
    if "properties" not in schema:
        return "\n".join([f"{name_of(name)} = {type_of(schema)}", *_said(schema)])
    required = schema.get("required", [])
    fields = {
        field: type_of(inner) if field in required else f"NotRequired[{type_of(inner)}]"
        for field, inner in schema["properties"].items()
    }
    about = schema.get("description", schema["title"])
    if any(keyword.iskeyword(field) for field in fields):  # which no class can have
        described = [
            f"`{field}`: {inner['description']}"
            for field, inner in schema["properties"].items()
            if "description" in inner
        ]
        inner = ", ".join(f"{json.dumps(field)}: {kind}" for field, kind in fields.items())
        typed = f"{name_of(name)} = TypedDict({json.dumps(name_of(name))}, {{{inner}}})"
        return "\n".join([typed, *_said({"description": " ".join([about, *described])})])
    lines = [f"class {name_of(name)}(TypedDict):"]
    lines += [f"    {line}" for line in _said({"description": about})] + [""]
    for field, kind in fields.items():
        lines.append(f"    {field}: {kind}")
        lines += [f"    {line}" for line in _said(schema["properties"][field])]
    return "\n".join(lines)


def _said(schema: dict[str, Any]) -> Iterator[str]:
    """What is said of a part, as the lines of a docstring."""
    text = schema.get("description", "")
    if schema.get("examples"):
        one = schema["examples"][0]
        shown = one if isinstance(one, str) else json.dumps(one, ensure_ascii=False)
        text += f" For example `{shown}`."
    text = " ".join(text.split()).replace("\\", "\\\\")
    if text and not text.endswith((".", "…")):
        text += "."
    if text:
        yield from textwrap.wrap(f'"""{text}"""', 94, break_long_words=False)


if __name__ == "__main__":
    FILE.write_text(shapes(), "utf-8")
    print(FILE.relative_to(ROOT))
