"""Models that think aloud, and models that say nothing: in each role, and in every view of a run."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from langchain_core.language_models import BaseChatModel
from langchain_core.messages import AIMessage, BaseMessage
from langchain_core.outputs import ChatGeneration, ChatResult
from langgraph.store.memory import InMemoryStore

from tests.memory_store.conftest import index_config
from tests.scripts import LESSON, QUESTION, RIGHT, WRONG, operations, script
from vitarmm_agent import Problem, ReasoningAgent
from vitarmm_agent.cli.app import run_app
from vitarmm_agent.memory_store import ReasoningMemory
from vitarmm_agent.models.replies import said_and_thought
from vitarmm_agent.models.scripted import ScriptedChatModel
from vitarmm_agent.verifiers import FeedbackPolicy, Function, Judge

DRAFT = "Maybe 20 / 4 = 6? No, that is wrong. The answer is 36?"
THINKERS: dict[str, dict[str, Any]] = {
    "tags": {"content": f"<think>\n{DRAFT}\n</think>\n\n{RIGHT}"},
    "no opening tag": {"content": f"{DRAFT}\n</think>\n\n{RIGHT}"},
    "capitals": {"content": f"<THINK>{DRAFT}</THINK>{RIGHT}"},
    "block": {"content": RIGHT, "reasoning": DRAFT},
}
VERDICT = {"steps": [{"step": 1, "check": "fine", "verdict": "right"}] * 2, "verdict": "right"}
JUDGEMENT = json.dumps(VERDICT)


def open_agent(reasoner: Any, **options: Any) -> ReasoningAgent:
    if not isinstance(reasoner, BaseChatModel):
        reasoner = ScriptedChatModel.of(*reasoner)
    return ReasoningAgent.open(reasoner=reasoner, **{"memory": "off"} | options)


def judged(model: BaseChatModel) -> FeedbackPolicy:
    return FeedbackPolicy((Judge(model),), roles={"judge": "full"})


def memory() -> ReasoningMemory:
    return ReasoningMemory(InMemoryStore(index=index_config()), ("team", "agent"))


@pytest.mark.parametrize("reply", THINKERS.values(), ids=THINKERS)
def test_thinking_is_kept_apart(reply: dict[str, Any]) -> None:
    agent = open_agent([reply])
    pieces = [e for e in agent.stream(QUESTION, thread_id="t", stream_mode="custom") if e["event"] == "attempt_token"]  # fmt: skip
    (attempt,) = agent.result("t").attempts
    assert (attempt.text, attempt.thought, attempt.answer) == (RIGHT, DRAFT, "25")
    assert [step.text for step in attempt.steps][:1] == ["The side is 20 / 4 = 5 cm."]
    assert agent.result("t").feedback[0].verdict == "abstain", "the draft fails nothing"
    if "</think>" not in reply["content"] or reply["content"].startswith("<"):
        assert "".join(p["text"] for p in pieces if not p["thinking"]).strip() == RIGHT
        assert "".join(p["text"] for p in pieces if p["thinking"]).strip() == DRAFT


def test_thinking_is_not_sent_back() -> None:
    reasoner = ScriptedChatModel.of(f"<think>{'hm ' * 3000}</think>{WRONG}", RIGHT)
    agent = open_agent(
        reasoner, feedback=FeedbackPolicy((Function(lambda p, a: a.answer == "25"),))
    )
    assert agent.solve(QUESTION).answer == "25"
    assert "hm hm" not in "".join(message.text for message in reasoner.calls[1].messages)


SAYINGS = {
    "thinking": "<think>\nfine, {{}}\n</think>\n\n{}",
    "fence": "```json\n{}\n```",
    "words": "Here is the JSON you asked for:\n{}\nI hope that [it] helps.",
    "thinking in JSON": '<think>{{"verdict": "wrong"}}</think>```\n{}\n```',
}


@pytest.mark.parametrize("form", SAYINGS.values(), ids=SAYINGS)
def test_a_judge_and_a_writer_are_read_through_their_words(form: str) -> None:
    store = memory()
    agent = open_agent(
        [RIGHT],
        memory=store,
        feedback=judged(ScriptedChatModel.of(form.format(JUDGEMENT))),
        rmm=ScriptedChatModel.of(form.format(operations(LESSON))),
    )
    result = agent.solve(QUESTION)
    assert (result.status, result.feedback[0].source) == ("passed", "judge")
    assert [entry.title for entry in store.list()] == [LESSON["title"]]


@pytest.mark.parametrize(
    "bare", [f"[{json.dumps({'kind': 'add', **LESSON})}]", json.dumps({"kind": "add", **LESSON})]
)
def test_a_writer_may_leave_out_the_object_round_its_list(bare: str) -> None:
    store = memory()
    fails = FeedbackPolicy((Function(lambda p, a: False),))
    writer = ScriptedChatModel.of(bare)
    open_agent([WRONG], memory=store, feedback=fails, rmm=writer, max_iterations=1).solve(QUESTION)
    assert [entry.title for entry in store.list()] == [LESSON["title"]]


SILENT: dict[str, tuple[dict[str, Any], str]] = {
    "cut": ({"finish_reason": "length"}, "cut off before it said anything"),
    "cut inside": ({"content": "<think>So the side", "finish_reason": "length"}, "cut off inside"),
    "cut reasoning": ({"reasoning": "So the", "finish_reason": "length"}, "cut off inside"),
    "refusal": ({"refusal": "I can't help with that."}, "refused: I can't help"),
    "refusal in words": ({"content": "I’m sorry, but I can’t help with that."}, "refused: I’m sorry"),
    "curt refusal": ({"content": "I cannot assist with this request."}, "refused: I cannot"),
    "refusal by name": ({"finish_reason": "refusal"}, "the model refused"),
    "tool": ({"tool_calls": [{"name": "calc", "args": {}}], "finish_reason": "tool_calls"}, "called tool 'calc'"),
    "filter": ({"finish_reason": "content_filter"}, "content filter"),
    "filter with text": ({"content": RIGHT, "finish_reason": "content_filter"}, "content filter"),
    "server error": ({"content": RIGHT, "finish_reason": "error"}, "ended with 'error'"),
    "tool in text": ({"content": '<tool_call>{"name": "calc", "arguments": {"x": 7}}</tool_call>'}, "called a tool"),
    "tool as JSON": ({"content": '{"name": "calc", "parameters": {"x": "7"}}'}, "called a tool"),
    "tool tokens": ({"content": '<|python_tag|>calc.call(e="12-5")'}, "called a tool"),
    "error page": ({"content": "<html><body>502 Bad Gateway</body></html>"}, "an error message"),
    "error line": ({"content": "Error: rate limit exceeded (429)"}, "an error message"),
    "tokens alone": ({"content": "<|im_end|>"}, "the reply is empty"),
    "marks alone": ({"content": "…"}, "the reply is empty"),
    "refusal in German": ({"content": "Es tut mir leid, dabei kann ich nicht helfen."}, "refused: Es tut"),
    "refusal in Chinese": ({"content": "抱歉，我无法回答这个问题。"}, "refused: 抱歉"),
    "filter of another": ({"finish_reason": "SAFETY"}, "content filter"),
    "thinking alone": ({"content": "<think>The answer is 25.</think>"}, "thought, and said nothing"),
    "reasoning alone": ({"reasoning": "The answer is 25."}, "thought, and said nothing"),
    "empty": ({"content": "  \n"}, "the reply is empty"),
}  # fmt: skip


@pytest.mark.parametrize(("reply", "why"), SILENT.values(), ids=SILENT)
def test_no_answer_is_no_pass(reply: dict[str, Any], why: str) -> None:
    store = memory()
    judge = ScriptedChatModel.of({"structured": {"steps": [], "verdict": "right"}})
    writer = ScriptedChatModel.of(operations(LESSON))
    agent = open_agent(
        [reply], memory=store, feedback=judged(judge), rmm=writer, max_iterations=1
    )  # fmt: skip
    result = agent.solve(QUESTION)
    assert (result.status, result.answer) == ("failed", None)
    assert why in result.attempts[0].silent and why in result.feedback[0].message
    assert judge.calls == writer.calls == () and store.list() == []
    assert why in result.stopped_because


@pytest.mark.parametrize(
    "said",
    [
        "I can't do 3 times 4 in my head, so: 12",
        "I cannot answer exactly.\nAnswer: east",
        "The sign says that it cannot help.",
        RIGHT,
    ],
)
def test_what_only_sounds_like_a_refusal_is_read(said: str) -> None:
    assert open_agent([said]).solve(QUESTION).attempts[0].silent == ""


def test_what_was_cut_off_says_so(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    spec = script(tmp_path / "r.json", {"content": "1. 20 / 4 =", "finish_reason": "length"})
    run_app(["solve", QUESTION, "--reasoner", spec])
    assert (
        "there is no answer (it was cut off at the limit of new tokens; raise max_tokens)"
        in " ".join(capsys.readouterr().out.split())
    )


THOUGHTS: dict[str, Any] = {
    "list": [{"type": "thinking", "thinking": [{"type": "text", "text": DRAFT}]}, {"type": "text", "text": RIGHT}],
    "summary": [{"type": "reasoning", "summary": [{"type": "summary_text", "text": DRAFT}]}, {"type": "text", "text": RIGHT}],
    "marked text": [{"type": "text", "text": DRAFT, "thought": True}, {"type": "text", "text": RIGHT}],
    "bedrock": [{"type": "reasoning_content", "reasoning_content": {"text": DRAFT}}, {"type": "text", "text": RIGHT}],
}  # fmt: skip
FIELDS: dict[str, Any] = {
    "reasoning_content": DRAFT,
    "reasoning": {"summary": [{"text": DRAFT}]},
    "reasoning_details": [{"type": "reasoning.text", "text": DRAFT}],
}


@pytest.mark.parametrize(
    "message",
    [
        *(AIMessage(content) for content in THOUGHTS.values()),
        *(AIMessage(RIGHT, additional_kwargs={name: field}) for name, field in FIELDS.items()),
    ],
    ids=[*THOUGHTS, *FIELDS],
)
def test_thinking_is_read_wherever_it_stands(message: AIMessage) -> None:
    assert said_and_thought(message) == (RIGHT, DRAFT)


NO_LESSONS = {
    "refusal": "1. I'm sorry, I can't help.\nAnswer: none",
    "page": "<html>502 Answer: 7</html>",
    "cut": {"content": RIGHT, "finish_reason": "length"},
    "error": {"content": RIGHT, "finish_reason": "error"},
    "filter": {"content": RIGHT, "finish_reason": "content_filter"},
}


@pytest.mark.parametrize("reply", NO_LESSONS.values(), ids=NO_LESSONS)
def test_a_teacher_that_gives_no_solution_teaches_nothing(reply: Any) -> None:
    store = memory()
    agent = open_agent([WRONG], memory=store, teacher=ScriptedChatModel.of(reply), max_iterations=1)
    result = agent.solve(QUESTION)
    assert result.taught is not None and "there is no solution" in result.taught.note
    assert store.list() == []


def test_it_is_asked_again_after_no_answer() -> None:
    result = open_agent([{"content": ""}, RIGHT]).solve(QUESTION)
    assert (result.answer, len(result.attempts)) == ("25", 2)


@pytest.mark.parametrize("decides", [False, True])
def test_what_commits_to_no_answer_is_passed_only_by_who_decides(decides: bool) -> None:
    problem = Problem(text=QUESTION, answer_type="integer")
    policy = FeedbackPolicy(
        (Function(lambda p, a: True),), roles={"function": "decides" if decides else "full"}
    )
    result = open_agent(["I would first take the side."], feedback=policy).solve(problem)
    assert result.answer is None and result.status == ("passed" if decides else "abstained")


def test_the_command_line_says_why_there_is_no_answer(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    spec = script(tmp_path / "r.json", {"refusal": "I can't help with that."})

    run_app(["solve", QUESTION, "--reasoner", spec, "--max-iterations", "1"])
    assert "the model refused: I can't help with that." in capsys.readouterr().out


class Minimal(BaseChatModel):
    """A chat model that can do nothing but reply."""

    replies: list[str]

    @property
    def _llm_type(self) -> str:
        return "minimal"

    def _generate(self, messages: list[BaseMessage], *args: Any, **kwargs: Any) -> ChatResult:
        return ChatResult(generations=[ChatGeneration(message=AIMessage(self.replies.pop(0)))])


def test_a_model_that_can_only_reply_judges_and_writes() -> None:
    store = memory()
    agent = open_agent(
        Minimal(replies=[f"<think>hm</think>{RIGHT}"]),
        memory=store,
        feedback=judged(Minimal(replies=[f"<think>ok</think>```json\n{JUDGEMENT}\n```"])),
        rmm=Minimal(replies=[operations(LESSON)]),
    )
    assert agent.solve(QUESTION).status == "passed"
    assert [entry.title for entry in store.list()] == [LESSON["title"]]
