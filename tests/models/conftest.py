"""Tiny random models with a real tokenizer and chat template, made once per test run."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from vitarmm_agent.models.folder import FolderChatModel
from vitarmm_agent.models.local import LocalChatModel

CHATML = (
    "{% for message in messages %}<|im_start|>{{ message['role'] }}\n"
    "{% if message['content'] is string %}{{ message['content'] }}{% else %}"
    "{% for part in message['content'] %}"
    "{% if part['type'] == 'image' %}<image>{% else %}{{ part['text'] }}{% endif %}"
    "{% endfor %}{% endif %}<|im_end|>\n{% endfor %}"
    "{% if add_generation_prompt %}<|im_start|>assistant\n{% endif %}"
)
SPECIAL = ["<|endoftext|>", "<|im_start|>", "<|im_end|>", "<image>"]
CONTEXT = 512


def make_tokenizer() -> Any:
    """A byte-level tokenizer: 256 bytes and the control tokens."""
    from tokenizers import Tokenizer, decoders, models, pre_tokenizers
    from transformers import PreTrainedTokenizerFast

    alphabet = sorted(pre_tokenizers.ByteLevel.alphabet())
    vocabulary = {token: index for index, token in enumerate(alphabet)}
    inner = Tokenizer(models.BPE(vocab=vocabulary, merges=[]))
    inner.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    inner.decoder = decoders.ByteLevel()
    tokenizer = PreTrainedTokenizerFast(
        tokenizer_object=inner,
        eos_token="<|im_end|>",
        pad_token="<|endoftext|>",
        additional_special_tokens=SPECIAL,
    )
    tokenizer.chat_template = CHATML
    return tokenizer


def make_model(folder: Path, seed: int = 0, **more: Any) -> Path:
    """A random two-layer Qwen2 in ``folder``, fp32, peaked enough for clear greedy choices."""
    import torch
    from transformers import Qwen2Config, Qwen2ForCausalLM

    tokenizer = make_tokenizer()
    settings: dict[str, Any] = {
        "vocab_size": len(tokenizer) + 4,  # rows of the head that no token has
        "hidden_size": 64,
        "intermediate_size": 96,
        "num_hidden_layers": 2,
        "num_attention_heads": 4,
        "num_key_value_heads": 2,
        "max_position_embeddings": CONTEXT,
        "initializer_range": 0.3,
        "tie_word_embeddings": False,
        "bos_token_id": None,
        "eos_token_id": tokenizer.eos_token_id,
        "pad_token_id": tokenizer.pad_token_id,
    }
    torch.manual_seed(seed)
    Qwen2ForCausalLM(Qwen2Config(**settings | more)).save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    return folder


@pytest.fixture(scope="session")
def tiny(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Folder of the tiny model."""
    return make_model(tmp_path_factory.mktemp("tiny"))


@pytest.fixture
def load(tmp_path: Path) -> Callable[..., FolderChatModel]:
    """Load weights in fp32 on the CPU."""

    def _load(folder: Path, **options: Any) -> FolderChatModel:
        options = {"dtype": "float32", "device": "cpu", "max_tokens": 12} | options
        return FolderChatModel.load(folder, home=tmp_path / "home", **options)

    return _load


@pytest.fixture
def model(tiny: Path, load: Callable[..., FolderChatModel]) -> FolderChatModel:
    """The tiny model."""
    return load(tiny)


@pytest.fixture(scope="module")
def gguf(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A tiny model as a GGUF file."""
    from tests.models.tiny_gguf import write_gguf

    return write_gguf(tmp_path_factory.mktemp("gguf") / "tiny.gguf")


@pytest.fixture(scope="module")
def open_gguf(
    gguf: Path, tmp_path_factory: pytest.TempPathFactory
) -> Callable[..., LocalChatModel]:
    """Open a GGUF file on llama.cpp, the tiny one by default."""
    from tests.models.tiny_gguf import HELD

    home = tmp_path_factory.mktemp("home")

    def _open(path: Path = gguf, **fields: Any) -> LocalChatModel:
        return LocalChatModel.load(path, home=home, **{"options": HELD, "max_tokens": 12} | fields)

    return _open


@pytest.fixture(scope="module")
def gguf_model(open_gguf: Callable[..., LocalChatModel]) -> Iterator[LocalChatModel]:
    """The tiny model on llama.cpp."""
    model = open_gguf()
    yield model
    model.server.close()
