"""Menus as a picture: a call flow from left to right, as SVG.

It is laid out as a tree: every choice has its own arrow to what it leads to, so no two arrows
cross. A menu is drawn where it is come to first; elsewhere a small sign points to it.
"""

from __future__ import annotations

import textwrap
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from html import escape

from pbx.calls.menus import Goal, Kind, Menu, Menus

FONT = "Inter, 'Helvetica Neue', Arial, 'DejaVu Sans', sans-serif"
WIDTH, HEAD, LINE, ROW = 250, 30, 17, 36
"Of a menu's box: its width, its head, a line of its prompt, a row for each choice."
ARROW, PILL, GAP, MARGIN = 190, 34, 22, 36
"The length of an arrow, the height of a pill, and the space around things."
WRAP, MAX_LINES = 36, 5
"Characters of a prompt in a line, and lines of it."

_INK, _PAPER, _QUIET, _LINE = "#1f2937", "#f8fafc", "#64748b", "#94a3b8"
_MENU = "#3b5bdb"
_COLOURS = {
    Kind.EXTENSION: ("#d3f9d8", "#2b8a3e", "☎"),
    Kind.NUMBER: ("#fff3bf", "#b35c00", "↗"),
    Kind.ANSWERPHONE: ("#e5dbff", "#5f3dc4", "✉"),
    Kind.MENU: ("#dbe4ff", "#364fc7", "↩"),
    Kind.REPEAT: ("#dbe4ff", "#364fc7", "↻"),
    Kind.HANG_UP: ("#ffe3e3", "#c92a2a", "✕"),
}

Naming = Callable[[str], str]
"What an extension is called."


@dataclass
class _Box:
    """A menu and what its choices lead to, or with `goal` a pill."""

    menu: Menu | None = None
    goal: Goal | None = None
    rows: list[tuple[str, str, _Box]] = field(default_factory=list)
    "Key, words, and where that leads."
    x: float = 0
    y: float = 0

    @property
    def lines(self) -> list[str]:
        if self.menu is None:
            return []
        text = self.menu.text or "(asks nothing)"
        return textwrap.wrap(text, WRAP, max_lines=MAX_LINES, placeholder=" …")

    @property
    def height(self) -> float:
        if self.menu is None:
            return PILL
        return HEAD + 14 + LINE * len(self.lines) + ROW * len(self.rows) + 8

    def row_at(self, index: int) -> float:
        """The middle of a row."""
        return self.y + HEAD + 14 + LINE * len(self.lines) + ROW * (index + 0.5)


def drawn(menus: Menus, title: str = "", naming: Naming = lambda number: "") -> str:
    """All menus as one SVG document."""
    done = {menu.name for menu in menus.values() if menu.number}
    roots = [_tree(menu, menus, done) for menu in menus.values() if menu.number]
    for menu in menus.values():  # to which nothing leads
        if menu.name not in done:
            roots.append(_tree(menu, menus, done))
    top = MARGIN + (40.0 if title else 0.0)
    x = MARGIN + 120.0
    width = 0.0
    for root in roots:
        bottom = _place(root, x, top)
        width = max(width, _right(root))
        top = bottom + 2 * GAP
    parts: list[str] = []
    if title:
        parts.append(_text(MARGIN, MARGIN + 12, title, 20, _INK, weight=700))
    for root in roots:
        if root.menu is not None and root.menu.number:
            parts += _entry(root, root.menu.number)
        parts += _arrows(root)
        parts += _boxes(root, naming)
    width, height = width + MARGIN, top - 2 * GAP + MARGIN
    return "\n".join([_head(width, height, title), *parts, "</svg>\n"])


# ── layout ──────────────────────────────────────────────────────────────────────────────────
def _tree(menu: Menu, menus: Mapping[str, Menu], done: set[str]) -> _Box:
    done.add(menu.name)
    box = _Box(menu=menu)
    for choice in menu.choices:
        words = ", ".join(choice.words) + (" ◷" if choice.hours else "")
        box.rows.append((choice.key, words, _leads(choice.goal, menus, done)))
    if menu.hours is not None:
        box.rows.append(("◷", "closed", _leads(menu.closed, menus, done)))
    box.rows.append(("…", "otherwise", _leads(menu.default, menus, done)))
    return box


def _leads(goal: Goal, menus: Mapping[str, Menu], done: set[str]) -> _Box:
    if goal.kind is Kind.MENU and goal.to not in done:
        return _tree(menus[goal.to], menus, done)
    return _Box(goal=goal)


def _place(box: _Box, x: float, top: float) -> float:
    """Give a box and all behind it their places; where the next may begin."""
    box.x, box.y = x, top
    below = top
    for index, (_, _, child) in enumerate(box.rows):
        wanted = box.row_at(index) - (PILL / 2 if child.menu is None else HEAD / 2)
        below = _place(child, x + WIDTH + ARROW, max(below, wanted)) + GAP / 2
    return max(below - GAP / 2, top + box.height)


def _right(box: _Box) -> float:
    return max([box.x + WIDTH, *(_right(child) for _, _, child in box.rows)])


# ── drawing ─────────────────────────────────────────────────────────────────────────────────
def _head(width: float, height: float, title: str) -> str:
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" width="{width:.0f}" height="{height:.0f}" '
        f'viewBox="0 0 {width:.0f} {height:.0f}" font-family="{FONT}" role="img">\n'
        f"<title>{escape(title or 'Menus')}</title>\n"
        f'<defs><marker id="tip" viewBox="0 0 10 10" refX="9" refY="5" markerWidth="7" '
        f'markerHeight="7" orient="auto"><path d="M0 0 10 5 0 10z" fill="{_LINE}"/></marker>'
        f"</defs>\n"
        f'<rect width="100%" height="100%" fill="{_PAPER}"/>'
    )


