"""VITA as a LangChain chat model."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch
from langchain_core.messages import AIMessage, BaseMessage
from pydantic import Field

from vitarmm_agent.errors import InputError, MissingExtraError, WeightsError
from vitarmm_agent.models.adapters import checked_adapter
from vitarmm_agent.models.content import ImagePart, parts_of, role_of, text_of
from vitarmm_agent.models.engine import Engine, Prompt
from vitarmm_agent.models.folder import ReplyFilter, TransformersChatModel
from vitarmm_agent.models.shared_engine import default_device, shared_engine, stop_ids
from vitarmm_agent.models.vita.checkpoint import read_headers
from vitarmm_agent.models.vita.conversation import IMAGE_TAG, Conversation, Turn, conversation
from vitarmm_agent.models.vita.images import MAX_TILES
from vitarmm_agent.models.vita.loading import stored_dtype
from vitarmm_agent.models.vita.modeling import VitaForConditionalGeneration
from vitarmm_agent.models.vita.processing import VitaProcessor
from vitarmm_agent.user_path import user_path

if TYPE_CHECKING:
    pass

NOT_QUANTIZED = ["model.vision_tower", "model.mm_projector", "lm_head"]
_PAUSE = "\n\n"


class VitaChatModel(TransformersChatModel):
    """VITA on image and text messages; made by :meth:`load`.

    The system text the model was trained with is chosen by what the messages hold. A system
    message of the caller goes in front of the first user turn's text.

    Attributes:
        min_tiles: fewest tiles an image is cut into.
        max_tiles: most tiles, not counting the thumbnail.
        use_thumbnail: add the whole image, small, behind its tiles.
        layout: conversation layout, such as ``mixtral_zh``; default: the model type's.
        max_prompt_tokens: longest prompt; default: what the model was trained for.
    """

    min_tiles: int = Field(default=1, ge=1, le=MAX_TILES)
    max_tiles: int = Field(default=12, ge=1, le=MAX_TILES)
    use_thumbnail: bool = True
    layout: str | None = None
    max_prompt_tokens: int | None = Field(default=None, ge=1)

    @classmethod
    def load(
        cls,
        folder: str | Path,
        *,
        adapter: str | Path | None = None,
        vita_model_type: str | None = None,
        dtype: str | None = None,
        device: str | None = None,
        load_in_4bit: bool = False,
        **options: Any,
    ) -> VitaChatModel:
        """Open a checkpoint, published or converted; what is open already is shared.

        Args:
            folder: the checkpoint.
            adapter: folder of a peft adapter for it.
            vita_model_type: overrides what the folder says.
            dtype: ``bfloat16``, ``float16`` or ``float32``; default: the checkpoint's, but
                bfloat16 for a float16 one.
            device: ``cpu``, ``cuda`` …, or ``auto`` to spread the model over all there are;
                default: the best there is.
            load_in_4bit: quantize the language model's layers (extra ``quantized``).
            options: fields of the chat model, such as ``max_tiles`` or ``temperature``.

        Raises:
            WeightsError: the checkpoint or the adapter is missing or damaged.
            InputError: the folder is no VITA checkpoint, or an option is unknown.
        """
        path = user_path(folder).resolve()
        device = device or default_device()
        how: dict[str, Any] = {"dtype": dtype, "device": device, "load_in_4bit": load_in_4bit}
        build = partial(_open, path, vita_model_type=vita_model_type, **how)
        key = ("vita", path, vita_model_type, *how.values())
        engine = shared_engine(key, build)
        checked = None if adapter is None else checked_adapter(Path(adapter))
        return cls(engine=engine, model=f"vita:{folder}", adapter=checked, **options)

    @property
    def processor(self) -> VitaProcessor:
        """Tokenizer and image processor of the checkpoint."""
        processor: VitaProcessor = self.engine.processor
        return processor

    @property
    def conversation(self) -> Conversation:
        """How the model writes a conversation."""
        return conversation(self.layout) if self.layout else self.processor.conversation

    def prepare(self, messages: Sequence[BaseMessage]) -> Prompt:
        """Turn messages into one prompt: system text, image tokens, text.

        Raises:
            InputError: an image that cannot be used, roles that do not alternate, or a prompt
                longer than the model was trained for.
        """
        turns, images = self._turns(messages)
        pictures = [image.rgb() for image in images]
        tiling = {
            "min_tiles": self.min_tiles,
            "max_tiles": self.max_tiles,
            "use_thumbnail": self.use_thumbnail,
        }
        tiles = [self.processor.image_processor.count(picture, **tiling) for picture in pictures]
        with self.engine.tokenizer_lock:
            text = self.conversation.prompt(turns)
            ids = self.processor.expand(text, tiles, self.max_prompt_tokens)
        found = {
            "images": len(images),
            "tiles_per_image": tiles,
            "image_tokens": sum(tiles) * self.processor.tokens_per_tile,
        }
        inputs: dict[str, Any] = {"input_ids": torch.tensor([ids])}
        inputs["attention_mask"] = torch.ones_like(inputs["input_ids"])
        if pictures:
            cut = self.processor.image_processor(pictures, **tiling)
            inputs["pixel_values"] = cut["pixel_values"]
        names = [(image.sha256, *tiling.values()) for image in images]
        keys = self._keys(ids, names, tiles)
        return Prompt(keys=keys, inputs=inputs, metadata=found if images else {})

    def reply_filter(self) -> ReplyFilter:
        """Takes the state marker out of a reply."""
        return StateFilter(self.conversation.states)

    def _keys(
        self, ids: Sequence[int], names: Sequence[tuple[Any, ...]], tiles: Sequence[int]
    ) -> tuple[Any, ...]:
        """One key per position: the token, or the image by content and the place in it."""
        places = iter(
            (name, place)
            for name, count in zip(names, tiles, strict=True)
            for place in range(count * self.processor.tokens_per_tile)
        )
        image_token = self.processor.image_token_id
        return tuple(next(places) if token == image_token else token for token in ids)

    def _turns(self, messages: Sequence[BaseMessage]) -> tuple[list[Turn], list[ImagePart]]:
        """Turns that alternate, with ``<image>`` once per image, and the images in order."""
        turns: list[Turn] = []
        images: list[ImagePart] = []
        preface = _PAUSE.join(
            self.processor.without_control(text_of(m)) for m in messages if role_of(m) == "system"
        )
        for message in messages:
            role = role_of(message)
            if role == "system":
                continue
            if role == "assistant":
                turn = self._reply(message, begun=message is messages[-1])
            else:
                text, own = self._user_text(message, preface)
                turn, preface = Turn("user", text), ""
                images += own
            if turns and turns[-1].role == turn.role:
                turn = Turn(turn.role, turns.pop().text + _PAUSE + turn.text)
            turns.append(turn)
        return turns, images

    def _user_text(self, message: BaseMessage, preface: str) -> tuple[str, list[ImagePart]]:
        """Text of a user turn; ``preface`` goes behind the images in front."""
        text, images = "", []
        for part in parts_of(message):
            if isinstance(part, ImagePart):
                images.append(part)
                text += IMAGE_TAG + "\n"
            else:
                text += "\n" * (bool(text) and not text.endswith("\n"))
                text += (preface + _PAUSE if preface else "") + self.processor.without_control(part)
                preface = ""
        return text + preface, images

    def _reply(self, message: BaseMessage, *, begun: bool) -> Turn:
        """An earlier reply; one that is to be continued begins as an answer to text does."""
        if any(isinstance(part, ImagePart) for part in parts_of(message)):
            raise InputError("a reply of VITA holds no image; put images into user messages")
        state = message.response_metadata.get("vita_state")
        assert isinstance(message, AIMessage) or state is None
        text = self.processor.without_control(text_of(message))
        return Turn("assistant", self.conversation.mark(text, state or ("text" if begun else None)))


class StateFilter:
    """Takes the leading state marker, and blanks around the reply, out of a streamed reply."""

    def __init__(self, states: Mapping[str, str]) -> None:
        """Know the markers and what each says."""
        self.states = states
        self.state: str | None = None
        self._held = ""
        self._begun = False

    def push(self, text: str) -> str:
        """Take a piece of the reply; return what is certain of the rewritten one."""
        self._held += text
        if not self._begun and not self._begin():
            return ""
        certain = self._held.rstrip()
        self._held = self._held[len(certain) :]
        return certain

    def finish(self) -> str:
        """Return what was held back as the possible start of a marker."""
        return "" if self._begun else self._held.strip()

    def metadata(self) -> dict[str, Any]:
        """What the marker said, or None."""
        return {"vita_state": self.state}

    def _begin(self) -> bool:
        """Look for the marker; True once the reply's own text has begun."""
        head = self._held.lstrip()
        if self.state is None:
            if marker := next((m for m in self.states if head.startswith(m)), None):
                self.state = self.states[marker]
                head = head.removeprefix(marker).lstrip()
            elif any(marker.startswith(head) for marker in self.states):
                return False
        self._held = head
        self._begun = bool(head)
        return self._begun


