"""Markdown that a model or a person wrote, as HTML that can do nothing.

markdown-it reads it. Raw HTML, links, images and entities are left as they were written: whatever
comes out is one of a dozen elements, none of which has an address, a style or a script. Formulas, and
stars that multiply, are taken out before and put back into the words.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from functools import lru_cache
from typing import Any

from markdown_it import MarkdownIt
from markdown_it.renderer import RendererHTML
from markdown_it.token import Token
from markupsafe import Markup, escape

from vitarmm_agent.viewer.text import TEX, looks_like_tex, visible

MAX = 20_000
"""Characters of a text that are read as Markdown; a longer one is shown as it is."""
DEPTH = 20
"""Levels of lists and what is in them; a text with more is shown as it is, too."""
_OPEN, _CLOSE = "\ue000", "\ue001"
_HELD = re.compile(f"{_OPEN}([0-9]{{1,7}}){_CLOSE}")
_KEPT = re.compile(
    TEX.pattern + r"|(?P<star>(?:[\w)\]]\*{1,2}(?=[\w(\[\\])|[\d)\]][ \t]{0,3}\*(?!\*)|"
    r"[^\s*][ \t]{0,3}\*(?!\*)[ \t]{0,3}(?=[\d(])))",
    re.DOTALL,
)
_RULES = ("fence", "heading", "hr", "list", "table", "backticks", "emphasis", "escape", "newline")
_MARKS = {"-": "minus", "+": "plus", "*": "star"}


def inline(value: Any) -> Markup:
    """A text within a line or a paragraph: emphasis, code and formulas; line breaks stay."""
    return _rendered(value, _reader().parseInline, "\n")


def prose(value: Any) -> Markup:
    """A text of its own: paragraphs, lists, tables, code and formulas."""
    return _rendered(value, _reader().parse, "<br>\n")


def _rendered(value: Any, parse: Callable[..., list[Token]], line_end: str) -> Markup:
    text = str(visible(str(value if value is not None else "")))
    if len(text) > MAX:
        return escape(text)
    held: list[str] = []
    env = {"held": held, "line end": line_end}
    tokens, reader = parse(_hold(text, held), env), _reader()
    if any(token.level >= DEPTH - 2 for token in tokens):  # what lies deeper would be left out
        return escape(text)
    return Markup(reader.renderer.render(tokens, reader.options, env))


def _hold(text: str, held: list[str]) -> str:
    """The text with a mark for each formula and each star that multiplies."""

    def mark(match: re.Match[str]) -> str:
        source = next((g for g in match.groups() if g is not None), "")
        if match.lastgroup == "inline" and not looks_like_tex(source):
            return match.group()
        held.append(match.group())
        return f"{_OPEN}{len(held) - 1}{_CLOSE}"

    return _KEPT.sub(mark, text.replace(_OPEN, "⟨U+E000⟩").replace(_CLOSE, "⟨U+E001⟩"))


class _Renderer(RendererHTML):
    """Writes elements without attributes, but for what a list was numbered and marked with."""

    def text(self, tokens: Sequence[Token], at: int, options: Any, env: Any) -> str:
        return _words(tokens[at].content, env["held"])

    def code_inline(self, tokens: Sequence[Token], at: int, options: Any, env: Any) -> str:
        return f"<code>{_source(tokens[at].content, env['held'])}</code>"

    def fence(self, tokens: Sequence[Token], at: int, options: Any, env: Any) -> str:
        return f"<pre><code>{_source(tokens[at].content, env['held'])}</code></pre>\n"

    def softbreak(self, tokens: Sequence[Token], at: int, options: Any, env: Any) -> str:
        return str(env["line end"])

    def hardbreak(self, tokens: Sequence[Token], at: int, options: Any, env: Any) -> str:
        return self.softbreak(tokens, at, options, env)

    def heading_open(self, tokens: Sequence[Token], at: int, options: Any, env: Any) -> str:
        return "<p><strong>"

    def heading_close(self, tokens: Sequence[Token], at: int, options: Any, env: Any) -> str:
        return "</strong></p>\n"

    def bullet_list_open(self, tokens: Sequence[Token], at: int, options: Any, env: Any) -> str:
        return f'<ul class="{_MARKS[tokens[at].markup]}">\n'

    def ordered_list_open(self, tokens: Sequence[Token], at: int, options: Any, env: Any) -> str:
        return "<ol>\n"

    def list_item_open(self, tokens: Sequence[Token], at: int, options: Any, env: Any) -> str:
        number = tokens[at].info
        return f'<li value="{int(number)}">' if number.isdecimal() else "<li>"

    def th_open(self, tokens: Sequence[Token], at: int, options: Any, env: Any) -> str:
        return "<th>"

    def td_open(self, tokens: Sequence[Token], at: int, options: Any, env: Any) -> str:
        return "<td>"


@lru_cache(maxsize=1)
def _reader() -> MarkdownIt:
    """Reads what is listed, and leaves the rest as it was written."""
    return MarkdownIt("zero", {"maxNesting": DEPTH}, renderer_cls=_Renderer).enable([*_RULES])


def _words(text: str, held: list[str]) -> str:
    """Escaped text with formulas in the place of their marks."""
    parts, last = [], 0
    for match in _HELD.finditer(text):
        source = held[int(match.group(1))]
        formula = TEX.fullmatch(source)
        parts += [
            escape(text[last : match.start()]),
            _formula(formula) if formula else escape(source),
        ]
        last = match.end()
    return str(Markup("").join([*parts, escape(text[last:])]))


def _source(text: str, held: list[str]) -> str:
    """Escaped code, as it was written."""
    return str(escape(_HELD.sub(lambda match: held[int(match.group(1))], text)))


def _formula(match: re.Match[str]) -> Markup:
    source = next(group for group in match.groups() if group is not None)
    display = "block" if match.lastgroup in ("block", "bracket") else "inline"
    return Markup('<span class="tex" data-display="{}" data-tex="{}">{}</span>').format(
        display, source, match.group()
    )
