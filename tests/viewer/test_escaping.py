from __future__ import annotations

from html.parser import HTMLParser
from pathlib import Path
from typing import Any
from urllib.parse import urlencode

import pytest

from tests.evals.made import crash, sample
from tests.viewer.conftest import PAYLOADS
from vitarmm_agent.evals.metrics.pairs import compare_samples, paired_problems
from vitarmm_agent.evals.report.build import Headline
from vitarmm_agent.evals.report.compare import EvaluationComparison, SideBySide
from vitarmm_agent.evals.report.figures import p_value, points
from vitarmm_agent.evals.report.sample_index import SampleFilter
from vitarmm_agent.media import ImageRef, MediaStore
from vitarmm_agent.memory_store.schema import MemoryEntry
from vitarmm_agent.memory_store.transfer import BadLine, Imported
from vitarmm_agent.problem import Attempt, Feedback, Problem, Step, StepError
from vitarmm_agent.result import Result
from vitarmm_agent.traces import Moment, Trace
from vitarmm_agent.viewer.entry_pages import values_of
from vitarmm_agent.viewer.evaluation_files import Evaluation
from vitarmm_agent.viewer.export import export_html
from vitarmm_agent.viewer.markdown import MAX, inline, prose
from vitarmm_agent.viewer.render import page
from vitarmm_agent.viewer.responses import address
from vitarmm_agent.viewer.run_view import run_context
from vitarmm_agent.viewer.text import visible
from vitarmm_agent.viewer.typed import Typed

HASH = "0" * 64
PLAIN = "br code em hr li ol p pre strong table tbody td th thead tr".split()
"""Elements that Markdown may make, without an attribute."""
MAY_DIFFER = {
    ("span", ("class", "data-display", "data-tex")),
    ("ul", ("class",)),
    ("li", ("value",)),
    *((name, ()) for name in ("ins", "del", *PLAIN)),
}


