"""VITA against a plain Qwen2 of the same shape: loading, memory, prefill, decoding, parity.

Random weights are written as a checkpoint in the published layout, loaded as VITA, and loaded again
as the bare ``Qwen2ForCausalLM`` that lies inside it, which is the baseline.

Run on a GPU machine, at the published size in bf16 (about 17 GB on disk, 40 GB on the device):
``python -m vitarmm_agent.evals.speed.vita``; small, on a CPU: ``… --size tiny``. With ``--proof DIR``
the original code's outputs are compared, too, in the dtype that is measured.
"""

from __future__ import annotations

import argparse
import json
import logging
import resource
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import torch
from safetensors.torch import save_file
from transformers import AutoConfig, DynamicCache, Qwen2ForCausalLM

from vitarmm_agent.evals.speed.measure import Row, interleaved, medians, print_table
from vitarmm_agent.models.vita import VitaConfig, VitaForConditionalGeneration, VitaProcessor
from vitarmm_agent.models.vita.conversion import published_shapes

TILES = 13
TEXT = 128
DECODED = 64
SHARD_BYTES = 4 * 2**30
BASELINE = "Qwen2ForCausalLM"
TOWER = "InternViT-300M-448px"

TEXT_SIZES: dict[str, dict[str, Any]] = {
    "full": {
        "vocab_size": 152064,
        "hidden_size": 3584,
        "intermediate_size": 18944,
        "num_hidden_layers": 28,
        "num_attention_heads": 28,
        "num_key_value_heads": 4,
    },
    "tiny": {
        "vocab_size": 2048,
        "hidden_size": 256,
        "intermediate_size": 1024,
        "num_hidden_layers": 4,
        "num_attention_heads": 4,
        "num_key_value_heads": 2,
    },
}
TOWER_SIZES: dict[str, dict[str, Any]] = {
    "full": {},
    "tiny": {
        "hidden_size": 64,
        "num_hidden_layers": 2,
        "num_attention_heads": 4,
        "intermediate_size": 256,
        "image_size": 112,
    },
}


def main() -> None:
    """Measure, and print the tables."""
    options = _options()
    logging.getLogger("transformers").setLevel(logging.ERROR)
    torch.manual_seed(0)
    dtype = getattr(torch, options.dtype)
    print(f"{options.size}, {options.dtype}, {options.device}, torch {torch.__version__}\n")
    with tempfile.TemporaryDirectory(dir=options.scratch) as scratch:
        folder = Path(scratch) / "vita"
        started = time.perf_counter()
        write_random(folder, options.size, dtype, options.device)
        print(f"random checkpoint written in {time.perf_counter() - started:.1f} s\n")
        compare(folder, dtype, options.device, options.repeat)
    if options.proof:
        prove(options.proof, dtype, options.device)


def compare(folder: Path, dtype: torch.dtype, device: str, repeat: int) -> None:
    """Both models from the same folder, in one run."""
    vita, vita_seconds, vita_bytes = loaded(lambda: _vita(folder, dtype, device), device)
    plain, plain_seconds, plain_bytes = loaded(lambda: _plain(folder, dtype, device), device)
    inputs = random_prompt(vita.config, device)
    with torch.inference_mode():
        embeds, _ = vita.model.embed(inputs["input_ids"], inputs["pixel_values"])
        rows = [
            Row("load", vita_seconds, plain_seconds, "s", BASELINE),
            Row("memory after loading", vita_bytes / 2**30, plain_bytes / 2**30, "GiB", BASELINE),
            *prefill_rows(vita, plain, inputs, embeds, repeat),
            decode_row(vita, plain, inputs, embeds),
        ]
        same = (_last(vita, inputs_embeds=embeds) - _last(plain, inputs_embeds=embeds)).abs().max()
    print_table(f"VITA, {TILES} tiles and {TEXT} tokens of text", rows)
    print(f"peak memory of prefill: {peak(vita, inputs, device) / 2**30:.2f} GiB")
    print(f"largest difference of logits to {BASELINE} on the same embeddings: {same:.3g}\n")


