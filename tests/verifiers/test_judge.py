from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Any

import pytest
from langchain_core.messages import BaseMessage
from langchain_core.runnables import Runnable, RunnableLambda
from PIL import Image

from tests.verifiers.helpers import RIGHT, SQUARE, WRONG, attempt
from vitarmm_agent.effects import arun, run
from vitarmm_agent.errors import InputError, ModelServerError
from vitarmm_agent.media import MediaStore
from vitarmm_agent.models.scripted import ScriptedChatModel, ScriptedReply
from vitarmm_agent.problem import Feedback, ImageRef, Problem
from vitarmm_agent.verifiers import Judge, SelfConsistency, build_policy
from vitarmm_agent.verifiers.judge import judgement_schema

GOLD = "8731"
SECRET = Problem(
    text="What is the number?", reference=GOLD, metadata={"solution": f"It is {GOLD}."}
)


def judgement(verdict: str, wrong: int = 0, mistake: str = "", **more: Any) -> dict[str, Any]:
    opinion: dict[str, Any] = {"step": 1, "check": "20 / 4 = 5", "verdict": "right"}
    if wrong == 1:
        opinion |= {"verdict": "wrong", "mistake": mistake, "kind": "arithmetic"}
    return {"structured": {"steps": [opinion], "verdict": verdict, **more}}


def judged(reply: Any, text: str = WRONG) -> Feedback:
    return run(Judge(ScriptedChatModel.of(reply)).check(SQUARE, attempt(text)))


def test_it_names_the_first_wrong_step() -> None:
    feedback = judged(judgement("wrong", 1, "20 / 4 is 5, not 6."))
    assert feedback.verdict == "fail" and feedback.failure is None
    assert feedback.errors[0].step == 1 and feedback.errors[0].kind == "arithmetic"
    assert "20 / 4 is 5" in feedback.message
    assert feedback.usage.calls == 1


def test_it_may_pass_and_may_abstain() -> None:
    assert judged(judgement("right"), RIGHT).verdict == "pass"
    unsure = judged(judgement("unsure"))
    assert unsure.verdict == "abstain" and unsure.failure is None


def test_reasoning_comes_before_the_verdict_and_a_mistake_only_after_a_wrong_one() -> None:
    schema = judgement_schema(1)
    assert list(schema["properties"]) == ["steps", "verdict"]
    good, bad = schema["properties"]["steps"]["items"]["anyOf"]
    assert list(good["properties"]) == ["step", "check", "verdict"]
    assert list(bad["properties"]) == ["step", "check", "verdict", "mistake", "kind"]


def test_one_opinion_is_asked_for_each_step_but_not_for_the_answer_line() -> None:
    model = ScriptedChatModel.of(judgement("unsure"))
    run(Judge(model).check(SQUARE, attempt(WRONG)))
    steps = model.calls[0].options["json_schema"]["properties"]["steps"]
    assert (steps["minItems"], steps["maxItems"]) == (2, 2)
    assert "3. Answer" not in str(model.calls[0].messages[0].content)


@pytest.mark.parametrize(
    "reply",
    [
        "I think it looks fine!",
        "",
        '{"steps": [], "verdict": "maybe"}',
        {"error": "refuse"},
        judgement("right", 1, "20 / 4 is 5"),
        judgement("wrong", 1, "  "),
        judgement("wrong", 0, "It is wrong."),
        {"structured": {"steps": "none"}},
    ],
)
def test_what_cannot_be_used_is_an_abstention_and_recorded(reply: Any) -> None:
    feedback = judged(reply)
    assert feedback.verdict == "abstain"
    assert feedback.failure
    assert feedback.message == "" and feedback.errors == ()


def test_a_dead_server_is_passed_on_so_that_the_run_can_be_resumed() -> None:
    with pytest.raises(ModelServerError):
        judged({"error": "die"})


class Slow(ScriptedChatModel):
    """A model whose server answers too late."""

    def with_structured_output(self, schema: Any, **kwargs: Any) -> Runnable[Any, Any]:
        def late(messages: list[BaseMessage]) -> Any:
            raise TimeoutError("read timed out")

        return RunnableLambda(late)


def test_a_time_out_is_an_abstention() -> None:
    feedback = run(Judge(Slow(replies=[])).check(SQUARE, attempt(WRONG)))
    assert feedback.verdict == "abstain" and feedback.failure == "the judge timed out"


