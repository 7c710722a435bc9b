"""Training moves adapters and nothing else, can be resumed, and stops when it is lost."""

from __future__ import annotations

import json
import math
import os
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from langchain_core.messages import HumanMessage, SystemMessage
from safetensors.torch import load_file

from tests.models.conftest import make_model
from tests.models.tiny_gguf import write_gguf
from tests.training.tiny import SYSTEM, decision, preference, settings_for, write_lines
from vitarmm_agent.errors import InputError, UserError, WeightsError
from vitarmm_agent.llama.process import Options
from vitarmm_agent.models import load_chat_model
from vitarmm_agent.models.folder import FolderChatModel
from vitarmm_agent.models.gguf_adapter import GGUF_FILE
from vitarmm_agent.models.local import LocalChatModel
from vitarmm_agent.settings import Settings
from vitarmm_agent.training.base import Base, open_base
from vitarmm_agent.training.callbacks import Progress
from vitarmm_agent.training.config import TrainingConfig
from vitarmm_agent.training.dataset import IGNORED, Encoder, encode, read_data
from vitarmm_agent.training.folder import last_good_checkpoint
from vitarmm_agent.training.lora import TrainingResult, build_trainer, quiet_libraries, train
from vitarmm_agent.training.out_of_memory import ran_out, what_to_lower

Make = Callable[..., TrainingConfig]
REPLY = "Add."