def _entry(root: _Box, number: str) -> list[str]:
    """Where callers come in."""
    y = root.y + HEAD / 2
    x = float(MARGIN)
    return [
        f'<circle cx="{x + 34}" cy="{y}" r="24" fill="#fff" stroke="{_MENU}" stroke-width="2"/>',
        _text(x + 34, y + 5, number, 14, _MENU, weight=700, anchor="middle"),
        _arrow(x + 58, y, root.x, y),
    ]


def _arrows(box: _Box) -> list[str]:
    parts: list[str] = []
    for index, (key, words, child) in enumerate(box.rows):
        begin = (box.x + WIDTH, box.row_at(index))
        end_y = child.y + (PILL / 2 if child.menu is None else HEAD / 2)
        parts.append(_arrow(*begin, child.x, end_y))
        label = f"{key} · {words}" if words and key not in "◷…" else words or key
        shown = textwrap.shorten(label, 22, placeholder=" …")
        parts.append(_text(begin[0] + 12, begin[1] - 6, shown, 12, _QUIET, halo=True))
        parts += _arrows(child)
    return parts


def _arrow(x: float, y: float, to_x: float, to_y: float) -> str:
    """Straight below its label, then in a bend to where it points."""
    path, end = f"M{x:.1f} {y:.1f}", to_x - 2
    if abs(y - to_y) >= 1:
        turn = x + (to_x - x) * 0.45
        path += (
            f"H{turn:.1f}C{turn + 45:.1f} {y:.1f} {end - 55:.1f} {to_y:.1f} {end:.1f} {to_y:.1f}"
        )
    else:
        path += f"H{end:.1f}"
    return (
        f'<path d="{path}" fill="none" stroke="{_LINE}" stroke-width="1.6" marker-end="url(#tip)"/>'
    )


def _boxes(box: _Box, naming: Naming) -> list[str]:
    if box.menu is None:
        assert box.goal is not None
        return _pill(box, box.goal, naming)
    parts = _menu(box, box.menu)
    for _, _, child in box.rows:
        parts += _boxes(child, naming)
    return parts


def _menu(box: _Box, menu: Menu) -> list[str]:
    x, y, height = box.x, box.y, box.height
    name = menu.name.replace("_", " ").replace("-", " ")
    parts = [
        f'<rect x="{x}" y="{y:.1f}" width="{WIDTH}" height="{height:.1f}" rx="10" fill="#fff" '
        f'stroke="#cbd5e1"/>',
        f'<path d="M{x} {y + HEAD:.1f}v-{HEAD - 10}a10 10 0 0 1 10-10h{WIDTH - 20}a10 10 0 0 1 '
        f'10 10v{HEAD - 10}z" fill="{_MENU}"/>',
        _text(x + 12, y + 20, textwrap.shorten(name, 24, placeholder="…"), 14, "#fff", weight=700),
    ]
    if menu.hours is not None:
        parts.append(_text(x + WIDTH - 12, y + 20, "◷ hours", 12, "#dbe4ff", anchor="end"))
    for index, line in enumerate(box.lines):
        parts.append(_text(x + 12, y + HEAD + 20 + LINE * index, line, 12, _QUIET, italic=True))
    for index, (key, words, _) in enumerate(box.rows):
        middle = box.row_at(index)
        plain = key in "◷…"
        parts.append(
            f'<rect x="{x + 12}" y="{middle - 11:.1f}" width="24" height="22" rx="6" '
            f'fill="{"#f1f5f9" if plain else "#dbe4ff"}"/>'
        )
        parts.append(_text(x + 24, middle + 5, key, 13, _INK, weight=700, anchor="middle"))
        shown = textwrap.shorten(words, 26, placeholder=" …") or "(key only)"
        parts.append(_text(x + 46, middle + 4.5, shown, 13, _QUIET if plain else _INK))
    return parts


def _pill(box: _Box, goal: Goal, naming: Naming) -> list[str]:
    fill, ink, sign = _COLOURS[goal.kind]
    name = naming(goal.to) if goal.kind in (Kind.EXTENSION, Kind.ANSWERPHONE) else ""
    match goal.kind:
        case Kind.EXTENSION:
            text = f"{goal.to} {name}".strip()
        case Kind.NUMBER:
            text = f"{goal.to} for {goal.payer}"
        case Kind.ANSWERPHONE:
            text = f"answerphone {goal.to} {name}".strip()
        case Kind.MENU:
            text = f"back to {goal.to}"
        case Kind.REPEAT:
            text = "ask again"
        case Kind.HANG_UP:
            text = "hang up"
    return [
        f'<rect x="{box.x}" y="{box.y:.1f}" width="{WIDTH}" height="{PILL}" rx="{PILL / 2}" '
        f'fill="{fill}" stroke="{ink}" stroke-opacity="0.35"/>',
        _text(box.x + 18, box.y + 22, sign, 14, ink),
        _text(
            box.x + 40,
            box.y + 21.5,
            textwrap.shorten(text, 28, placeholder="…"),
            13,
            ink,
            weight=600,
        ),
    ]


def _text(
    x: float,
    y: float,
    text: str,
    size: int,
    colour: str,
    *,
    weight: int = 400,
    anchor: str = "start",
    italic: bool = False,
    halo: bool = False,
) -> str:
    style = ' font-style="italic"' * italic
    if halo:  # so that an arrow passing behind does not strike it through
        style += f' stroke="{_PAPER}" stroke-width="4" paint-order="stroke"'
    return (
        f'<text x="{x:.1f}" y="{y:.1f}" font-size="{size}" fill="{colour}" '
        f'font-weight="{weight}" text-anchor="{anchor}"{style}>{escape(text)}</text>'
    )
