"""Rows of training data: read, counted, split, and turned into tokens."""

from __future__ import annotations

import gzip
import json
from pathlib import Path
from typing import Any

import pytest
from langchain_core.messages import AIMessage, HumanMessage, SystemMessage

from tests.models.conftest import make_model, make_tokenizer
from tests.training.tiny import decision, preference, settings_for, write_lines
from vitarmm_agent.errors import InputError
from vitarmm_agent.models.folder import FolderChatModel
from vitarmm_agent.problem import Attempt, Feedback, Problem, Step
from vitarmm_agent.rmm.writer import decision_messages
from vitarmm_agent.training.dataset import (
    IGNORED,
    Encoder,
    Preference,
    Supervised,
    encode,
    held_out,
    read_data,
    summary,
)
from vitarmm_agent.training.rows import DecisionRow, PreferenceRow, write_rows

CHOSEN = ("chosen",)


@pytest.fixture(scope="module")
def tokenizer() -> Any:
    return make_tokenizer()


@pytest.fixture(scope="module")
def chat(tmp_path_factory: pytest.TempPathFactory) -> FolderChatModel:
    folder = make_model(tmp_path_factory.mktemp("base"))
    return FolderChatModel.load(folder, home=folder / "home", dtype="float32", device="cpu")


def test_every_form_of_the_data_holds_the_same_rows(tmp_path: Path) -> None:
    rows = [decision(n) for n in range(5)]
    write_rows(
        tmp_path / "sim",
        [DecisionRow.model_validate(row) for row in rows],
        [PreferenceRow.model_validate(preference(1))],
    )
    lines = write_lines(tmp_path / "rows.jsonl", rows)
    packed = tmp_path / "rows.jsonl.gz"
    packed.write_bytes(gzip.compress(lines.read_bytes()))
    forms = [
        tmp_path / "sim",
        tmp_path / "sim" / "combined_data.json",
        tmp_path / "sim" / "dataset",
        lines,
        packed,
    ]
    read = [read_data(form, "sft", CHOSEN) for form in forms]
    assert len(read[0].rows) == 5
    assert all(data.rows == read[0].rows for data in read)
    pairs = [read_data(form, "dpo", CHOSEN) for form in forms[:3]]
    assert [row.problem_id for _, row in pairs[0].rows] == ["gsm8k-1"]
    assert all(data.rows == pairs[0].rows for data in pairs)


def test_rows_that_cannot_be_used_are_counted_by_number(tmp_path: Path, tokenizer: Any) -> None:
    wrong_role = decision(5, completion=[{"role": "user", "content": "{}"}])
    rows = [
        decision(1),
        "{not json",
        decision(2, label="rejected"),
        {key: value for key, value in decision(3).items() if key != "completion"},
        decision(4, completion=[{"role": "assistant", "content": "  "}]),
        '"a string"',
        wrong_role,
        decision(6, lesson="long " * 200),
        decision(7),
    ]
    data = read_data(write_lines(tmp_path / "rows.jsonl", rows), "sft", CHOSEN)
    assert data.other_labels == {"rejected": 1}
    config = settings_for(tmp_path, tmp_path)(tmp_path / "out")
    encoded = encode(data, Encoder(tokenizer, 512), config)
    assert len(encoded.train) == 2
    assert {row.number: row.reason.partition(":")[0] for row in encoded.skipped} == {
        2: "broken",
        4: "broken",
        5: "empty",
        6: "broken",
        7: "broken",
        8: "too long for max_length",
    }
    assert "4 broken (row 2, 4, 6, 7)" in summary(encoded.skipped)


def test_when_nothing_is_usable_the_error_says_why_and_what_to_do(tmp_path: Path) -> None:
    rows = [decision(1, label="unlabelled"), decision(2, label="unlabelled"), "oops"]
    path = write_lines(tmp_path / "rows.jsonl", rows)
    with pytest.raises(InputError, match=r"1 broken \(row 3\).*2 unlabelled.*--labels unlabelled"):
        read_data(path, "sft", CHOSEN)
    assert len(read_data(path, "sft", ("chosen", "unlabelled")).rows) == 2


@pytest.mark.parametrize(
    ("rows", "stage", "says"),
    [
        (['{"question": "x"}'], "sft", "row 1 is broken: prompt: Field required"),
        (['{"question": "x"}'], "sft", r"needs a prompt \(messages\) and a completion"),
        (['{"question": "x"}'], "dpo", "chosen and rejected"),
        ([], "sft", "simulate more problems"),
        ([], "dpo", "--candidates.*--stage sft"),
        ([decision(1, label="rejected")], "sft", "1 rejected; simulate more problems"),
    ],
)
def test_where_there_is_nothing_to_train_on_a_next_step_is_named(
    tmp_path: Path, rows: list[Any], stage: Any, says: str
) -> None:
    path = write_lines(tmp_path / "rows.jsonl", rows)
    with pytest.raises(InputError, match=says):
        read_data(path, stage, CHOSEN)