def test_sync_and_async_agree() -> None:
    reply = judgement("wrong", 1, "20 / 4 is 5, not 6.")
    feedback = asyncio.run(arun(Judge(ScriptedChatModel.of(reply)).check(SQUARE, attempt(WRONG))))
    timeless = {"seconds": 0.0, "calls": ()}
    assert feedback.model_copy(update=timeless) == judged(reply).model_copy(update=timeless)


def test_no_prompt_contains_the_gold_answer() -> None:
    model = ScriptedChatModel.of(judgement("unsure"), *["Answer: 5"] * 4)
    policy = build_policy("arithmetic,judge,self_consistency", judge=model, oracle=True)
    # even with the oracle's verifiers in the policy, whose fail would end it, the judge is asked first
    order = {v.name: v for v in policy.verifiers}
    run(order["judge"].check(SECRET, attempt("Answer: 5", SECRET)))
    run(order["self_consistency"].check(SECRET, attempt("Answer: 5", SECRET)))
    sent = "\n".join(str(message.content) for call in model.calls for message in call.messages)
    assert len(model.calls) == 5 and "What is the number?" in sent
    assert GOLD not in sent


def test_images_it_cannot_see_are_mentioned() -> None:
    problem = SQUARE.model_copy(
        update={"images": Problem(images=["a.png"]).images}  # type: ignore[arg-type]
    )
    model = ScriptedChatModel.of(judgement("unsure"))
    run(Judge(model).check(problem, attempt(WRONG)))
    assert "1 image that you cannot see" in str(model.calls[0].messages[0].content)


def test_self_consistency_votes() -> None:
    def vote(*answers: str, own: str = RIGHT) -> str:
        model = ScriptedChatModel.of(*answers)
        return run(SelfConsistency(model).check(SQUARE, attempt(own))).verdict

    assert vote("Answer: 25", "Answer: 25", "Answer: 9", "Answer: 25.0") == "pass"
    assert vote("Answer: 25", "Answer: 25", "Answer: 25", "Answer: 9", own=WRONG) == "fail"
    assert vote("Answer: 1", "Answer: 2", "Answer: 3", "Answer: 4") == "abstain"
    assert vote("dunno", "dunno", "dunno", "Answer: 25") == "abstain"
    assert vote("Answer: 25", "Answer: 25", "Answer: 25", "Answer: 25", own="dunno") == "fail"


def test_self_consistency_sends_the_attempt_s_own_prompt(tmp_path: Path) -> None:
    """With the picture of a worked example too, and as the attempt itself was asked."""
    media = MediaStore(tmp_path / "media", local_files=True)
    Image.new("RGB", (8, 8)).save(tmp_path / "a.png")
    picture = media.put(ImageRef(source=str(tmp_path / "a.png"))).sha256
    texts = [{"type": "text", "text": text} for text in ("Solve it.", "Step by step.")]
    pictured = [{"type": "image", "sha256": picture}, *texts]
    prompt = ({"role": "system", "content": "Be brief."}, {"role": "user", "content": pictured},
              {"role": "assistant", "content": RIGHT}, {"role": "user", "content": texts},
              {"role": "assistant", "content": "Step 1"})  # fmt: skip
    own = attempt(RIGHT, prompt=prompt)
    model = ScriptedChatModel.of(*["Answer: 25"] * 4)
    feedback = run(SelfConsistency(model, media=media).check(SQUARE, own))
    assert feedback.verdict == "pass" and feedback.usage.calls == 4
    sent = model.calls[0].messages
    asked = "Solve it.\n\nStep by step."
    assert [m.text for m in sent] == ["Be brief.", asked, RIGHT, asked]
    assert sent[1].content[0]["base64"]  # type: ignore[index]
    assert feedback.calls[0].prompt[1]["content"][0] == pictured[0]
    with pytest.raises(InputError, match="pass media="):
        run(SelfConsistency(model).check(SQUARE, own))


def test_samples_that_hold_no_answer_have_no_vote() -> None:
    filtered = ScriptedReply(content=RIGHT, finish_reason="content_filter")
    model = ScriptedChatModel.of(*[filtered] * 3, "Answer: 7")
    assert run(SelfConsistency(model).check(SQUARE, attempt(RIGHT))).verdict == "abstain"
