"""LoRA adapters on llama.cpp: as peft computes them, and refused where they do not fit."""

from __future__ import annotations

import json
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest

from tests.models.conftest import make_model
from vitarmm_agent.errors import WeightsError
from vitarmm_agent.llama.gguf_file import GgufFile
from vitarmm_agent.models.gguf_adapter import (
    GGUF_FILE,
    adapter_file,
    gguf_fingerprint,
    write_adapter,
)
from vitarmm_agent.models.local import LocalChatModel


@pytest.fixture(scope="module")
def load(open_gguf: Callable[..., LocalChatModel]) -> Callable[..., LocalChatModel]:
    return open_gguf


@pytest.fixture(scope="module")
def model(gguf_model: LocalChatModel) -> LocalChatModel:
    return gguf_model


Load = Callable[..., LocalChatModel]


@pytest.fixture(scope="module")
def converted(gguf: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The same weights as a folder, in float32 as the file has them."""
    import torch

    from vitarmm_agent.training.convert import load_gguf

    folder = tmp_path_factory.mktemp("converted")
    network, tokenizer = load_gguf(gguf)
    network = network.to(torch.float32)
    network.hf_quantizer = None
    for name in ("quantization_method", "quantization_config"):
        network.__dict__.pop(name, None)
    network.is_quantized = False
    network.config.__dict__.pop("quantization_config", None)
    network.save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    return folder


def make_adapter(base: Path, folder: Path, seed: int = 0, **more: Any) -> Path:
    import torch
    from peft import LoraConfig, get_peft_model
    from transformers import AutoModelForCausalLM

    torch.manual_seed(seed)
    network = AutoModelForCausalLM.from_pretrained(base, dtype=torch.float32)
    targets = ["q_proj", "k_proj", "v_proj", "down_proj"]
    config = LoraConfig(r=4, target_modules=targets, init_lora_weights=False, **more)
    get_peft_model(network, config).save_pretrained(folder)
    return folder


def test_a_gguf_file_has_the_fingerprint_of_its_model(gguf: Path, converted: Path) -> None:
    import torch
    from transformers import AutoModelForCausalLM

    from vitarmm_agent.models.adapters import fingerprint

    network = AutoModelForCausalLM.from_pretrained(converted, dtype=torch.bfloat16)
    assert gguf_fingerprint(GgufFile.open(gguf)) == fingerprint(network)


def first_tokens(model: LocalChatModel, ids: list[int]) -> dict[int, float]:
    """Log-probabilities of the likeliest first tokens, by llama.cpp."""
    body = {"prompt": ids, "n_predict": 1, "temperature": 0, "n_probs": 3}
    found = model.server.post("/completion", body).get("completion_probabilities", [])
    return {token["id"]: token["logprob"] for one in found for token in one["top_logprobs"]}


@pytest.mark.parametrize(
    "more", [{}, {"use_rslora": True, "lora_alpha": 2}], ids=["lora", "rslora"]
)
def test_an_adapter_computes_what_peft_does_and_the_base_stays(
    more: dict[str, Any],
    gguf: Path,
    converted: Path,
    model: LocalChatModel,
    load: Load,
    tmp_path: Path,
) -> None:
    import torch
    from peft import PeftModel
    from transformers import AutoModelForCausalLM

    folder = make_adapter(converted, tmp_path / "lora", **more)
    before = model.invoke("Hi").text
    tuned = load(adapter=folder)
    network = AutoModelForCausalLM.from_pretrained(converted, dtype=torch.float32)
    theirs = PeftModel.from_pretrained(network, folder)
    compared = 0
    for n in range(6):
        ids = torch.arange(40 * n, 40 * n + 40).unsqueeze(0)
        with torch.inference_mode():
            wanted = theirs(ids).logits[0, -1].log_softmax(-1)
        found = first_tokens(tuned, ids[0].tolist())
        compared += len(found)  # none is told where the reply ends at once
        assert all(abs(wanted[token] - value) < 0.2 for token, value in found.items())
    assert compared >= 9
    with ThreadPoolExecutor(4) as pool:
        replies = list(pool.map(lambda m: m.invoke("Hi").text, [model, tuned] * 4))
    assert replies == [before, tuned.invoke("Hi").text] * 4 and replies[0] != replies[1]
    assert tuned.invoke("Hi").response_metadata["model_name"] == f"{gguf}+{folder}"


def test_a_bad_adapter_is_refused_before_it_is_loaded_and_spoils_nothing(
    model: LocalChatModel, converted: Path, load: Load, tmp_path: Path
) -> None:
    good = load(adapter=make_adapter(converted, tmp_path / "good"))
    before = model.invoke("Hi").text, good.invoke("Hi").text
    other = make_model(tmp_path / "wide", hidden_size=32, intermediate_size=48)
    deeper = make_model(tmp_path / "deep", num_hidden_layers=3)
    (tmp_path / "empty").mkdir()
    dora = make_adapter(converted, tmp_path / "dora", use_dora=True)
    broken = make_adapter(converted, tmp_path / "broken")
    (broken / "adapter_model.safetensors").write_bytes(b"no tensors")
    cases = {
        make_adapter(other, tmp_path / "on-wide"): "adapted at width 48, and the model has 96",
        make_adapter(
            deeper, tmp_path / "on-deep"
        ): "its layers are not the model's, such as 'blk.2",
        tmp_path / "empty": "not a peft adapter: it has no adapter_config.json",
        tmp_path / "nowhere": "no such file or folder",
        dora: "is not plain LoRA .use_dora",
        broken: "cannot be read",
    }
    for adapter, complaint in cases.items():
        with pytest.raises(WeightsError, match=complaint):
            load(adapter=adapter)
    assert (model.invoke("Hi").text, good.invoke("Hi").text) == before


def test_an_adapter_of_the_same_shape_on_other_weights_is_refused(
    converted: Path, load: Load, tmp_path: Path
) -> None:
    folder = make_adapter(converted, tmp_path / "lora")
    (folder / "base.json").write_text('{"name": "another", "fingerprint": "0123"}')
    with pytest.raises(WeightsError, match="was trained on 'another', whose weights are others"):
        load(adapter=folder)


def peft_folder(
    folder: Path, width: int = 32, heads: tuple[int, int] = (64, 32), rank: int = 4, **config: Any
) -> Path:
    """An adapter of one layer's attention, as peft writes it."""
    import numpy as np
    from safetensors.numpy import save_file

    folder.mkdir()
    random = np.random.default_rng(0)
    tensors = {}
    for name, rows in zip(("q_proj", "k_proj"), heads, strict=True):
        layer = f"base_model.model.model.layers.0.self_attn.{name}"
        for side, shape in (("A", (rank, width)), ("B", (rows, rank))):
            tensors[f"{layer}.lora_{side}.weight"] = random.random(shape, np.float32)
    save_file(tensors, folder / "adapter_model.safetensors")
    (folder / "adapter_config.json").write_text(
        json.dumps({"peft_type": "LORA", "r": rank, "lora_alpha": 8} | config)
    )
    return folder


def as_llama(file: Path, target: Path) -> Path:
    """The same weights, said to be Llama's: its name is as long as qwen2's."""
    target.write_bytes(file.read_bytes().replace(b"qwen2", b"llama"))
    return target


def test_an_adapter_tried_on_another_base_still_fits_its_own(gguf: Path, tmp_path: Path) -> None:
    llama = as_llama(gguf, tmp_path / "llama.gguf")
    width = GgufFile.open(gguf).tensors()["blk.0.attn_q.weight"][0]
    folder = peft_folder(tmp_path / "lora", width)
    both = [adapter_file(folder, base, tmp_path) for base in (gguf, llama)]
    assert [GgufFile.open(file).architecture for file in both] == ["qwen2", "llama"]
    shapes = GgufFile.open(both[0]).tensors()
    assert shapes == GgufFile.open(both[1]).tensors() and len(shapes) == 4
    other = peft_folder(tmp_path / "other", 2 * width)
    kept = set((tmp_path / "adapters").iterdir())
    for base in (gguf, llama, gguf):
        with pytest.raises(WeightsError, match=f"/other' does not fit .* width {2 * width}"):
            adapter_file(other, base, tmp_path)
    assert set((tmp_path / "adapters").iterdir()) == kept


@pytest.mark.parametrize(
    ("heads", "config", "complaint"),
    [
        ((42, 21), {}, "blk.0.attn_k.weight is adapted at width 21, and the model has 32"),
        ((64, 32), {"r": -1, "use_rslora": True}, "says rank -1, and the factors of"),
        ((64, 32), {"r": 64}, "says rank 64, and the factors of"),
        ((64, 32), {"r": 1e400}, "adapter_config.json cannot be read"),
        ((64, 32), {"lora_alpha": 1e39}, r"says lora_alpha 1e\+39"),
        ((64, 32), {"lora_alpha": "nan"}, "says lora_alpha nan"),
    ],
)
def test_what_llama_cpp_cannot_be_given_is_named(
    heads: tuple[int, int], config: dict[str, Any], complaint: str, gguf: Path, tmp_path: Path
) -> None:
    llama = as_llama(gguf, tmp_path / "llama.gguf")
    width = GgufFile.open(gguf).tensors()["blk.0.attn_q.weight"][0]
    folder = peft_folder(tmp_path / "lora", width, heads, **config)
    with pytest.raises(WeightsError, match=complaint):
        adapter_file(folder, llama, tmp_path)
    with pytest.raises(WeightsError, match="does not fit a base of 0 heads"):
        write_adapter(peft_folder(tmp_path / "fine"), "llama", (0, 0), tmp_path / GGUF_FILE)


def test_a_gguf_adapter_is_used_as_it_is(
    converted: Path, gguf: Path, load: Load, tmp_path: Path
) -> None:
    folder = make_adapter(converted, tmp_path / "lora")
    file = write_adapter(folder, "qwen2", (4, 2), tmp_path / GGUF_FILE)
    assert load(adapter=file).invoke("Hi").text == load(adapter=folder).invoke("Hi").text
    with pytest.raises(WeightsError, match=r"is a LoRA adapter, not a model.* local:BASE\+"):
        load(file)
    with pytest.raises(WeightsError, match="is a whole model, not a LoRA adapter"):
        load(adapter=gguf)