def loaded(load: Callable[[], Any], device: str) -> tuple[Any, float, float]:
    """A model, the seconds the second loading took, and the bytes it holds."""
    load()
    started = time.perf_counter()
    model = load()
    _wait(device)
    seconds = time.perf_counter() - started
    held = sum(p.numel() * p.element_size() for p in model.parameters())
    return model, seconds, held


def prefill_rows(
    vita: Any, plain: Any, inputs: dict[str, Any], embeds: torch.Tensor, repeat: int
) -> list[Row]:
    """Positions per second of a whole prompt, with the tower and without."""
    device, length = str(embeds.device), embeds.shape[1]
    whole, given, bare, tower = medians(
        interleaved(
            lambda: _timed(device, lambda: _last(vita, **inputs)),
            lambda: _timed(device, lambda: _last(vita, inputs_embeds=embeds)),
            lambda: _timed(device, lambda: _last(plain, inputs_embeds=embeds)),
            lambda: _timed(device, lambda: vita.get_image_features(inputs["pixel_values"])),
            repeat=repeat,
        )
    )
    print(f"vision tower and projector: {TILES / tower:.1f} tiles/s\n")
    name, aim = f"{BASELINE}, same length", "≥ 0.95"
    return [
        Row("prefill, tower included", length / whole, length / bare, "tok/s", name),
        Row("prefill, embeddings given", length / given, length / bare, "tok/s", name, aim),
    ]


def decode_row(vita: Any, plain: Any, inputs: dict[str, Any], embeds: torch.Tensor) -> Row:
    """New tokens per second behind that prompt, greedy, one row."""
    device = str(embeds.device)
    series: list[list[float]] = [[], []]
    for _ in range(3):
        for seconds, model, prompt in (
            (series[0], vita, inputs),
            (series[1], plain, {"inputs_embeds": embeds}),
        ):
            cache = DynamicCache(config=model.config)
            token = _last(model, past_key_values=cache, **prompt).argmax(-1, keepdim=True)
            _wait(device)
            started = time.perf_counter()
            for _ in range(DECODED):
                token = _last(model, input_ids=token, past_key_values=cache).argmax(-1, True)
            _wait(device)
            seconds.append(time.perf_counter() - started)
    ours, baseline = medians(series)
    return Row("decode", DECODED / ours, DECODED / baseline, "tok/s", BASELINE, "≥ 0.95")


def peak(vita: Any, inputs: dict[str, Any], device: str) -> float:
    """Most bytes in use while a prompt is computed: of the device, or of this process on a CPU."""
    if not device.startswith("cuda"):
        return float(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024)
    torch.cuda.reset_peak_memory_stats()
    with torch.inference_mode():
        _last(vita, past_key_values=DynamicCache(config=vita.config), **inputs)
    return float(torch.cuda.max_memory_allocated())


def prove(folder: Path, dtype: torch.dtype, device: str) -> None:
    """The original code's outputs on its tiny checkpoint, which are fp32, against ours in dtype."""
    model = VitaForConditionalGeneration.from_pretrained(folder, dtype=dtype, device_map=device)
    processor = VitaProcessor.from_pretrained(folder)
    arrays = np.load(folder / "parity.npz")
    print("| case | largest difference of logits | their standard deviation | same first choice |")
    print("|---|---|---|---|")
    for case in json.loads((folder / "parity.json").read_text())["cases"]:
        images = [folder / image for image in case["images"]] or None
        inputs = processor(text=case["prompt"], images=images).to(device)
        with torch.inference_mode():
            logits = model(**inputs).logits.float().cpu()
        wanted = torch.from_numpy(arrays[f"{case['name']}__logits"])
        got = logits[:, -wanted.shape[1] :]
        agree = (got.argmax(-1) == wanted.argmax(-1)).float().mean()
        print(
            f"| {case['name']} | {(got - wanted).abs().max():.2g} | {wanted.std():.2g} | {agree:.1%} |"
        )
    print()


