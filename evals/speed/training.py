"""Training tokens per second, against a bare trl script on the same model and data.

Both train the same LoRA adapter on the same rows with the same batches, in turns, in one run; what
is timed is training itself, without loading the model. Ours reads rows from a file, counts those
that do not fit, logs each step, and watches the loss; the bare script logs every tenth and saves at
the end, as ours does.

Run: ``python -m vitarmm_agent.evals.speed.training``, and on a GPU
``python -m vitarmm_agent.evals.speed.training --shape qwen2.5-7b --device cuda`` (random weights).
"""

from __future__ import annotations

import argparse
import gc
import json
import random
import tempfile
import time
from pathlib import Path
from typing import Any

import torch
from datasets import Dataset  # type: ignore[import-untyped]
from peft import LoraConfig
from transformers import AutoModelForCausalLM, AutoTokenizer, PreTrainedTokenizerFast
from trl.trainer.sft_config import SFTConfig
from trl.trainer.sft_trainer import SFTTrainer

from vitarmm_agent.evals.speed.measure import Row, medians, print_table
from vitarmm_agent.training.base import packs, precision
from vitarmm_agent.training.config import TrainingConfig
from vitarmm_agent.training.lora import quiet_libraries, train

SHAPES: dict[str, dict[str, Any]] = {
    "tiny": {"hidden_size": 128, "intermediate_size": 512, "num_hidden_layers": 4,
             "num_attention_heads": 4, "num_key_value_heads": 2, "vocab_size": 2048},
    "qwen2.5-0.5b": {"hidden_size": 896, "intermediate_size": 4864, "num_hidden_layers": 24,
                     "num_attention_heads": 14, "num_key_value_heads": 2, "vocab_size": 151936},
    "qwen2.5-7b": {"hidden_size": 3584, "intermediate_size": 18944, "num_hidden_layers": 28,
                   "num_attention_heads": 28, "num_key_value_heads": 4, "vocab_size": 152064},
}  # fmt: skip
"""Sizes of the published configurations, and one that any machine trains in seconds."""
TEMPLATE = (
    "{% for m in messages %}<|im_start|>{{ m['role'] }}\n{{ m['content'] }}<|im_end|>\n{% endfor %}"
    "{% if add_generation_prompt %}<|im_start|>assistant\n{% endif %}"
)
WORDS = "add the sum of each part before you check it against total count and unit price".split()


def make_base(shape: str, folder: Path, device: str) -> Path:
    """A Qwen2 of that shape with random weights in bf16, and a byte-level tokenizer."""
    from transformers import Qwen2Config, Qwen2ForCausalLM

    tokenizer = _tokenizer()
    ids = {"eos_token_id": tokenizer.eos_token_id, "pad_token_id": tokenizer.pad_token_id}
    config = Qwen2Config(
        **SHAPES[shape], **ids, bos_token_id=None, max_position_embeddings=4096, dtype="bfloat16"
    )
    with torch.device(device):
        model: Any = Qwen2ForCausalLM(config)
    model.to(torch.bfloat16).save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    del model
    gc.collect()
    return folder


