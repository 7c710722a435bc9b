"""Another attempt: it goes on from the step that was put right, or it is another one."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from langchain_core.embeddings import DeterministicFakeEmbedding
from langchain_core.messages import AIMessage, BaseMessage
from langchain_core.outputs import ChatGenerationChunk
from langgraph.store.memory import InMemoryStore
from pydantic import Field

from tests.scripts import LESSON, QUESTION, RIGHT, WRONG, nothing, operations
from vitarmm_agent import Problem, ReasoningAgent
from vitarmm_agent.effects import Flow
from vitarmm_agent.memory_store import ReasoningMemory
from vitarmm_agent.models.scripted import ScriptedChatModel
from vitarmm_agent.problem import Attempt, Feedback
from vitarmm_agent.verifiers import Arithmetic, FeedbackPolicy

KEPT = "1. The side is 20 / 4 = 5"
REST = " cm.\n2. The area is 5 * 5 = 25.\nAnswer: 25"
SLOPPY_REST = " cm.\n2. The area is 5 * 5 = 30.\nAnswer: 30"


def model(*replies: str, goes_on: bool = True) -> ScriptedChatModel:
    return ScriptedChatModel.of(*replies).model_copy(update={"continues_reply": goes_on})


def open_agent(reasoner: ScriptedChatModel, **options: Any) -> ReasoningAgent:
    return ReasoningAgent.open(
        reasoner=reasoner, **{"feedback": "arithmetic", "memory": "off"} | options
    )


def asked(reasoner: ScriptedChatModel, call: int) -> tuple[BaseMessage, ...]:
    return reasoner.calls[call].messages


def test_a_model_that_can_goes_on_from_the_value_that_was_put_right() -> None:
    reasoner = model(WRONG, REST)
    result = open_agent(reasoner).solve(QUESTION)
    assert (result.answer, result.status) == ("25", "abstained")
    *before, last = asked(reasoner, 1)
    assert isinstance(last, AIMessage) and last.text == KEPT
    assert before == [*asked(reasoner, 0)]
    second = result.attempts[1]
    assert (second.text, second.kept_text, second.kept) == (KEPT + REST, KEPT, len(KEPT))
    assert [step.text for step in second.steps] == [
        "The side is 20 / 4 = 5 cm.", "The area is 5 * 5 = 25.", "Answer: 25",
    ]  # fmt: skip
    assert second.prompt[-1] == {"role": "assistant", "content": KEPT}
    assert second.usage.output_tokens == len(REST.split())
    assert result.feedback[0].mended == KEPT


def test_each_mend_costs_the_rest_of_the_reply() -> None:
    reasoner = model(WRONG, SLOPPY_REST, ".\nAnswer: 25")
    result = open_agent(reasoner).solve(QUESTION)
    assert [attempt.answer for attempt in result.attempts] == ["36", "30", "25"]
    assert result.attempts[2].kept_text == f"{KEPT} cm.\n2. The area is 5 * 5 = 25"
    assert result.attempts[2].usage.output_tokens == 3


def test_a_mend_that_led_nowhere_is_not_made_again() -> None:
    reasoner = model(WRONG, "0 cm.\nAnswer: 50", RIGHT)
    result = open_agent(reasoner).solve(QUESTION)
    assert result.feedback[1].mended == "" and "wrong" in result.feedback[1].message
    assert asked(reasoner, 2) == asked(reasoner, 0)
    assert (result.attempts[2].kept, result.answer) == (0, "25")


@pytest.mark.parametrize(
    ("reply", "text", "kept"),
    [
        (REST, KEPT + REST, len(KEPT)),
        ("2. The area is 5 * 5 = 25.\nAnswer: 25",
         f"{KEPT}\n2. The area is 5 * 5 = 25.\nAnswer: 25", len(KEPT) + 1),
        (f"{KEPT}{REST}", KEPT + REST, 0),
    ],
)  # fmt: skip
def test_another_model_is_asked_to_go_on_in_the_prompt(reply: str, text: str, kept: int) -> None:
    reasoner = model(WRONG, reply, goes_on=False)
    result = open_agent(reasoner).solve(QUESTION)
    last = asked(reasoner, 1)[-1]
    assert last.type == "human" and KEPT in last.text and "Write only what comes next" in last.text
    assert "= 6" not in last.text and "is wrong" not in last.text
    assert (result.attempts[1].text, result.attempts[1].kept) == (text, kept)
    assert result.answer == "25"


class Fails:
    """Fails each attempt in its own words."""

    def __init__(self, source: str) -> None:
        self.name = source

    def check(self, problem: Problem, attempt: Attempt) -> Flow[Feedback]:
        yield from ()
        return Feedback(verdict="fail", source=self.name, message="Mind the units.")


@pytest.mark.parametrize(
    ("source", "told"), [("human", True), ("my_tests", True), ("answer_follows", False)]
)
def test_a_retry_is_told_what_a_person_said_and_never_shown_what_failed(
    source: str, told: bool
) -> None:
    reasoner = model(RIGHT, RIGHT)
    open_agent(reasoner, feedback=[Fails(source)], max_iterations=2).solve(QUESTION)
    words = "\n".join(message.text for message in asked(reasoner, 1))
    assert "20 / 4" not in words
    assert ("Mind the units." in words) == told


class Sampler(ScriptedChatModel):
    """A scripted model that says how it was to decode."""

    temperature: float = 0.0
    seed: int | None = None
    decoded: list[tuple[float, int | None]] = Field(default_factory=list)

    def _stream(self, *args: Any, **kwargs: Any) -> Iterator[ChatGenerationChunk]:
        self.decoded.append((self.temperature, self.seed))
        return super()._stream(*args, **kwargs)


def decoded(thread: str, *replies: str, **fields: Any) -> list[tuple[float, int | None]]:
    reasoner = Sampler(
        replies=ScriptedChatModel.of(*replies).replies, continues_reply=True, **fields
    )
    options: dict[str, Any] = {"feedback": [Fails("mine")]} if replies[0] == RIGHT else {}
    open_agent(reasoner, **options).solve(QUESTION, thread_id=thread)
    return reasoner.decoded


def test_a_retry_differs_and_a_run_repeats() -> None:
    first, second, third = decoded("t", RIGHT, RIGHT, RIGHT)
    assert first == (0.0, None)
    assert second[0] == third[0] == 0.7 and None not in (second[1], third[1])
    assert second[1] != third[1]
    assert decoded("other", RIGHT, RIGHT, RIGHT)[1][1] != second[1]


def test_a_retry_of_the_same_name_has_the_same_seed() -> None:
    from vitarmm_agent.models.retried import sampling

    greedy = Sampler(replies=[])
    again: Any = [sampling(greedy, 0.7, "t/2") for _ in range(2)]
    assert again[0].seed == again[1].seed is not None
    warm: Any = sampling(Sampler(replies=[], temperature=0.3), 0.7, "t/2")
    assert (warm.temperature, warm.seed) == (0.3, None)
    seeded: Any = sampling(Sampler(replies=[], temperature=0.3, seed=4), 0.7, "t/2")
    assert seeded.temperature == 0.3 and seeded.seed not in (4, None)
    wrapped: Any = sampling(greedy.with_retry(), 0.7, "t/2")  # type: ignore[arg-type]
    assert wrapped.bound.temperature == 0.7
    bare = ScriptedChatModel.of()
    assert sampling(bare, 0.7, "t/2") is bare


def test_a_mended_attempt_goes_on_greedily() -> None:
    assert decoded("t", WRONG, REST) == [(0.0, None), (0.0, None)]


def test_what_wraps_models_goes_on_when_all_of_them_do() -> None:
    from vitarmm_agent.models.retried import continues_reply

    one, other = model(), model(goes_on=False)
    assert continues_reply(one.with_retry()) and not continues_reply(other)
    assert continues_reply(one.with_fallbacks([one]))
    assert not continues_reply(one.with_fallbacks([other]))


@pytest.fixture
def memory() -> ReasoningMemory:
    embed = DeterministicFakeEmbedding(size=32)
    store = InMemoryStore(index={"embed": embed, "dims": 32, "fields": ["index_text"]})
    return ReasoningMemory(store, namespace=("team", "agent"))


def test_a_slip_is_no_lesson(memory: ReasoningMemory) -> None:
    writer = ScriptedChatModel.of(operations(LESSON))
    result = open_agent(model(WRONG, REST), memory=memory, rmm=writer).solve(QUESTION)
    assert writer.calls == () and memory.list() == []
    assert "a wrong value is a slip" in result.written[0]["note"]


def test_nor_is_one_that_cannot_be_put_right(memory: ReasoningMemory) -> None:
    writer = ScriptedChatModel.of(operations(LESSON))
    unclear = "1. The side is 20 / 3 = 5 cm.\nAnswer: 25"
    result = open_agent(model(unclear, RIGHT), memory=memory, rmm=writer).solve(QUESTION)
    assert result.feedback[0].mended == "" and result.answer == "25"
    assert writer.calls == () and memory.list() == []


def test_what_fails_for_another_reason_as_well_is_a_lesson(memory: ReasoningMemory) -> None:
    writer = ScriptedChatModel.of(operations(LESSON), nothing())
    policy = FeedbackPolicy((Arithmetic(), Fails("person")), roles={"person": "decides"})
    reasoner = model(WRONG, RIGHT)
    agent = open_agent(reasoner, memory=memory, rmm=writer, feedback=policy, max_iterations=2)
    result = agent.solve(QUESTION)
    assert result.feedback[0].parts[0].mended == KEPT and len(memory.list()) == 1
    assert result.attempts[1].kept == 0 and "Mind the units." in asked(reasoner, 1)[-1].text


def test_the_stream_tells_what_was_kept() -> None:
    agent = open_agent(model(WRONG, REST))
    events = [
        e for e in agent.stream(QUESTION, stream_mode="custom") if e["event"] == "attempt_token"
    ]
    second = [event for event in events if event["iteration"] == 2]
    assert "".join(event["text"] for event in second) == KEPT + REST
    assert [event["text"] for event in second if event["kept"]] == [KEPT]


class PutsRight:
    """Fails the first attempt, whatever it is, and says from where to go on."""

    name = "exact"

    def check(self, problem: Problem, attempt: Attempt) -> Flow[Feedback]:
        yield from ()
        if attempt.number == 1:
            return Feedback(verdict="fail", source=self.name, mended=KEPT)
        return Feedback(verdict="abstain", source=self.name)


@pytest.mark.weights
def test_a_real_model_goes_on_where_it_was_put_right(weights: Callable[[str], Path]) -> None:
    weights("qwen2.5-coder-0.5b-instruct")
    agent = ReasoningAgent.open(feedback=[PutsRight()], memory="off", max_tokens=64)
    first, second = agent.solve(QUESTION).attempts
    assert (second.kept_text, second.answer) == (KEPT, "25")
    assert second.text[second.kept :].startswith((" ", "."))
    assert second.usage.input_tokens > first.usage.input_tokens
