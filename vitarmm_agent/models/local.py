"""Chat models on transformers, in this process."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from pathlib import Path
from typing import Any

from langchain_core.messages import BaseMessage

from vitarmm_agent.errors import InputError, WeightsError
from vitarmm_agent.models.adapters import check_adapter
from vitarmm_agent.models.batch import Prompt
from vitarmm_agent.models.chat import EngineChatModel
from vitarmm_agent.models.content import (
    ImagePart,
    has_images,
    parts_of,
    role_of,
    text_of,
)
from vitarmm_agent.models.control import neutralise
from vitarmm_agent.models.loading import default_device, open_folder, shared_engine
from vitarmm_agent.weights import resolve

DTYPE = "bfloat16"


class LocalChatModel(EngineChatModel):
    """A language model, or a vision-language model that transformers knows.

    Made by :meth:`load`. Control tokens typed into a message are broken up, so they control
    nothing. A prompt that does not fit the context is refused.
    """

    @classmethod
    def load(
        cls,
        weights: str | Path,
        *,
        home: Path,
        adapter: str | Path | None = None,
        dtype: str = DTYPE,
        device: str | None = None,
        prefix_bytes: int | None = None,
        **options: Any,
    ) -> LocalChatModel:
        """Open weights by catalogue name or path; what is open already is shared.

        Args:
            weights: name, folder of safetensors, or GGUF file (converted once and cached).
            home: cache of weights.
            adapter: folder of a peft adapter for them.
            dtype: ``bfloat16``, ``float16`` or ``float32``.
            device: ``cpu``, ``cuda`` …; the best there is when None.
            prefix_bytes: memory of the prefix cache, shared by all users of these weights.
            options: fields of the chat model, such as ``temperature``.

        Raises:
            WeightsError: the weights or the adapter are missing or cannot be opened.
        """
        path = resolve(weights, home).resolve()
        device = device or default_device()
        build = partial(_open, path, home, name=str(weights), dtype=dtype, device=device)
        engine = shared_engine(("local", path, dtype, device), build)
        if prefix_bytes is not None:
            engine.prefix.limit = prefix_bytes
        checked = None if adapter is None else checked_adapter(Path(adapter))
        name = str(weights) if checked is None else f"{weights}+{adapter}"
        return cls(engine=engine, model=name, adapter=checked, **options)

    @property
    def sees_images(self) -> bool:
        """Whether image blocks can be given."""
        return self.engine.processor is not None

    def prepare(self, messages: Sequence[BaseMessage]) -> Prompt:
        """Render the chat template and tokenize.

        Raises:
            InputError: images for a model that reads text only, no chat template, or content of
                another kind.
        """
        if self.sees_images:
            return self._prepare_visual(messages)
        if has_images(messages):
            raise InputError(
                f"{self.model!r} reads text only and was given an image. Use a model that sees "
                "(vita:PATH, or local:PATH of a vision-language model), or set images to 'ocr' "
                "(--images ocr) to have text in the image read first"
            )
        turns = [
            {"role": role_of(message), "content": self._harmless(text_of(message))}
            for message in messages
        ]
        ids = self._tokenize(self._render(turns))
        return text_prompt(ids)

    def _prepare_visual(self, messages: Sequence[BaseMessage]) -> Prompt:
        turns, images = [], []
        for message in messages:
            content: list[dict[str, Any]] = []
            for part in parts_of(message):
                if isinstance(part, ImagePart):
                    images.append(part)
                    content.append({"type": "image"})
                else:
                    content.append({"type": "text", "text": self._harmless(part)})
            turns.append({"role": role_of(message), "content": content})
        pictures = {"images": [image.rgb() for image in images]} if images else {}
        text = self._render(turns)
        with self.engine.tokenizer_lock:
            inputs = self.engine.processor(
                text=[text], return_tensors="pt", add_special_tokens=False, **pictures
            )
        inputs = {k: _as_model(v, self.engine.model.dtype) for k, v in inputs.items()}
        return Prompt(
            keys=tuple(inputs["input_ids"][0].tolist()),
            inputs=lambda start, end: inputs,
            whole=True,
            metadata={"images": len(images)} if images else {},
        )

    def _render(self, turns: list[dict[str, Any]]) -> str:
        renderer = self.engine.processor or self.engine.tokenizer
        if not renderer.chat_template:
            raise InputError(
                f"{self.model!r} has no chat template, so it takes no messages; "
                "use an instruction-tuned model"
            )
        text: str = renderer.apply_chat_template(turns, tokenize=False, add_generation_prompt=True)
        return text

    def _tokenize(self, text: str) -> list[int]:
        with self.engine.tokenizer_lock:
            ids: list[int] = self.engine.tokenizer(text, add_special_tokens=False)["input_ids"]
        return ids

    def _harmless(self, text: str) -> str:
        tokens = control_tokens(self.engine.tokenizer)
        image_token = getattr(self.engine.processor, "image_token", None)
        return neutralise(text, [*tokens, image_token] if image_token else tokens)


def text_prompt(ids: Sequence[int]) -> Prompt:
    """A prompt of token ids alone."""
    import torch

    tensor = torch.tensor([list(ids)])
    return Prompt(keys=tuple(ids), inputs=lambda start, end: {"input_ids": tensor[:, start:end]})


def control_tokens(tokenizer: Any) -> list[str]:
    """Tokens of a tokenizer that control something, such as the end of a turn."""
    added = tokenizer.added_tokens_decoder.values()
    found = {token.content for token in added if token.special}
    return sorted(found | set(tokenizer.all_special_tokens))


def _open(path: Path, home: Path, *, name: str, dtype: str, device: str) -> Any:
    if path.is_file():
        from vitarmm_agent.models.convert import converted_folder

        path = converted_folder(path, home)
    return open_folder(path, name=name, dtype=dtype, device=device)


def checked_adapter(folder: Path) -> str:
    """The folder of a peft adapter, complete.

    Raises:
        WeightsError: it is no such folder.
    """
    if not (folder / "adapter_config.json").is_file():
        raise WeightsError(
            f"{folder} is not a peft adapter: it has no adapter_config.json; "
            "give the folder that training wrote"
        )
    check_adapter(folder)
    return str(folder.resolve())


def _as_model(value: Any, dtype: Any) -> Any:
    """Pixels in the model's dtype; ids and grids as they are."""
    import torch

    return value.to(dtype) if torch.is_tensor(value) and value.is_floating_point() else value
