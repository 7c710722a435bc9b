"""LaTeX in answers and steps: boxes, fractions, and what it says in plain characters."""

from __future__ import annotations

import re

MAX_LATEX = 20_000
MAX_NESTING = 60

_SYMBOLS = {
    "times": "*", "cdot": "*", "div": "/", "ast": "*", "approx": "≈", "simeq": "≈", "sim": "≈",
    "leq": "≤", "le": "≤", "geq": "≥", "ge": "≥", "neq": "≠", "ne": "≠", "lt": "<", "gt": ">",
    "pm": "±", "pi": "π", "infty": "∞", "circ": "°", "degree": "°", "cup": "∪", "cap": "∩",
    "angle": "∠", "triangle": "△", "Rightarrow": "⇒", "implies": "⇒", "to": "→",
    "rightarrow": "→", "ldots": "…", "cdots": "…", "dots": "…", "quad": " ", "qquad": " ",
    "alpha": "α", "beta": "β", "theta": "θ", "equiv": "≡", "therefore": "∴",
    "emptyset": "∅", "varnothing": "∅",
}  # fmt: skip
_WRAPPERS = (
    "text textbf textit textrm textnormal mathrm mathbf mathit mathsf mathtt mbox boldsymbol bf rm "
    "operatorname emph underline overline boxed fbox displaystyle textstyle hbox"
).split()
_SIZES = re.compile(r"\\(?:left|right|big|Big|bigg|Bigg|bigl|bigr|Bigl|Bigr)\b\.?")
_SPACES = re.compile(r"\\[,;: ]|~|\\(?:q?quad)\b")
_FRACTION = re.compile(r"\\[dtc]?frac(?![a-z])")
_WHOLE = re.compile(r"(?<![\w.,^)}\]])\d{1,18}\s*\Z")
_DOTTED = re.compile(r"\.(\d{0,40})\\dot\s?\{?(\d)\}?(\d{0,40})\\dot\s?\{?(\d)\}?")
_BARRED = re.compile(r"\.(\d{0,40})\\(?:overline|bar|dot)\s?(?:\{(\d{1,40})\}|(\d))")
_UPRIGHT = re.compile(r"(?<=\d)(?=\\(?:text|mathrm|textrm|mbox|operatorname)\s?\{[A-Za-z])")
_ROWS = r"(?:[^\\]|\\(?!begin\b|end\b))*+"
_MATRIX = re.compile(
    rf"\\begin\s?\{{(?P<kind>[pbBvV]?|small)matrix\}}(?P<rows>{_ROWS})\\end\s?\{{[a-zA-Z]{{6,11}}\}}"
    rf"|(?:\\left\s?)?[(\[]\s?\\begin\s?\{{array\}}\{{[lcr|]{{1,9}}\}}(?P<cells>{_ROWS})\\end\s?\{{array\}}\s?(?:\\right\s?)?[)\]]"
)
_BOX = re.compile(r"\\(?:boxed|fbox)\s*\{")


def group_end(text: str, start: int) -> int | None:
    """Index behind the brace group that opens at ``start``, or None when it is not closed."""
    depth = 0
    for match in re.compile(r"\\.|[{}]", re.DOTALL).finditer(text, start):
        if match[0] == "{":
            depth += 1
        elif match[0] == "}":
            depth -= 1
            if depth <= 0:
                return match.end() if depth == 0 else None
        if depth > MAX_NESTING:
            return None
    return None


def boxes(text: str) -> list[tuple[int, str]]:
    r"""Position and content of every outermost ``\boxed{…}``; one not closed ends with its line."""
    found: list[tuple[int, str]] = []
    behind = 0
    for match in _BOX.finditer(text):
        if match.start() < behind:
            continue
        end = group_end(text, match.end() - 1)
        if end is None:
            content = text[match.end() :].split("\n", 1)[0].rstrip(" $.")
            end = match.end() + len(content) + 1
        else:
            content = text[match.end() : end - 1]
        found.append((match.start(), content.strip()))
        behind = end
    return found