class Shape(HTMLParser):
    """The kinds of elements of a page, by name and attributes; and where its links lead."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.kinds: set[tuple[str, tuple[str, ...]]] = set()
        self.links: set[str] = set()
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.kinds.add((tag, tuple(sorted(name for name, _ in attrs))))
        self.links |= {
            v or "" for name, v in attrs if name in ("href", "src", "action", "xlink:href")
        }


def trace_of(text: str) -> Trace:
    """A trace that says ``text`` wherever a model or a person may have a say."""
    entry = MemoryEntry(
        id="m-1", entry_type="fact", title=text[:200], applies_when=text, content=text
    ).model_dump(mode="json")
    found = {"entry": entry, "score": 1.0, "similarity": 0.9, "terms": {text: 0.1}, "reason": text}
    recall = {"query": text, "entries": [found], "best_rejected": found, "note": text}
    empty = {"query": text, "entries": [], "best_rejected": found, "note": text}
    prompt: Any = ({"role": "user", "content": [{"type": "text", "text": text},
                                                {"type": "image", "sha256": HASH}]},)  # fmt: skip
    attempts = tuple(
        Attempt(number=n, text=f"{n} {text}", steps=(Step(number=1, text=text),), answer=text,
                model=text, prompt=prompt, prompt_hash=HASH, metadata={text: text})
        for n in (1, 2)
    )  # fmt: skip
    errors = (StepError(step=1, message=text), StepError(step=9, message=text))
    part = Feedback(verdict="fail", source=text, message=text, failure=text, errors=errors)
    feedback = Feedback(verdict="fail", source=text, message=text, errors=errors, parts=(part,))
    operation = {"kind": "added", "entry_id": "m-1", "reason": text, "entry": entry}
    written = {"number": 1, "operations": [operation], "failure": text, "note": text, "raw": text,
               "usage": {}, "seconds": 0.0}  # fmt: skip
    image = ImageRef(source=text, sha256=HASH, mime="image/png", width=2, height=2, name=text)
    problem = Problem(text=text, images=(image,), choices=(text,), unit=text, metadata={text: text})
    result = Result(problem=problem, answer=text, passed=False, status="failed",
                    stopped_because=text, attempts=attempts, feedback=(feedback, feedback),
                    recalled=({"number": 1, **recall}, {"number": 2, **empty}),
                    written=(written,), thread_id="run-1")  # fmt: skip
    moments = tuple(
        Moment(
            node=node,
            at="2026-01-01T00:00:00+00:00",
            seconds=0.1,
            checkpoint_id="c",
            next=following,
        )
        for node, following in (("input", ("recall",)), (text, ()))
    )
    waiting = (
        {"value": {"question": text, "fault": text, "attempt": {"number": 1, "answer": text}}},
    )
    forked = {"thread": "run-0", "checkpoint": "c", "edit": text}
    return Trace(
        remark={"tags": ("tag",), "note": text},
        result=result,
        moments=moments,
        waiting_for=waiting,
        forked_from=forked,
        problems=(text,),
    )


def over(trace: Trace, text: str) -> dict[str, Any]:
    """The page of the same run when it is over, and a form of it could not be used."""
    done = trace.model_copy(update={"waiting_for": (), "moments": trace.moments[1:]})
    ended = done.model_copy(
        update={"moments": (done.moments[0].model_copy(update={"next": ()}),), "turns": 1}
    )
    fields = dict.fromkeys(("solution", "by", "comment", "step"), text)
    typed = Typed("teach", text, fields)
    return run_context(
        ended, live=None, thread=text, csrf="0", section="runs", path=text, typed=typed
    )


def pages_of(text: str, folder: Path) -> str:
    trace = trace_of(text)
    context = run_context(trace, live=None, thread=text, csrf="0", section="runs", path=text)
    iteration = context["view"].iterations[0]
    entry = MemoryEntry(entry_type="fact", title=text[:200], applies_when=text, content=text)
    common = {"csrf": "0", "section": text, "query": {"q": text, "type": text}}
    own: Any = {"to": lambda *parts, **query: address("memory", *map(str, (*parts, *query.values()))),
                "whose": text, "asked": text, "of_namespace": f"?{urlencode({'namespace': text})}"}  # fmt: skip
    own |= common
    report = Imported(run=text, bad=(BadLine(number=1, reason=text),), notes=(text,))
    samples = [sample(text, False, arm=text, question=text, reference=text, category=text),
               crash(text, question=text)]  # fmt: skip
    side = SideBySide(
        EvaluationComparison(first=text, second=text, notes=(text,), objections=(text,), rows=(
            compare_samples(samples, samples, (text, text)),) * 2),
        (paired_problems(samples, samples),) * 2,
    )  # fmt: skip
    paged = {"total": 3, "page_number": 2, "pages": 3, "to": lambda page, **more: "/x"}
    headline = Headline(arm=text, oracle=True, n=1, crashed=0, accuracy=None, low=None, high=None)
    summary = Evaluation(text, text, (headline,), False, (), 0.0, "")
    return "".join(
        [
            page("run", **context),
            page("run", **over(trace, text)),
            export_html(trace, MediaStore(folder)),
            page("fork", typed=Typed("fork", text, {"message": text}), trace=trace, moment=trace.moments[0], iteration=iteration,
                 settings={"reasoner": text, "feedback": text}, **common),
            page("diff", one=trace, other=trace, views=(context["view"],), changes=[], **common),
            page("review", waiting=[entry], **own),
            page("entry_new", values=values_of(entry), kinds=(), fault=text, **own),
            page("namespaces", listed=[(text, 1), (f"{text}/2", 2)], **own),
            page("memory_import", values={}, fault=text, report=report, mega=64, **own),
            page("evaluation", shown=summary, samples=samples, outcomes=(), arms=[text], sources=[text],
                 others=[text], where=SampleFilter(arm=text), traced=True, **common, **paged),
            page("compare", names=[text, text], anyway=False, fault="", comparison=side.comparison,
                 row=0, problems=side.problems[0], differ=0, traced=[True, True], points=points,
                 p_value=p_value, **common, **paged),
            page("compare", names=[text, text], anyway=False, fault=text, **common),
            page("error", words=text, code=400, **common),
            page("solve", models=[text], images=[trace.result.problem.images[0]], values=dict.fromkeys(("text", "choices", "unit", "reasoner"), text),
                 fault=text, settings={"reasoner": text, "max_iterations": text}, **common),
            page("memory", found=None, shown=[entry], page_number=2, more=True, as_of=None, kinds=(),
                 states=(), waiting=9, most_waiting=8, **own),
            page("evaluations", evaluations=[], reports=[], folder=text, **common),
        ]
    )  # fmt: skip


@pytest.fixture(scope="module")
def plain(tmp_path_factory: pytest.TempPathFactory) -> Shape:
    return Shape(pages_of("plain", tmp_path_factory.mktemp("media")))


def test_there_are_enough_payloads() -> None:
    assert len(set(PAYLOADS)) >= 60


@pytest.mark.parametrize("payload", PAYLOADS)
def test_text_adds_no_element_no_attribute_and_no_link(
    payload: str, plain: Shape, tmp_path: Path
) -> None:
    shape = Shape(pages_of(payload, tmp_path))
    added = shape.kinds - plain.kinds - MAY_DIFFER
    assert {kind for kind in added if kind[0] != "textarea"} == set()
    assert all(link.startswith(("/", "data:image/", "#")) for link in shape.links - plain.links)


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("\x1b[31mred", "␛[31mred"),
        ("a\x00b\x07", "a␀b␇"),
        ("user\u202egnp.exe", "user⟨U+202E⟩gnp.exe"),
        ("half \ud83d pair", "half ⟨U+D83D⟩ pair"),
        ("line\r\nend\ttab", "line\nend\ttab"),
        ("\x9bcsi", "⟨U+009B⟩csi"),
    ],
)
def test_what_cannot_be_seen_is_written_out(text: str, shown: str) -> None:
    assert visible(text) == shown
    assert inline(text) == shown


@pytest.mark.parametrize(
    ("text", "formulas"),
    [
        ("the side $s = 20 / 4 = 5$ and $x^2$", ["s = 20 / 4 = 5", "x^2"]),
        (r"so \(a\sqrt{b}\) and \[\frac{1}{2}\] and $$y$$", [r"a\sqrt{b}", r"\frac{1}{2}", "y"]),
        ("it costs $5 and then $6 more", []),
        ("Ann has $20, Bob has $30. They pay $15 each.", []),
        ("a price of $5.00$ or so", []),
        (r"an escaped \$x$ sign", []),
    ],
)
def test_formulas_are_told_from_money(text: str, formulas: list[str]) -> None:
    import html
    import re

    assert [html.unescape(f) for f in re.findall(r'data-tex="([^"]*)"', inline(text))] == formulas


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("**Answer: 25**, *so* `x*y`", "<p><strong>Answer: 25</strong>, <em>so</em> <code>x*y</code></p>"),
        ("2*3*4 is 6 * 4, x**2*y, 5 *4 and 3* 2", "<p>2*3*4 is 6 * 4, x**2*y, 5 *4 and 3* 2</p>"),
        ("20\n- 5 is 15", '<p>20</p><ul class="minus"><li>5 is 15</li></ul>'),
        ("3. a\n3. b", '<ol><li value="3">a</li><li value="3">b</li></ol>'),
        ("# Sum\n> 5", "<p><strong>Sum</strong></p><p>&gt; 5</p>"),
        ("a\nb", "<p>a<br>b</p>"),
        ("```html\n<b>$x^2$</b>\n```", "<pre><code>&lt;b&gt;$x^2$&lt;/b&gt;</code></pre>"),
        ("[x](javascript:a) ![i](//evil/i.png) <b>", "<p>[x](javascript:a) ![i](//evil/i.png) &lt;b&gt;</p>"),
        ("<https://e.example> [a]\n\n[a]: https://e.example", "<p>&lt;https://e.example&gt; [a]</p><p>[a]: https://e.example</p>"),
        ("|a|b|\n|-:|-|\n|1|2|", "<table><thead><tr><th>a</th><th>b</th></tr></thead><tbody><tr><td>1</td><td>2</td></tr></tbody></table>"),
    ],
)  # fmt: skip
def test_markdown_is_drawn_and_mathematics_left_alone(text: str, shown: str) -> None:
    assert prose(text).replace("\n", "") == shown


@pytest.mark.parametrize("payload", PAYLOADS)
def test_markdown_round_what_is_hostile_makes_nothing_else(payload: str) -> None:
    around = f"- **{payload}** `{payload}` [x]({payload}) ![x]({payload})\n\n> {payload}\n\n# {payload}\n\n"
    tables = f"|{payload}|b|\n|:-|-:|\n|{payload}|<{payload}>|\n\n```{payload}\n{payload}\n```\n\n[a]: {payload}"
    shape = Shape(prose(around + tables))
    assert shape.kinds - MAY_DIFFER == set() and shape.links == set()


def test_a_text_of_any_length_and_depth_is_drawn() -> None:
    assert prose("x" * MAX) == f"<p>{'x' * MAX}</p>\n" and prose("x" * (MAX + 1)) == "x" * (MAX + 1)
    assert "deep" in prose("- " * 5_000 + "deep") and "deep" in prose("**" * 5_000 + "deep")


def test_the_tiles_of_an_image_are_drawn_where_vita_cut_it(tmp_path: Path) -> None:
    trace = trace_of("plain")
    image = ImageRef(source="x", sha256=HASH, mime="image/png", width=896, height=448)
    problem = trace.result.problem.model_copy(update={"images": (image,)})
    attempt = trace.result.attempts[0].model_copy(update={"metadata": {"tiles_per_image": [3]}})
    result = trace.result.model_copy(update={"problem": problem, "attempts": (attempt,)})
    text = export_html(trace.model_copy(update={"result": result}), MediaStore(tmp_path))
    assert "2 tiles" in text
    assert '<rect x="0.0" y="0.0" width="448.0" height="448.0"/>' in text
    assert '<rect x="448.0" y="0.0" width="448.0" height="448.0"/>' in text


def test_an_export_needs_no_web_server() -> None:
    import subprocess
    import sys

    code = "import sys; sys.modules['starlette'] = None; import vitarmm_agent.viewer.export"
    subprocess.run([sys.executable, "-c", code], check=True)