def make_rows(count: int, length: int, seed: int = 0) -> list[dict[str, Any]]:
    """Decisions of random words; prompts of about ``length`` characters, each one byte-token."""
    draw = random.Random(seed)
    rows = []
    for number in range(count):
        size = length * draw.randint(70, 130) // 100
        user = " ".join(draw.choice(WORDS) for _ in range(size // 5))[:size]
        reply = json.dumps({"operations": [{"kind": "add", "content": " ".join(WORDS[:9])}]})
        rows.append(
            {
                "prompt": [{"role": "user", "content": user}],
                "completion": [{"role": "assistant", "content": reply}],
                "problem_id": f"p{number}",
            }
        )
    return rows


def ours(config: TrainingConfig, home: Path) -> tuple[int, float]:
    """Tokens and seconds of this package's training."""
    result = train(config, home=home)
    return result.tokens, result.seconds


def bare(config: TrainingConfig) -> tuple[int, float]:
    """Tokens and seconds of the shortest trl script that trains the same adapter."""
    rows = [json.loads(line) for line in config.data_path.read_text().splitlines()]
    dtype = precision(config)
    trainer = SFTTrainer(
        model=AutoModelForCausalLM.from_pretrained(config.model_name, dtype=dtype),
        args=SFTConfig(
            output_dir=str(config.output_dir),
            per_device_train_batch_size=config.train_batch_size,
            gradient_accumulation_steps=config.gradient_accumulation_steps,
            max_steps=config.max_steps or -1,
            learning_rate=config.rate,
            max_length=config.max_length,
            packing=packs(config),
            bf16=dtype == "bfloat16",
            use_cpu=not torch.cuda.is_available(),
            report_to="none",
            disable_tqdm=True,
        ),
        train_dataset=Dataset.from_list(rows),
        processing_class=AutoTokenizer.from_pretrained(config.model_name),
        peft_config=LoraConfig(
            r=config.lora_r,
            lora_alpha=config.lora_alpha,
            lora_dropout=config.lora_dropout,
            target_modules=config.targets,
            task_type="CAUSAL_LM",
        ),
    )
    start = time.perf_counter()
    trainer.train()
    seconds = time.perf_counter() - start
    tokens = [entry["num_tokens"] for entry in trainer.state.log_history if "num_tokens" in entry]
    return int(max(tokens)), seconds


def measure(config: TrainingConfig, folder: Path, repeat: int) -> Row:
    """Both in turns, once to warm up; medians of tokens per second."""
    rates: list[list[float]] = [[], []]
    for turn in range(repeat + 1):
        runs = [
            ours(config.model_copy(update={"output_dir": folder / f"ours{turn}"}), folder / "home"),
            bare(config.model_copy(update={"output_dir": folder / f"bare{turn}"})),
        ]
        _release()
        if turn:
            for (tokens, seconds), series in zip(runs, rates, strict=True):
                series.append(tokens / seconds)
    mine, baseline = medians(rates)
    packing = "packed" if packs(config) else "padded"
    what = f"{packing}, {precision(config)}, batch {config.train_batch_size}"
    return Row(what, mine, baseline, "tok/s", "bare trl script", "≥ 0.95×")


def _release() -> None:
    gc.collect()
    if torch.cuda.is_available():
        torch.cuda.empty_cache()


def _tokenizer() -> Any:
    from tokenizers import Tokenizer, decoders, models, pre_tokenizers

    alphabet = sorted(pre_tokenizers.ByteLevel.alphabet())
    inner = Tokenizer(models.BPE(vocab={c: n for n, c in enumerate(alphabet)}, merges=[]))
    inner.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    inner.decoder = decoders.ByteLevel()
    special = ["<|endoftext|>", "<|im_start|>", "<|im_end|>"]
    tokenizer = PreTrainedTokenizerFast(
        tokenizer_object=inner,
        eos_token="<|im_end|>",
        pad_token="<|endoftext|>",
        additional_special_tokens=special,
    )
    tokenizer.chat_template = TEMPLATE
    return tokenizer


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--shape", choices=list(SHAPES), default="tiny")
    parser.add_argument("--device", choices=["cpu", "cuda"], default="cpu")
    parser.add_argument("--steps", type=int, default=10, help="optimizer steps of each run")
    parser.add_argument("--repeat", type=int, default=3, help="timed runs of each")
    parser.add_argument("--batch", type=int, default=4)
    parser.add_argument("--accumulate", type=int, default=2)
    parser.add_argument("--length", type=int, default=600, help="tokens of a prompt, about")
    options = parser.parse_args()
    if options.device == "cuda" and not torch.cuda.is_available():
        parser.error("there is no CUDA GPU here; leave out --device cuda")
    with tempfile.TemporaryDirectory() as name, quiet_libraries():
        folder = Path(name)
        rows = make_rows(options.steps * options.batch * options.accumulate * 2, options.length)
        data = folder / "rows.jsonl"
        data.write_text("".join(json.dumps(row) + "\n" for row in rows), "utf-8")
        config = TrainingConfig(
            model_name=str(make_base(options.shape, folder / "base", options.device)),
            data_path=data,
            output_dir=folder,
            max_steps=options.steps,
            train_batch_size=options.batch,
            gradient_accumulation_steps=options.accumulate,
            max_length=max(1024, 2 * options.length),
            eval_fraction=0,
            save_steps=10_000,
        )
        row = measure(config, folder, options.repeat)
    print_table(f"LoRA training ({options.shape}, random weights, {options.device})", [row])


if __name__ == "__main__":
    main()
