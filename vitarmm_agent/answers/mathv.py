r"""MATH-Vision's scoring: its own extraction rule and comparison, for figures like the published ones.

Source: Wang et al., MATH-Vision (NeurIPS 2024), evaluation/ of mathllm/MATH-V. The published scorer
evaluates LaTeX to two decimals; here :func:`~vitarmm_agent.answers.closed_form.closed_form` does. Its
habits are kept: spaces are taken out of the response but not out of the options, units are not
understood, and ``(E) 22`` is neither E nor 22.
"""

from __future__ import annotations

import re

from vitarmm_agent.answers.choices import choice_index, letter_index, letter_of
from vitarmm_agent.answers.closed_form import closed_form
from vitarmm_agent.answers.normalise import clean
from vitarmm_agent.problem import Problem

WINDOW = 20_000
_FLAGS = ("the final answer is", "the answer is", "the correct answer is", "the answer should be")
_DROPPED = (
    " ", r"\,", r"\text", r"\mbox", r"\left", r"\right", r"^{\circ}", r"^\circ", "{m}^3", "m^3",
    "{units}", "units", "{km}", "km", "\n", r"\!", r"\$", "$", r"\%",
)  # fmt: skip


def extract(text: str) -> str:
    """The text that the benchmark compares: lower case, without spaces; empty when there is none."""
    text = clean(text[-WINDOW:]).strip()
    text = _trailing_letter(text)
    said = text.split("is ")[-1].rstrip(".")
    if _is_number(said):
        text = said
    if "oxed{" not in text:
        for flag in _FLAGS:
            for form in (flag, flag.replace("the", "The")):
                if form in text:
                    text = text.split(form)[-1].strip().split("\n")[0].split(". ")[0]
    found = _tidy(_boxed(text.lower().replace("{}", "")))
    found = re.sub(r"\{([a-e])\}", r"\1", re.sub(r"\(([a-e])\)", r"\1", found))
    return found.rstrip(".").lstrip(":").strip()


def correct(problem: Problem, extraction: str) -> bool:
    """Whether an extraction is the reference: its letter, its text, or its value to two decimals."""
    reference = problem.reference or ""
    wanted = [reference]
    if problem.choices:
        index = choice_index(problem.choices, reference)
        if len(reference) == 1:
            index = letter_index(reference, len(problem.choices))
        if index is not None:
            wanted = [letter_of(index), problem.choices[index]]
    return any(_equal(one, extraction) for one in wanted)


def _equal(reference: str, extraction: str) -> bool:
    reference, extraction = reference.lower().strip(), extraction.lower().strip()
    if not reference or not extraction:
        return False
    if reference == extraction:
        return True
    first, second = closed_form(reference), closed_form(extraction)
    return first is not None and second is not None and round(first, 2) == round(second, 2)


def _trailing_letter(text: str) -> str:
    for letter in "ABCDE":
        ends = text.endswith((f" {letter}.", f" ({letter})."))
        if ends or text.startswith((f"{letter}\n", f"({letter})\n", f"({letter}) {letter}\n")):
            return letter
    return text


def _is_number(text: str) -> bool:
    return bool(re.fullmatch(r"\s*[+-]?(?:\d+(?:\.\d*)?|\.\d+)(?:[eE][+-]?\d+)?\s*", text))


def _boxed(text: str) -> str:
    found = text.rsplit("oxed{", 1)
    if len(found) == 2 and "}" in found[1]:
        text = found[1].rsplit("}", 1)[0]
    closing, opening = text.find("}"), text.find("{")
    return text.split("}")[0] if closing != -1 and (opening == -1 or closing < opening) else text


def _tidy(text: str) -> str:
    text = text.split("=")[-1].split(r"\approx")[-1].replace("∞", r"\infty").replace("\\\\", "\\")
    text = text.replace("tfrac", "frac").replace("dfrac", "frac")
    for part in _DROPPED:
        text = text.replace(part, "")
    return f"0{text}" if text.startswith(".") else text