@pytest.fixture(scope="module")
def base(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_model(tmp_path_factory.mktemp("base"), initializer_range=0.1)


@pytest.fixture(scope="module")
def make(base: Path, tmp_path_factory: pytest.TempPathFactory) -> Make:
    data = tmp_path_factory.mktemp("data") / "rows.jsonl"
    return settings_for(base, write_lines(data, [decision(n) for n in range(16)]))


@pytest.fixture(scope="module")
def taught(base: Path, tmp_path_factory: pytest.TempPathFactory) -> TrainingResult:
    """An adapter that always answers the same."""
    folder = tmp_path_factory.mktemp("taught")
    completion = [{"role": "assistant", "content": REPLY}]
    rows = [decision(n, completion=completion) for n in range(8)]
    config = settings_for(base, write_lines(folder / "rows.jsonl", rows))(
        folder / "out", num_epochs=12, gradient_accumulation_steps=1, eval_fraction=0.2
    )
    return run(config)


def run(config: TrainingConfig, on_progress: Any = None) -> TrainingResult:
    return train(config, home=config.output_dir / "home", on_progress=on_progress)


def trainer_of(config: TrainingConfig) -> tuple[Any, Base]:
    base = open_base(config, config.output_dir / "home")
    data = read_data(config.data_path, config.stage, config.labels)
    encoded = encode(data, Encoder(base.tokenizer, config.max_length), config)
    with quiet_libraries():
        return build_trainer(config, base, encoded), base


def curve(folder: Path) -> list[dict[str, Any]]:
    """Loss, gradient and rate of every step."""
    names = ("step", "loss", "grad_norm", "learning_rate")
    entries = map(json.loads, (folder / "metrics.jsonl").read_text().splitlines())
    return [{name: entry[name] for name in names} for entry in entries if "loss" in entry]


def test_adapters_move_and_base_weights_do_not(make: Make, tmp_path: Path) -> None:
    trainer, _ = trainer_of(make(tmp_path / "out", max_steps=3))
    before = {name: value.detach().clone() for name, value in trainer.model.named_parameters()}
    trainer.train()
    after = dict(trainer.model.named_parameters())
    moved = {name for name, value in after.items() if not torch.equal(value, before[name])}
    adapters = {name for name in after if "lora_" in name}
    assert moved == adapters
    assert any("base_layer" in name for name in set(after) - adapters)


@pytest.mark.parametrize("packing", [False, True])
def test_batches_hold_replies_alone_as_labels(make: Make, tmp_path: Path, packing: bool) -> None:
    """Every label of every batch, token by token: the replies and the ends of their turns."""
    trainer, base = trainer_of(make(tmp_path / "out", packing=packing))
    tokenizer = base.tokenizer
    learned = []
    for batch in trainer.get_train_dataloader():
        ids, labels = batch["input_ids"], batch["labels"]
        assert torch.equal(labels[labels != IGNORED], ids[labels != IGNORED])
        for row in labels:
            text = tokenizer.decode([token if token >= 0 else 0 for token in row.tolist()])
            learned += [part for part in text.split(tokenizer.decode([0])) if part]
    expected = [decision(n)["completion"][0]["content"] + "<|im_end|>" for n in range(16)]
    assert sorted(learned) == sorted(expected)


def test_packed_rows_do_not_see_each_other(make: Make, tmp_path: Path) -> None:
    """A packed batch has the loss of its rows alone, on the attention that every machine has."""
    trainer, base = trainer_of(make(tmp_path / "out", packing=True))
    model = trainer.model.eval()
    batch = dict(next(iter(trainer.get_train_dataloader())))
    ids, labels = batch.pop("input_ids"), batch.pop("labels")
    starts = (batch["position_ids"][0] == 0).nonzero().flatten().tolist()
    assert len(starts) > 3
    with torch.no_grad():
        packed = model(input_ids=ids, **batch).logits[0]
        blind = model(input_ids=ids).logits[0]
        for start, end in zip(starts, [*starts[1:], ids.shape[1]], strict=True):
            alone = model(input_ids=ids[:, start:end]).logits[0]
            torch.testing.assert_close(packed[start:end], alone, rtol=1e-4, atol=1e-4)
    assert not torch.allclose(packed, blind, atol=1e-2)
    assert (labels[0, starts] == IGNORED).all()


@pytest.mark.thorough
def test_a_resumed_run_has_the_curve_of_an_uninterrupted_one(make: Make, tmp_path: Path) -> None:
    changes: dict[str, Any] = {"num_epochs": 2, "save_steps": 2, "lora_dropout": 0.3}
    whole = run(make(tmp_path / "whole", **changes))

    def interrupt(progress: Progress) -> None:
        if progress.step == 5:
            raise KeyboardInterrupt

    cut = make(tmp_path / "cut", **changes)
    with pytest.raises(KeyboardInterrupt):
        run(cut, interrupt)
    broken = cut.output_dir / "checkpoints" / "checkpoint-5"
    shutil.copytree(cut.output_dir / "checkpoints" / "checkpoint-4", broken)
    (broken / "trainer_state.json").write_text("{")
    assert last_good_checkpoint(cut.output_dir) == broken.with_name("checkpoint-4")

    resumed = run(cut.model_copy(update={"resume": True}))
    assert curve(cut.output_dir) == curve(tmp_path / "whole")
    assert [entry["step"] for entry in curve(cut.output_dir)] == list(range(1, 9))
    assert resumed.losses == whole.losses
    assert not broken.exists()
    ours = load_file(cut.output_dir / "adapter_model.safetensors")
    for name, value in load_file(tmp_path / "whole" / "adapter_model.safetensors").items():
        assert torch.equal(ours[name], value), name


@pytest.mark.slow
def test_two_processes_train_as_one_does(make: Make, tmp_path: Path) -> None:
    """Two processes of half the accumulation see the same rows in each step."""
    alone = make(tmp_path / "alone", lora_dropout=0.0)
    run(alone)
    command = [sys.executable, "-m", "accelerate.commands.launch", "--multi_gpu"]
    command += ["--num_processes", "2", "--num_machines", "1", "--mixed_precision", "no"]
    command += ["--dynamo_backend", "no", "--main_process_port", "0"]
    command += ["-m", "vitarmm_agent.cli", "train"]
    for name, value in alone.model_dump(mode="json").items():
        if name not in ("output_dir", "gradient_accumulation_steps", "labels") and value:
            command += [f"--{name}"] if value is True else [f"--{name}", str(value)]
    command += ["--lora_dropout", "0", "--eval_fraction", "0"]
    command += ["--gradient_accumulation_steps", "1", "--output_dir", str(tmp_path / "both")]
    environment = os.environ | {"OMP_NUM_THREADS": "1"}
    done = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=200)
    assert done.returncode == 0, done.stderr[-2000:]
    record = json.loads((tmp_path / "both" / "training.json").read_text())
    assert record["processes"] == 2
    one, two = curve(alone.output_dir), curve(tmp_path / "both")
    assert len(one) == len(two) == 4
    for a, b in zip(one, two, strict=True):
        assert a == pytest.approx(b, rel=1e-4)
    ours = load_file(tmp_path / "both" / "adapter_model.safetensors")
    for name, value in load_file(alone.output_dir / "adapter_model.safetensors").items():
        torch.testing.assert_close(ours[name], value, rtol=1e-3, atol=1e-4)