def to_plain(text: str) -> str:
    r"""What LaTeX says, in plain characters: ``\frac{3}{4}\text{ cm}`` → ``((3)/(4)) cm``.

    A mixed number becomes ``2 1/2``, a repeating decimal ``0.(36)``, a matrix ``[1, 2; 3, 4]``. Text without a backslash, ``$`` or brace comes back unchanged. Commands that have no plain form
    stay as they are. Unbalanced braces are dropped.
    """
    if "\\" not in text and "$" not in text and "{" not in text:
        return text
    text = text[:MAX_LATEX].replace("\\%", "%").replace("\\$", "$").replace("\\!", "")
    text = _BARRED.sub(r".\1(\2\3)", _DOTTED.sub(r".\1(\2\3\4)", text))
    text = _MATRIX.sub(_matrix, _UPRIGHT.sub(" ", text))
    text = text.replace("\\\\", "\n")
    text = re.sub(r"\\[\[\]()]|\\(?:begin|end)\{[^{}]{0,20}\}|&", " ", text)
    text = _SPACES.sub(" ", _SIZES.sub("", text))
    text = re.sub(r"\^\s*+\{?\s*+\\circ\s*+\}?", "°", text)
    text = re.sub(r"\\[bp]?mod(?![a-zA-Z])\s?", " mod ", text)
    text = _fractions(text)
    text = re.sub(rf"\\(?:{'|'.join(_WRAPPERS)})(?![a-zA-Z])\s*", "", text)
    text = re.sub(
        r"\\([a-zA-Z]+)", lambda m: f" {_SYMBOLS[m[1]]} " if m[1] in _SYMBOLS else m[0], text
    )
    text = re.sub(r"\^\s*\{([^{}]{0,40})\}", r"^(\1)", text)
    return re.sub(r"(?<!\\)[{}]", "", text)


def _fractions(text: str) -> str:
    r"""Replace ``\frac{a}{b}`` and ``\frac12`` by ``((a)/(b))``, innermost last, bounded."""
    for _ in range(400):
        match = _FRACTION.search(text)
        if not match:
            return text
        top, at = _argument(text, match.end())
        bottom, end = _argument(text, at)
        before, fraction = text[: match.start()], f"(({top})/({bottom}))"
        if whole := _whole_before(before, top, bottom):
            before, fraction = whole, f"{top}/{bottom}"
        elif before[-1:].isdigit():
            before += " "
        text = f"{before}{fraction}{text[end:]}"
    return text


def _whole_before(before: str, top: str, bottom: str) -> str | None:
    r"""What stands before a proper fraction when that is a whole number: ``2\frac{1}{2}`` is 2 1/2."""
    if not (top.isdecimal() and bottom.isdecimal() and max(len(top), len(bottom)) < 19):
        return None
    if int(top) >= int(bottom) or not _WHOLE.search(before, max(0, len(before) - 24)):
        return None
    return f"{before.rstrip()} "


def _matrix(match: re.Match[str]) -> str:
    r"""A matrix in one line, its rows parted by semicolons; a determinant stands between bars."""
    rows = [
        row.strip() for row in (match["rows"] or match["cells"] or "").split("\\\\") if row.strip()
    ]
    inside = "; ".join(", ".join(cell.strip() for cell in row.split("&")) for row in rows)
    return f"|{inside}|" if match["kind"] in ("v", "V") else f"[{inside}]"


def _argument(text: str, at: int) -> tuple[str, int]:
    """One argument of a command: a brace group or a single character; and where it ends."""
    while at < len(text) and text[at] == " ":
        at += 1
    if text[at : at + 1] == "{":
        end = group_end(text, at)
        return (text[at + 1 : end - 1], end) if end is not None else (text[at + 1 :], len(text))
    return text[at : at + 1], min(at + 1, len(text))
