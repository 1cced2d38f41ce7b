"""A small language for training sentences, and its expander.

``(a|b|)`` is a choice, ``<name>`` another rule, ``{TO:…}`` marks a role. Sentences are written as
the model sees them: masked, in lower case.
"""

import random
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

_TOKEN = re.compile(r"[(){}|]|<[a-z_]+>|[^(){}|<]+")
_ROLE = re.compile(r"([A-Z]+):")


@dataclass(frozen=True)
class Example:
    """A masked sentence, its label, its roles (None where not annotated)."""

    text: str
    label: str
    roles: tuple[tuple[int, int, str], ...] | None


class Grammar:
    """Rules by name; `sentence` draws one expansion."""

    def __init__(self, rules: Mapping[str, Sequence[str]], rng: random.Random) -> None:
        self._rules = {name: [_parse(line) for line in lines] for name, lines in rules.items()}
        self._rng = rng

    def sentence(self, rule: str) -> tuple[str, tuple[tuple[int, int, str], ...]]:
        """One expansion of `rule`: its text and roles."""
        pieces: list[tuple[str, str | None]] = []
        self._expand(self._rng.choice(self._rules[rule]), None, pieces)
        return _join(pieces)

    def _expand(
        self, node: "_Node", role: str | None, pieces: list[tuple[str, str | None]]
    ) -> None:
        if node.kind == "text":
            pieces.append((node.text, role))
        elif node.kind == "rule":
            self._expand(self._rng.choice(self._rules[node.text]), role, pieces)
        elif node.kind == "choice":
            self._expand(self._rng.choice(node.parts), role, pieces)
        else:
            for part in node.parts:
                self._expand(part, node.text or role, pieces)


@dataclass(frozen=True)
class _Node:
    kind: str
    text: str = ""
    parts: tuple["_Node", ...] = ()


def _parse(line: str) -> _Node:
    tokens = [token for token in _TOKEN.findall(line) if token]
    node, rest = _sequence(tokens)
    if rest:
        raise ValueError(f"unbalanced: {line}")
    return node


def _sequence(tokens: list[str], role: str = "") -> tuple[_Node, list[str]]:
    choices: list[_Node] = []
    parts: list[_Node] = []
    while tokens and tokens[0] not in (")", "}"):
        head, tokens = tokens[0], tokens[1:]
        if head == "|":
            choices.append(_Node("sequence", role, tuple(parts)))
            parts = []
        elif head == "(":
            inner, tokens = _sequence(tokens)
            parts.append(inner)
            tokens = tokens[1:]
        elif head == "{":
            match = _ROLE.match(tokens[0])
            if match is None:
                raise ValueError(f"no role in {tokens[0]}")
            first = tokens[0][match.end() :]
            inner, tokens = _sequence([first, *tokens[1:]] if first else tokens[1:], match[1])
            parts.append(inner)
            tokens = tokens[1:]
        elif head.startswith("<"):
            parts.append(_Node("rule", head[1:-1]))
        else:
            parts.append(_Node("text", head))
    last = _Node("sequence", role, tuple(parts))
    return (_Node("choice", role, (*choices, last)) if choices else last), tokens


def _join(pieces: list[tuple[str, str | None]]) -> tuple[str, tuple[tuple[int, int, str], ...]]:
    text = ""
    roles: list[tuple[int, int, str]] = []
    for piece, role in pieces:
        for word in re.split(r"(\s+)", piece):
            if not word:
                continue
            if word.isspace():
                text += " " if text and not text.endswith(" ") else ""
                continue
            if re.match(r"[,.!?;:]", word):
                text = text.rstrip()
            start = len(text)
            text += word
            if role is None:
                continue
            if roles and roles[-1][2] == role and not text[roles[-1][1] : start].strip():
                roles[-1] = (roles[-1][0], len(text), role)
            else:
                roles.append((start, len(text), role))
    return text.strip(), tuple(role for role in roles if role[1] <= len(text.strip()))