def test_a_lost_loss_stops_and_keeps_the_last_good_checkpoint(make: Make, tmp_path: Path) -> None:
    good = make(tmp_path / "good", max_steps=2, save_steps=1)
    run(good)
    config = make(
        tmp_path / "out",
        adapter=good.output_dir,
        learning_rate=1e30,
        save_steps=1,
        gradient_accumulation_steps=1,
    )
    with pytest.raises(UserError, match=r"stopped at step 2: loss.* is nan; .*--learning_rate"):
        run(config)
    assert last_good_checkpoint(config.output_dir) is None  # step 1 moved the weights too far
    assert not (config.output_dir / "adapter_model.safetensors").exists()
    assert all(math.isfinite(entry["loss"]) for entry in curve(config.output_dir)[:1])


def test_preferences_move_the_adapter_and_lower_their_loss(
    taught: TrainingResult, make: Make, tmp_path: Path
) -> None:
    data = write_lines(tmp_path / "pairs.jsonl", [preference(n) for n in range(8)])
    config = make(
        tmp_path / "out",
        stage="dpo",
        data_path=data,
        adapter=taught.adapter,
        num_epochs=4,
        gradient_accumulation_steps=1,
        learning_rate=1e-3,
    )
    result = run(config)
    assert result.losses[0] == pytest.approx(math.log(2), abs=1e-4)  # the reference is the start
    assert result.losses[-1] < 0.1
    before = load_file(taught.adapter / "adapter_model.safetensors")
    after = load_file(config.output_dir / "adapter_model.safetensors")
    assert before.keys() == after.keys()
    assert all(not torch.equal(before[name], after[name]) for name in before)


@pytest.mark.thorough
def test_resumed_preference_training_ends_as_if_left_alone(
    taught: TrainingResult, make: Make, tmp_path: Path
) -> None:
    """The reference stays the adapter that training began with, not the one of the checkpoint."""
    data = write_lines(tmp_path / "pairs.jsonl", [preference(n) for n in range(4)])
    changes: dict[str, Any] = {
        "stage": "dpo", "data_path": data, "adapter": taught.adapter, "save_steps": 2,
        "gradient_accumulation_steps": 1, "num_epochs": 3, "learning_rate": 1e-3,
    }  # fmt: skip
    whole = run(make(tmp_path / "whole", **changes))

    def interrupt(progress: Progress) -> None:
        if progress.step == 3:
            raise KeyboardInterrupt

    cut = make(tmp_path / "cut", **changes)
    with pytest.raises(KeyboardInterrupt):
        run(cut, interrupt)
    resumed = run(cut.model_copy(update={"resume": True}))
    assert curve(cut.output_dir) == curve(tmp_path / "whole")
    assert resumed.losses == whole.losses and resumed.losses[-1] < 0.5
    ours = load_file(cut.output_dir / "adapter_model.safetensors")
    for name, value in load_file(tmp_path / "whole" / "adapter_model.safetensors").items():
        assert torch.equal(ours[name], value), name


def test_the_graph_uses_what_training_wrote(taught: TrainingResult, base: Path) -> None:
    spec = f"local:{base}+{taught.adapter}"
    settings = Settings(max_tokens=12)
    question = [SystemMessage(SYSTEM), HumanMessage(decision(3)["prompt"][1]["content"])]
    adapted = load_chat_model(spec, settings=settings, device="cpu", dtype="float32")
    assert adapted.invoke(question).text == REPLY
    bare = load_chat_model(f"local:{base}", settings=settings, device="cpu", dtype="float32")
    assert bare.invoke(question).text != REPLY


