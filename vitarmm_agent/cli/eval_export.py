"""A whole evaluation, with every step of every run, as one HTML file."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from vitarmm_agent.errors import InputError

if TYPE_CHECKING:
    from vitarmm_agent.evals.run.samples import Sample
    from vitarmm_agent.viewer.run_collection import RunCollection


def export_evaluation(
    folder: Path, file: Path, arms: Sequence[str] | None = None
) -> tuple[int, int]:
    """Write the report of ``folder`` with its runs inside to ``file``.

    Args:
        folder: of the evaluation, with its traces in ``data``.
        file: HTML file to write.
        arms: put in only the runs of these arms; the report is of all.

    Returns:
        How many runs are in the file, and how many could not be read.

    Raises:
        InputError: it is no evaluation, an arm is unknown, or the file cannot be written.
    """
    from vitarmm_agent.evals.report import build_report, html_page
    from vitarmm_agent.evals.run.folder import EvaluationFolder
    from vitarmm_agent.media import MediaStore
    from vitarmm_agent.viewer.run_collection import RunCollection

    place = EvaluationFolder(folder)
    config, samples = place.config(), place.samples()
    if not samples:
        raise InputError(f"{str(folder)!r} has no finished sample yet")
    unknown = [name for name in arms or () if name not in {s.arm for s in samples}]
    if unknown:
        raise InputError(f"no sample is of arm {', '.join(map(repr, unknown))}")
    wanted = [s for s in samples if arms is None or s.arm in arms]
    collection = RunCollection(MediaStore(place.data_dir / "media"))
    links = _fill(collection, place.data_dir / "traces.sqlite", wanted)
    text = html_page(
        build_report(config, samples),
        samples,
        run_link=lambda sample: links.get(sample.key),
        head_end=collection.head(),
        body_end=collection.body(),
        policy=collection.policy,
    )
    try:
        file.write_text(text, encoding="utf-8", errors="replace")
    except OSError as error:
        raise InputError(f"{str(file)!r} cannot be written: {error.strerror}") from None
    return len(links), len(wanted) - len(links)


def _fill(collection: RunCollection, traces: Path, samples: Sequence[Sample]) -> dict[str, str]:
    """Put the run of each sample in; the address of each, by the sample's key."""
    from vitarmm_agent.graphs.checkpoints import read_checkpoints
    from vitarmm_agent.traces import read_trace

    if not traces.is_file():
        raise InputError(f"the traces of this evaluation are gone: there is no {str(traces)!r}")
    kept, links = read_checkpoints(traces), {}
    try:
        for sample in samples:
            try:
                links[sample.key] = collection.add(read_trace(kept, sample.thread_id))
            except InputError:
                continue
    finally:
        kept.close()
    return links