def _open(
    folder: Path,
    *,
    vita_model_type: str | None,
    dtype: str | None,
    device: str,
    load_in_4bit: bool,
) -> Engine:
    processor = VitaProcessor.from_pretrained(folder, vita_model_type=vita_model_type)
    options: dict[str, Any] = {"vita_model_type": vita_model_type}
    if dtype is None and stored_dtype(read_headers(folder)) == "float16":
        dtype = "bfloat16"  # Qwen2-7B may overflow in float16
    if dtype is not None:
        options["dtype"] = dtype
    if load_in_4bit:
        options["quantization_config"] = _four_bits()
    model = VitaForConditionalGeneration.from_pretrained(folder, device_map=device, **options)
    rows = model.config.text_config.vocab_size
    if len(processor.tokenizer) > rows:
        raise WeightsError(
            f"{folder} has a tokenizer of {len(processor.tokenizer)} tokens but embeddings for "
            f"{rows}; they do not belong together"
        )
    return Engine(
        model,
        processor.tokenizer,
        name=f"vita:{folder.name}",
        stop_ids=stop_ids(model, processor.tokenizer),
        context=model.config.text_config.max_position_embeddings,
        processor=processor,
    )


def _four_bits() -> Any:
    try:
        import bitsandbytes  # type: ignore[import-not-found, unused-ignore]  # noqa: F401
    except ImportError as error:
        raise MissingExtraError("4-bit loading", "quantized") from error
    from transformers import BitsAndBytesConfig

    return BitsAndBytesConfig(
        load_in_4bit=True,
        bnb_4bit_compute_dtype=torch.bfloat16,
        llm_int8_skip_modules=NOT_QUANTIZED,
    )
