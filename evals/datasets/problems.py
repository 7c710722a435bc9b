"""Problems of any kind: rows with the fields of :class:`~vitarmm_agent.problem.Problem`."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from vitarmm_agent.errors import InputError
from vitarmm_agent.evals.datasets.records import (
    Context,
    Format,
    RowError,
    mapping_field,
)
from vitarmm_agent.problem import Problem


def _is_row(row: Mapping[str, Any]) -> bool:
    return ("text" in row or "images" in row) and set(row) <= set(Problem.model_fields)


def _problem(row: Mapping[str, Any], context: Context) -> Problem:
    if row.get("reference") in (None, ""):
        raise RowError("has no reference (the gold answer)")
    images = row.get("images") or ()
    if isinstance(images, (str, Mapping)):
        images = (images,)
    facts = mapping_field(row, "metadata")
    own = {"benchmark": "problems", "split": context.split, "category": "", "grading": "strict"}
    try:
        return Problem.parse(
            {
                **row,
                "reference": str(row["reference"]),
                "images": [context.image(_source(image), row) for image in images],
                "metadata": own | facts,
            }
        )
    except InputError as error:
        raise RowError(str(error).removeprefix("problem cannot be used: ")) from None


def _source(image: Any) -> Any:
    return image.get("source") if isinstance(image, Mapping) else image


FORMAT = Format(
    title="problems",
    fields="text, reference, and any other field of Problem",
    splits=(),
    hub=None,
    is_row=_is_row,
    problem=_problem,
    split_of=lambda row: str(mapping_field(row, "metadata").get("split", "")),
)
