"""BERT embedders on llama.cpp: which folders are taken, and the file that is made of them."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from safetensors.numpy import load_file, save_file

from tests.memory_store.tiny_bert import MODULES, tiny_bert
from vitarmm_agent.errors import WeightsError
from vitarmm_agent.memory_store.bert_gguf import GGUF_FILE, BertFolder
from vitarmm_agent.memory_store.embedding import LlamaEmbeddings


def opened(folder: Path, home: Path) -> BertFolder:
    bert = BertFolder.of(folder, home)
    assert bert is not None
    return bert


def embedded(
    folder: Path, home: Path, *texts: str
) -> np.ndarray[tuple[int, int], np.dtype[np.float64]]:
    return np.asarray(LlamaEmbeddings(opened(folder, home)).embed_documents(list(texts)))


def test_texts_are_cut_at_the_limit(tmp_path: Path) -> None:
    folder, home = tiny_bert(tmp_path / "model"), tmp_path / "home"
    assert opened(folder, home).limit == 32
    words = "the square of the area " * 20
    whole, cut, shorter = embedded(
        folder, home, words, " ".join(words.split()[:30]), " ".join(words.split()[:29])
    )
    assert whole == pytest.approx(cut, abs=1e-6)
    assert whole != pytest.approx(shorter, abs=1e-6)


def test_the_limit_is_the_tokenizers_where_none_is_set(tmp_path: Path) -> None:
    """sentence-transformers takes the tokenizer's, and a tokenizer without one says 1e30."""
    none = {"max_seq_length": None}
    named = tiny_bert(
        tmp_path / "a", sentence_bert_config=none, tokenizer_config={"model_max_length": 48}
    )
    unnamed = tiny_bert(
        tmp_path / "b", sentence_bert_config=none, tokenizer_config={"model_max_length": 1e30}
    )
    assert opened(named, tmp_path).limit == 48
    assert opened(unnamed, tmp_path).limit == 64


@pytest.mark.parametrize(
    "files",
    [
        {"config": {"model_type": "roberta"}},
        {"config": {"hidden_act": "relu"}},
        {"config": {"position_embedding_type": "relative_key"}},
        {"config": {"num_hidden_layers": 2}},
        {"config": {"vocab_size": 7}},
        {"config": {"hidden_size": "many"}},
        {"1_Pooling_config": {"pooling_mode_mean_tokens": False, "pooling_mode_cls_token": True}},
        {"1_Pooling_config": {"pooling_mode_cls_token": True}},
        {"1_Pooling_config": {"pooling_mode_mean_tokens": False, "pooling_mode": "cls"}},
        {"sentence_bert_config": {"do_lower_case": True}},
        {"config_sentence_transformers": {"default_prompt_name": "query"}},
        {"modules": MODULES[:1]},
        {"modules": [*MODULES, {"idx": 2, "name": "2", "path": "2", "type": "x.Dense"}]},
        {"modules": {"not": "a list"}},
    ],
    ids=str,
)  # fmt: skip
def test_other_kinds_are_left_to_sentence_transformers(
    files: dict[str, object], tmp_path: Path
) -> None:
    assert BertFolder.of(tiny_bert(tmp_path / "model", **files), tmp_path) is None


def test_weights_of_other_kinds(tmp_path: Path) -> None:
    folder = tiny_bert(tmp_path / "model")
    tensors = load_file(folder / "model.safetensors")
    save_file(
        {f"bert.{name}": tensor for name, tensor in tensors.items()}, folder / "model.safetensors"
    )
    assert BertFolder.of(folder, tmp_path) is None
    (folder / "model.safetensors").write_bytes(b"no tensors")
    assert BertFolder.of(folder, tmp_path) is None
    assert BertFolder.of(tmp_path / "nowhere", tmp_path) is None


def test_the_newer_layout_of_the_pooling_module(tmp_path: Path) -> None:
    newer = {"pooling_mode": "mean", "embedding_dimension": 16, "include_prompt": True}
    folder = tiny_bert(tmp_path / "model")
    older = embedded(folder, tmp_path / "home", "the sum of two angles")
    (folder / "1_Pooling/config.json").write_text(json.dumps(newer))
    assert embedded(folder, tmp_path / "home", "the sum of two angles") == pytest.approx(older)


def test_the_file_is_made_once_and_again_when_the_weights_change(tmp_path: Path) -> None:
    folder, home = tiny_bert(tmp_path / "model"), tmp_path / "home"
    file = opened(folder, home).gguf()
    before = file.stat().st_ino
    assert opened(folder, home).gguf().stat().st_ino == before
    tiny_bert(folder, seed=1)
    os.utime(folder / "model.safetensors", (1, 1))
    assert opened(folder, home).gguf().stat().st_ino != before
    file.write_bytes(file.read_bytes()[:1000])  # a damaged copy is not used
    assert opened(folder, home).gguf().stat().st_size > 1000
    assert sorted(path.name for path in file.parent.iterdir()) == [GGUF_FILE, "source.json"]
    assert list(file.parent.parent.iterdir()) == [file.parent]


def test_several_processes_make_one_file(tmp_path: Path) -> None:
    folder, home = tiny_bert(tmp_path / "model"), tmp_path / "home"
    code = (
        "import sys; from pathlib import Path;"
        "from vitarmm_agent.memory_store.bert_gguf import BertFolder;"
        f"print(BertFolder.of(Path({str(folder)!r}), Path({str(home)!r})).gguf().stat().st_ino)"
    )
    started = [
        subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE, text=True)
        for _ in range(3)
    ]
    assert len({process.communicate()[0] for process in started}) == 1
    assert [process.returncode for process in started] == [0, 0, 0]


def test_a_home_that_cannot_be_written(tmp_path: Path) -> None:
    folder = tiny_bert(tmp_path / "model")
    (tmp_path / "home").write_text("a file")
    with pytest.raises(WeightsError, match="VITARMM_HOME"):
        opened(folder, tmp_path / "home").gguf()