def test_the_card_tells_what_it_was_made_from(taught: TrainingResult, base: Path) -> None:
    card = (taught.adapter / "README.md").read_text()
    record = json.loads((taught.adapter / "training.json").read_text())
    for fact in (
        taught.data.sha256,
        record["base_sha256"],
        record["base_fingerprint"],
        f"{taught.size:,} bytes",
        "| lora_alpha | 32 |",
        "| learning_rate | 0.01 |",
        "loss on held-out problems",
    ):
        assert fact in card
    assert (taught.adapter / "loss.png").read_bytes().startswith(b"\x89PNG")
    config = json.loads((taught.adapter / "adapter_config.json").read_text())
    assert config["base_model_name_or_path"] == str(base)
    assert taught.eval_loss is not None and taught.eval_loss < taught.losses[0] / 4


def test_an_adapter_of_another_base_is_refused(
    taught: TrainingResult, make: Make, tmp_path: Path
) -> None:
    from transformers import AutoModelForCausalLM

    other = make_model(tmp_path / "other", initializer_range=0.1)
    model = AutoModelForCausalLM.from_pretrained(other, dtype=torch.float32)
    with torch.no_grad():
        model.model.norm.weight[0] += 0.5  # the same shape, with other training
    model.save_pretrained(other)
    deeper = make_model(tmp_path / "deeper", initializer_range=0.1, num_hidden_layers=1)
    for folder in (other, deeper):
        chat = FolderChatModel.load(
            folder,
            home=tmp_path,
            adapter=taught.adapter,
            dtype="float32",
            device="cpu",
            max_tokens=2,
        )
        with pytest.raises(WeightsError, match="does not fit .* it was trained on"):
            chat.invoke("Hi")
        bare = chat.model_copy(update={"adapter": None})
        assert bare.invoke("Hi").usage_metadata  # the base is unharmed
        with pytest.raises(WeightsError, match="does not fit"):
            run(
                make(tmp_path / f"on-{folder.name}", model_name=str(folder), adapter=taught.adapter)
            )


def test_a_used_output_folder_is_refused(taught: TrainingResult, make: Make) -> None:
    with pytest.raises(InputError, match=r"is not empty; give a new one \(or --resume"):
        run(make(taught.adapter))


def test_resuming_with_other_settings_or_nothing_is_refused(
    taught: TrainingResult, make: Make, tmp_path: Path
) -> None:
    with pytest.raises(InputError, match=r"other settings: .*num_epochs \(was 12.0, now 1.0\)"):
        run(make(taught.adapter, resume=True))
    with pytest.raises(InputError, match="nothing to resume"):
        run(make(tmp_path / "nothing", resume=True))


def test_running_out_of_memory_names_the_setting_to_lower(make: Make, tmp_path: Path) -> None:
    with pytest.raises(RuntimeError) as caught:
        torch.empty(2**52)
    assert ran_out(caught.value)
    assert not ran_out(RuntimeError("size mismatch"))
    config = make(tmp_path / "out", train_batch_size=4, gradient_accumulation_steps=8)
    text = str(what_to_lower(config, evaluating=False))
    assert "--train-batch-size from 4 to 2 (--gradient-accumulation-steps 16" in text
    assert "--eval-batch-size (it is 4)" in str(what_to_lower(config, evaluating=True))


def test_without_cuda_four_bits_are_refused(make: Make, tmp_path: Path) -> None:
    if torch.cuda.is_available():
        pytest.skip("there is a GPU")
    with pytest.raises(InputError, match="--qlora needs a CUDA GPU"):
        run(make(tmp_path / "out", qlora=True))


def test_a_copy_for_llama_cpp_lies_beside_and_gives_the_same(tmp_path: Path) -> None:
    """Trained on a GGUF file, used on that file: the copy, and the card's word for how alike they are."""
    gguf = write_gguf(tmp_path / "tiny.gguf")
    data = write_lines(tmp_path / "rows.jsonl", [decision(n) for n in range(8)])
    config = settings_for(gguf, data)(tmp_path / "out", num_epochs=1)
    made = train(config, home=tmp_path / "home")
    copy = made.adapter / GGUF_FILE
    assert copy.is_file()
    card = (made.adapter / "README.md").read_text("utf-8")
    (row,) = [line for line in card.splitlines() if "greedy tokens alike" in line]
    assert "(8 prompts, 24 tokens)" in row
    options = Options(context=256, slots=1)
    replies = [
        LocalChatModel.load(gguf, home=tmp_path, adapter=adapter, options=options)
        .invoke("Hi", max_tokens=8)
        .text
        for adapter in (copy, made.adapter)
    ]
    assert replies[0] == replies[1]