def random_prompt(config: Any, device: str) -> dict[str, torch.Tensor]:
    """Random text around the image tokens of random tiles."""
    image = torch.full((TILES * config.tokens_per_tile,), config.image_token_id)
    before, after = torch.randint(0, config.text_config.vocab_size, (2, TEXT // 2))
    side = config.tile_size
    return {
        "input_ids": torch.cat([before, image, after]).unsqueeze(0).to(device),
        "pixel_values": torch.randn(TILES, 3, side, side).to(device),
    }


def write_random(folder: Path, size: str, dtype: torch.dtype, device: str) -> None:
    """A checkpoint in the published layout, in shards, with random weights."""
    (folder / TOWER).mkdir(parents=True)
    text, tower = TEXT_SIZES[size], TOWER_SIZES[size]
    published = {
        **text,
        "model_type": "vita-Qwen2",
        "rope_theta": 1e6,
        "max_position_embeddings": 32768,
        "mm_projector_type": "mlp2x_gelu",
        "mm_vision_tower": f"OpenGVLab/{TOWER}",
        "eos_token_id": 0,
    }
    (folder / "config.json").write_text(json.dumps(published))
    (folder / TOWER / "config.json").write_text(json.dumps(tower))
    with torch.device("meta"):
        model = VitaForConditionalGeneration(VitaConfig.from_pretrained(folder))
    shapes = published_shapes({k: tuple(v.shape) for k, v in model.state_dict().items()})
    weight_map: dict[str, str] = {}
    for number, names in enumerate(_shards(shapes, dtype.itemsize)):
        file = f"model-{number:05d}.safetensors"
        tensors = {n: _random(n, shapes[n], dtype, device) for n in names}
        save_file(tensors, folder / file, metadata={"format": "pt"})
        weight_map |= dict.fromkeys(names, file)
    index = {"metadata": {}, "weight_map": weight_map}
    (folder / "model.safetensors.index.json").write_text(json.dumps(index))


def _shards(shapes: dict[str, tuple[int, ...]], item: int) -> Iterator[list[str]]:
    names: list[str] = []
    size = 0
    for name, shape in shapes.items():
        names.append(name)
        size += item * int(np.prod(shape))
        if size > SHARD_BYTES:
            yield names
            names, size = [], 0
    if names:
        yield names


def _random(name: str, shape: tuple[int, ...], dtype: torch.dtype, device: str) -> torch.Tensor:
    if "norm" in name and name.endswith("weight"):
        return torch.ones(shape, dtype=dtype)
    return torch.empty(shape, dtype=dtype, device=device).normal_(0, 0.02).cpu()


def _vita(folder: Path, dtype: torch.dtype, device: str) -> Any:
    return VitaForConditionalGeneration.from_pretrained(folder, dtype=dtype, device_map=device)


def _plain(folder: Path, dtype: torch.dtype, device: str) -> Any:
    """The language model inside a published checkpoint has the names of transformers."""
    config = AutoConfig.from_pretrained(folder).text_config
    return Qwen2ForCausalLM.from_pretrained(folder, config=config, dtype=dtype, device_map=device)


def _last(model: Any, **inputs: Any) -> torch.Tensor:
    logits: torch.Tensor = model(**inputs, use_cache=True, logits_to_keep=1).logits[:, -1]
    return logits


def _timed(device: str, function: Callable[[], object]) -> None:
    function()
    _wait(device)


def _wait(device: str) -> None:
    if device.startswith("cuda"):
        torch.cuda.synchronize()


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--size", choices=TEXT_SIZES, default="full")
    parser.add_argument("--device", default="cuda" if torch.cuda.is_available() else "cpu")
    parser.add_argument("--dtype", choices=("bfloat16", "float32"), default="bfloat16")
    parser.add_argument("--repeat", type=int, default=5)
    parser.add_argument("--proof", type=Path, help="folder of the original code's outputs")
    parser.add_argument("--scratch", type=Path, help="where to write the random checkpoint")
    options = parser.parse_args()
    if options.size == "full" and options.device == "cpu":
        parser.error("the full size needs a GPU; on a CPU add --size tiny")
    return options


if __name__ == "__main__":
    main()
