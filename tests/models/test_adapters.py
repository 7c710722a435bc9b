"""peft adapters over shared base weights."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest
import torch
from langchain_core.messages import HumanMessage

from tests.models.conftest import make_model
from vitarmm_agent.errors import WeightsError
from vitarmm_agent.models import load_chat_model
from vitarmm_agent.models.folder import FolderChatModel
from vitarmm_agent.settings import Settings

Load = Callable[..., FolderChatModel]


@pytest.fixture(scope="module")
def base(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_model(tmp_path_factory.mktemp("base"))


@pytest.fixture(scope="module")
def adapters(base: Path, tmp_path_factory: pytest.TempPathFactory) -> list[Path]:
    """Two random adapters that change replies."""
    from peft import LoraConfig, get_peft_model
    from transformers import AutoModelForCausalLM

    folders = []
    for seed in (1, 2):
        torch.manual_seed(seed)
        model = AutoModelForCausalLM.from_pretrained(base, dtype=torch.float32)
        config = LoraConfig(
            r=4, target_modules=["q_proj", "v_proj", "down_proj"], init_lora_weights=False
        )
        folders.append(tmp_path_factory.mktemp(f"adapter{seed}"))
        get_peft_model(model, config).save_pretrained(folders[-1])
    return folders


def peft_reply(base: Path, adapter: Path, model: FolderChatModel, question: str) -> str:
    """Greedy reply by peft and transformers themselves."""
    from peft import PeftModel
    from transformers import AutoModelForCausalLM

    bare = AutoModelForCausalLM.from_pretrained(base, dtype=torch.float32)
    ids = torch.tensor([list(model.prepare([HumanMessage(question)]).keys)])
    out = PeftModel.from_pretrained(bare, adapter).generate(
        input_ids=ids,
        attention_mask=torch.ones_like(ids),
        max_new_tokens=12,
        do_sample=False,
        suppress_tokens=list(range(len(model.engine.tokenizer), bare.config.vocab_size)),
    )
    text: str = model.engine.tokenizer.decode(out[0, ids.shape[1] :], skip_special_tokens=True)
    return text


def test_an_adapter_replies_as_peft_does_and_the_base_stays(
    base: Path, adapters: list[Path], load: Load
) -> None:
    bare = load(base)
    before = bare.invoke("Hi").text
    adapted = [load(base, adapter=folder) for folder in adapters]
    assert all(model.engine is bare.engine for model in adapted)
    for folder, model in zip(adapters, adapted, strict=True):
        reply = model.invoke("Hi").text
        assert reply == peft_reply(base, folder, bare, "Hi")
        assert reply != before
    assert bare.invoke("Hi").text == before


def test_base_and_adapters_at_once_do_not_mix(base: Path, adapters: list[Path], load: Load) -> None:
    models = [load(base), *(load(base, adapter=folder) for folder in adapters)] * 3
    long = "Why is it so? " * 12  # long enough for the prefix cache, which must not mix them either
    alone = [model.invoke(long).text for model in models]
    assert len(set(alone)) == 3
    with ThreadPoolExecutor(len(models)) as pool:
        together = list(pool.map(lambda model: model.invoke(long).text, models))
    assert together == alone


def test_the_spec_names_base_and_adapter(base: Path, adapters: list[Path]) -> None:
    model = load_chat_model(
        f"local:{base}+{adapters[0]}", settings=Settings(max_tokens=4), device="cpu"
    )
    assert isinstance(model, FolderChatModel)
    assert model.adapter == str(adapters[0])
    assert model.invoke("Hi").response_metadata["model_name"] == f"{base}+{adapters[0]}"


def test_a_folder_that_is_no_adapter_is_named(base: Path, tmp_path: Path, load: Load) -> None:
    with pytest.raises(WeightsError, match="not a peft adapter: it has no adapter_config.json"):
        load(base, adapter=tmp_path)


def test_an_adapter_of_another_model_is_refused(
    adapters: list[Path], tmp_path: Path, load: Load
) -> None:
    other = make_model(tmp_path / "other", hidden_size=32, intermediate_size=48)
    with pytest.raises(WeightsError, match="does not fit"):
        load(other, adapter=adapters[0]).invoke("Hi")


def made(base: Path, folder: Path, **options: Any) -> Path:
    """A random adapter of any kind, as peft saves it."""
    from peft import LoraConfig, get_peft_model
    from transformers import AutoModelForCausalLM

    torch.manual_seed(3)
    model = AutoModelForCausalLM.from_pretrained(base, dtype=torch.float32)
    given = {"r": 4, "target_modules": ["q_proj", "v_proj"], "init_lora_weights": False} | options
    get_peft_model(model, LoraConfig(**given)).save_pretrained(folder)
    return folder


@pytest.mark.parametrize(
    "options",
    [
        {"target_modules": ["embed_tokens"]},
        {"target_modules": ["lm_head", "o_proj"]},
        {"use_rslora": True},
        {"rank_pattern": {"q_proj": 2}, "alpha_pattern": {"v_proj": 3}},
    ],
)
def test_adapters_of_other_layers_stand_beside_each_other(
    options: dict[str, Any], base: Path, adapters: list[Path], tmp_path: Path, load: Load
) -> None:
    bare, other = load(base), load(base, adapter=adapters[0])
    before = bare.invoke("Hi").text, other.invoke("Hi").text
    folder = made(base, tmp_path / "a", **options)
    assert load(base, adapter=folder).invoke("Hi").text == peft_reply(base, folder, bare, "Hi")
    assert (bare.invoke("Hi").text, other.invoke("Hi").text) == before


@pytest.mark.parametrize(
    "options",
    [
        {"use_dora": True},
        {"modules_to_save": ["lm_head"]},
        {"modules_to_save": ["lm_head", "embed_tokens"]},
        {"bias": "lora_only"},
        {"lora_bias": True},
        {"trainable_token_indices": [1, 2]},
        {"layer_replication": [[0, 2], [1, 2]]},
    ],
)
def test_an_adapter_that_is_more_than_lora_is_named_before_it_is_loaded(
    options: dict[str, Any], base: Path, tmp_path: Path, load: Load
) -> None:
    (name,) = options
    folder = made(base, tmp_path / "a", **options)
    with pytest.raises(WeightsError, match=f"not plain LoRA .{name}.*merge_and_unload"):
        load(base, adapter=folder)


def test_an_adapter_that_fails_leaves_the_others_as_they_were(
    base: Path, adapters: list[Path], tmp_path: Path, load: Load
) -> None:
    """Whatever is wrong with it: peft may fail before, in the midst of, or after its work."""
    model = load(base)
    before = model.invoke("Hi").text
    for first in (True, False):
        whole = made(base, tmp_path / f"{first}")
        config = json.loads((whole / "adapter_config.json").read_text())
        for number, change in enumerate(
            ({"target_modules": ["nowhere"]}, {"r": 2}, {"r": "four"}, {"lora_alpha": None}, None)
        ):
            broken = tmp_path / f"{first}{number}"
            shutil.copytree(whole, broken)
            if change is None:
                file = broken / "adapter_model.safetensors"
                file.write_bytes(file.read_bytes()[:-100])
            else:
                (broken / "adapter_config.json").write_text(json.dumps(config | change))
            with pytest.raises(WeightsError):
                load(base, adapter=broken).invoke("Hi")
            assert model.invoke("Hi").text == before
        good = load(base, adapter=adapters[0])
        assert good.invoke("Hi").text == peft_reply(base, adapters[0], model, "Hi")
        assert model.invoke("Hi").text == before


def test_a_folder_without_weights_spoils_nothing(
    base: Path, adapters: list[Path], tmp_path: Path, load: Load
) -> None:
    hollow = tmp_path / "hollow"
    shutil.copytree(adapters[0], hollow)
    model = load(base, adapter=hollow)
    (hollow / "adapter_model.safetensors").unlink()  # after it was checked
    for _ in range(2):
        with pytest.raises(WeightsError, match="hollow"):
            model.invoke("Hi")
    good = load(base, adapter=adapters[1])
    assert good.invoke("Hi").text == peft_reply(base, adapters[1], load(base), "Hi")


@pytest.mark.parametrize("layers", [1, 3])
def test_an_adapter_of_other_layers_leaves_the_base_as_it_was(
    layers: int, tmp_path: Path, load: Load
) -> None:
    from peft import LoraConfig, get_peft_model
    from transformers import AutoModelForCausalLM

    base = make_model(tmp_path / "base")
    other = make_model(tmp_path / "other", num_hidden_layers=layers)
    model = AutoModelForCausalLM.from_pretrained(other, dtype=torch.float32)
    config = LoraConfig(r=4, target_modules=["q_proj"], init_lora_weights=False)
    get_peft_model(model, config).save_pretrained(tmp_path / "adapter")
    bare = load(base)
    before = bare.invoke("Hi").text
    with pytest.raises(WeightsError, match="its layers are not the model's"):
        load(base, adapter=tmp_path / "adapter").invoke("Hi")
    assert bare.invoke("Hi").text == before