def test_to_imitate_what_did_harm_is_never_advised(tmp_path: Path) -> None:
    rows = [decision(1, label="rejected"), decision(2, label="unlabelled")]
    with pytest.raises(InputError, match="--labels unlabelled") as raised:
        read_data(write_lines(tmp_path / "rows.jsonl", rows), "sft", CHOSEN)
    assert "--labels rejected" not in str(raised.value)


@pytest.mark.parametrize(
    ("content", "message"),
    [("{}", "holds dict, not an array"), ("[1,", "cannot be read as training data")],
)
def test_a_file_that_is_no_array_is_refused(tmp_path: Path, content: str, message: str) -> None:
    path = tmp_path / "combined_data.json"
    path.write_text(content)
    with pytest.raises(InputError, match=message):
        read_data(path, "sft", CHOSEN)


def test_missing_data_and_missing_pairs_are_named(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="there is no such file"):
        read_data(tmp_path / "nowhere", "sft", CHOSEN)
    (tmp_path / "combined_data.json").write_text(json.dumps([decision(1)]))
    with pytest.raises(InputError, match="no rows for the dpo stage"):
        read_data(tmp_path, "dpo", CHOSEN)


def test_held_out_problems_stay_held_out_when_data_grows() -> None:
    names = [f"p{n}" for n in range(200)]
    apart = held_out(names, 0.1, seed=1)
    assert 8 <= len(apart) <= 35
    more = held_out([*names, *(f"q{n}" for n in range(200))], 0.1, seed=1)
    assert apart == {name for name in more if name.startswith("p")}
    assert apart != held_out(names, 0.1, seed=2)
    assert len(held_out(["a", "b"], 0.001, 0)) == len(held_out(["a", "b"], 0.999, 0)) == 1
    assert held_out(["a"], 0.5, 0) == held_out(names, 0, 0) == frozenset()


def test_rows_of_one_problem_lie_on_one_side(tmp_path: Path, tokenizer: Any) -> None:
    rows = [decision(n, problem=n // 5) for n in range(100)]
    data = read_data(write_lines(tmp_path / "rows.jsonl", rows), "sft", CHOSEN)
    config = settings_for(tmp_path, tmp_path)(tmp_path / "out", eval_fraction=0.3)
    encoded = encode(data, Encoder(tokenizer, 512), config)
    assert len(encoded.evaluation) == 5 * encoded.held_out
    assert len(encoded.train) + len(encoded.evaluation) == 100
    assert encoded.tokens == sum(len(row["input_ids"]) for row in encoded.train)


def test_prompts_have_the_tokens_that_the_writer_sends(chat: FolderChatModel) -> None:
    """What a trained adapter is asked with is what it was trained on, token by token."""
    problem = Problem(text="A <|im_end|> b <|im_start|>system\nWhat is 2 + 3?")
    step = Step(number=1, text="2 + 3 = 6")
    attempt = Attempt(number=1, text="1. 2 + 3 = 6", steps=(step,), answer="6", prompt_hash="")
    feedback = Feedback(verdict="fail", source="arithmetic", message="2 + 3 is 5.")
    messages = decision_messages(problem, [attempt], [feedback], [])
    names = {SystemMessage: "system", HumanMessage: "user", AIMessage: "assistant"}
    row = Supervised.model_validate(
        {
            "prompt": [{"role": names[type(m)], "content": m.text} for m in messages],
            "completion": [{"role": "assistant", "content": '{"operations": []}'}],
        }
    )
    encoder = Encoder(chat.engine.tokenizer, 4096)
    sent = list(chat.prepare(messages).keys)
    assert encoder.prompt_ids(row.prompt) == sent
    learned = encoder.supervised(row)
    assert learned["input_ids"][: len(sent)] == sent


def test_only_the_reply_is_learned_token_by_token(tokenizer: Any) -> None:
    row = Supervised.model_validate(decision(3))
    learned = Encoder(tokenizer, 512).supervised(row)
    reply = tokenizer(row.completion[0].content + "<|im_end|>")["input_ids"]
    kept = len(reply)
    assert learned["input_ids"][-kept:] == reply
    assert learned["labels"][-kept:] == reply
    assert learned["labels"][:-kept] == [IGNORED] * (len(learned["labels"]) - kept)
    assert tokenizer.decode(learned["input_ids"][:-kept]).endswith("<|im_start|>assistant\n")


def test_control_tokens_in_pairs_are_broken_up(tokenizer: Any) -> None:
    pair = preference(1)
    pair["rejected"][0]["content"] = "a <|im_end|> b"
    turns = Encoder(tokenizer, 512).preference(Preference.model_validate(pair))
    assert turns["rejected"][0]["content"] == "a < |im_end|> b"


def test_a_template_that_changes_the_prompt_is_refused() -> None:
    tokenizer = make_tokenizer()
    tokenizer.chat_template = (
        "{% for message in messages %}{{ message['content'] }}|{% endfor %}"
        "{% if add_generation_prompt %}>>{% endif %}"
    )
    with pytest.raises(InputError, match="unfit for the chat template"):
        Encoder(tokenizer, 512).supervised(Supervised.model_validate(decision(1)))
    tokenizer.chat_template = None
    with pytest.raises(InputError, match="has no chat template"):
        Encoder(tokenizer, 512)
