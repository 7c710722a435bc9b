"""Text and images to what :class:`VitaForConditionalGeneration` takes."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from transformers import (
    AutoImageProcessor,
    AutoProcessor,
    AutoTokenizer,
    BaseImageProcessor,
    BatchFeature,
    ProcessorMixin,
)
from transformers.image_transforms import normalize, rescale

from vitarmm_agent.errors import InputError, WeightsError
from vitarmm_agent.models import safely
from vitarmm_agent.models.control import without_control_tokens
from vitarmm_agent.models.vita.configuration import IMAGE_TOKEN_ID, VitaConfig
from vitarmm_agent.models.vita.conversation import (
    IMAGE_TAG,
    MEDIA_TAGS,
    READABLE_MARKERS,
    Conversation,
    conversation,
)
from vitarmm_agent.models.vita.images import count_tiles, cut_tiles, open_image
from vitarmm_agent.models.vita.loading import checkpoint_folder, is_published
from vitarmm_agent.models.vita.template import chat_template_of

MEAN = (0.485, 0.456, 0.406)
STD = (0.229, 0.224, 0.225)


@dataclass(frozen=True)
class Prepared:
    """One prompt, ready for the model.

    Attributes:
        input_ids: token ids, each tile as ``tokens_per_tile`` placeholders.
        pixel_values: (tiles, 3, side, side), or None without images.
        tiles: tiles per image, thumbnails included.
    """

    input_ids: list[int]
    pixel_values: torch.Tensor | None
    tiles: tuple[int, ...]


class VitaImageProcessor(BaseImageProcessor):
    """Cuts each image into square tiles and normalises them."""

    model_input_names = ["pixel_values"]

    def __init__(
        self,
        size: int = 448,
        min_tiles: int = 1,
        max_tiles: int = 12,
        use_thumbnail: bool = True,
        image_mean: Sequence[float] = MEAN,
        image_std: Sequence[float] = STD,
        **kwargs: Any,
    ) -> None:
        """Set the side of a tile in pixels and the limits of the grid."""
        super().__init__(**kwargs)
        self.size = size
        self.min_tiles = min_tiles
        self.max_tiles = max_tiles
        self.use_thumbnail = use_thumbnail
        self.image_mean = tuple(image_mean)
        self.image_std = tuple(image_std)

    def tiling(
        self,
        min_tiles: int | None = None,
        max_tiles: int | None = None,
        use_thumbnail: bool | None = None,
    ) -> dict[str, Any]:
        """The limits in force: what is given, else the processor's own."""
        return {
            "min_tiles": self.min_tiles if min_tiles is None else min_tiles,
            "max_tiles": self.max_tiles if max_tiles is None else max_tiles,
            "thumbnail": self.use_thumbnail if use_thumbnail is None else use_thumbnail,
        }

    def count(self, image: Any, **tiling: Any) -> int:
        """Number of tiles that an image becomes, thumbnail included."""
        width, height = image.size
        return count_tiles(width, height, self.size, **self.tiling(**tiling))

    def preprocess(
        self,
        images: Any,
        min_tiles: int | None = None,
        max_tiles: int | None = None,
        use_thumbnail: bool | None = None,
        **kwargs: Any,
    ) -> BatchFeature:
        """Tiles of one image or a list of images, as :func:`open_image` takes them.

        Returns:
            ``pixel_values`` (tiles, 3, side, side) and ``tiles_per_image``.

        Raises:
            InputError: an image that cannot be used, or contradicting limits.
        """
        limits = self.tiling(min_tiles, max_tiles, use_thumbnail)
        items = images if isinstance(images, (list, tuple)) else [images]
        cut = [cut_tiles(open_image(item), self.size, **limits) for item in items]
        pixels = np.stack([self._pixels(np.asarray(tile)) for tiles in cut for tile in tiles])
        data = {"pixel_values": torch.from_numpy(pixels)}
        return BatchFeature({**data, "tiles_per_image": [len(tiles) for tiles in cut]})

    def _pixels(self, tile: np.ndarray[Any, Any]) -> np.ndarray[Any, Any]:
        values = rescale(tile, 1 / 255)
        normal = normalize(
            values, self.image_mean, self.image_std, input_data_format="channels_last"
        )
        return np.ascontiguousarray(normal.transpose(2, 0, 1), dtype=np.float32)


class VitaProcessor(ProcessorMixin):
    """Tokenizer and image processor of one VITA checkpoint.

    A prompt holds ``<image>`` once per image, or once per tile as the original code has it.
    """

    def __init__(
        self,
        image_processor: Any = None,
        tokenizer: Any = None,
        vita_model_type: str = "qwen2p5_instruct",
        tokens_per_tile: int = 256,
        image_token_id: int = IMAGE_TOKEN_ID,
        max_sequence_length: int | None = 6200,
        chat_template: str | None = None,
    ) -> None:
        """Combine the parts.

        Args:
            image_processor: a :class:`VitaImageProcessor`.
            tokenizer: the checkpoint's tokenizer.
            vita_model_type: decides the conversation layout.
            tokens_per_tile: as the model's configuration says.
            image_token_id: as the model's configuration says.
            max_sequence_length: longest prompt, image tokens included; longer ones are refused.
            chat_template: default: the layout of ``vita_model_type``.

        Raises:
            InputError: the model type is unknown.
        """
        self.vita_model_type = vita_model_type
        self.tokens_per_tile = tokens_per_tile
        self.image_token_id = image_token_id
        self.max_sequence_length = max_sequence_length
        template = chat_template or chat_template_of(conversation(vita_model_type))
        super().__init__(  # type: ignore[no-untyped-call]
            image_processor, tokenizer, chat_template=template
        )

    @property
    def conversation(self) -> Conversation:
        """How this model type writes a conversation."""
        return conversation(self.vita_model_type)

    @property
    def model_input_names(self) -> list[str]:
        """What :meth:`__call__` gives."""
        return ["input_ids", "attention_mask", "pixel_values"]

    @classmethod
    def from_pretrained(  # type: ignore[override]
        cls, pretrained_model_name_or_path: Any, **kwargs: Any
    ) -> Any:
        """Load from a folder in the published or the transformers layout.

        Args:
            pretrained_model_name_or_path: the checkpoint folder. Nothing is fetched by network.
            kwargs: ``vita_model_type`` and ``vision_config`` override what the folder says; the
                arguments of :class:`VitaProcessor` override what was saved.

        Raises:
            WeightsError: no such folder, or no tokenizer in it.
            InputError: it is no VITA checkpoint, or its model type is unknown.
        """
        folder = checkpoint_folder(pretrained_model_name_or_path)
        overrides = {key: kwargs.pop(key, None) for key in ("vita_model_type", "vision_config")}
        if not is_published(folder):
            kwargs |= {k: v for k, v in overrides.items() if k == "vita_model_type" and v}
            return super().from_pretrained(folder, **kwargs)
        from vitarmm_agent.models.vita.conversion import image_statistics

        config = VitaConfig.from_pretrained(folder, **overrides)
        mean, std = image_statistics(folder)
        return cls(
            VitaImageProcessor(config.tile_size, image_mean=mean, image_std=std),
            load_tokenizer(folder),
            vita_model_type=config.vita_model_type,
            tokens_per_tile=config.tokens_per_tile,
            image_token_id=config.image_token_id,
            max_sequence_length=config.context_length,
        )

    def without_control(self, text: str) -> str:
        """Text that someone typed, without anything the model would take for control."""
        layout = self.conversation
        special = [str(token) for token in self.tokenizer.all_special_tokens]
        added = [str(t) for t in self.tokenizer.added_tokens_decoder.values() if t.special]
        control = {*MEDIA_TAGS, *layout.control, *layout.states, *special, *added}
        return without_control_tokens(text, sorted(control), READABLE_MARKERS)

    def tokenize_prompt(self, prompt: str) -> list[int]:
        """Token ids with one placeholder per ``<image>``; a BOS token stays only in front.

        Each piece between the tags is tokenized on its own, as in training.
        """
        bos = self.tokenizer.bos_token_id
        ids: list[int] = []
        for number, piece in enumerate(prompt.split(IMAGE_TAG)):
            tokens = list(self.tokenizer(piece).input_ids)
            has_bos = bos is not None and tokens[:1] == [bos]
            ids += [self.image_token_id] * (number > 0)
            ids += tokens[1:] if has_bos and number else tokens
        return ids

    def expand(
        self, prompt: str, tiles: Sequence[int] = (), max_length: int | None = None
    ) -> list[int]:
        """Token ids of a prompt, each tile as ``tokens_per_tile`` placeholders.

        Args:
            prompt: with ``<image>`` once per image, or once per tile.
            tiles: number of tiles of each image.
            max_length: longest prompt; default: what the model was trained for.

        Raises:
            InputError: tags and images differ in number, or the prompt is too long.
        """
        ids = self.tokenize_prompt(_one_tag_per_tile(prompt, tiles))
        per = self.tokens_per_tile
        expanded = [t for i in ids for t in [i] * (per if i == self.image_token_id else 1)]
        limit = max_length or self.max_sequence_length
        if limit is not None and len(expanded) > limit:
            raise InputError(_too_long(len(expanded), limit, tiles, per))
        return expanded

    def prepare(self, prompt: str, images: Sequence[Any] = (), **tiling: Any) -> Prepared:
        """One prompt with its images.

        Args:
            prompt: with ``<image>`` once per image, or once per tile.
            images: in the order of the prompt, as :func:`open_image` takes them.
            tiling: ``min_tiles``, ``max_tiles``, ``use_thumbnail``.

        Raises:
            InputError: tags and images differ in number, an image cannot be used, or the prompt is
                longer than the model was trained for.
        """
        opened = [open_image(image) for image in images]
        tiles = tuple(self.image_processor.count(image, **tiling) for image in opened)
        ids = self.expand(prompt, tiles)
        pixels = self.image_processor(opened, **tiling)["pixel_values"] if opened else None
        return Prepared(ids, pixels, tiles)

    def __call__(
        self,
        images: Any = None,
        text: str | Sequence[str] | None = None,
        return_tensors: str = "pt",
        min_tiles: int | None = None,
        max_tiles: int | None = None,
        use_thumbnail: bool | None = None,
        **kwargs: Any,
    ) -> BatchFeature:
        """One prompt or several, left-padded to one length.

        Args:
            images: one image, a list for one prompt, or one list per prompt.
            text: the prompt or prompts.
            return_tensors: only ``pt``.
            min_tiles: overrides the image processor's, as do ``max_tiles`` and ``use_thumbnail``.
            max_tiles: see ``min_tiles``.
            use_thumbnail: see ``min_tiles``.
            kwargs: ``padding_side`` must be ``left``; other tokenizer options have no effect here.

        Returns:
            ``input_ids`` and ``attention_mask`` (batch, length), and ``pixel_values`` (tiles, 3,
            side, side) with the tiles of all prompts in order.

        Raises:
            InputError: see :meth:`prepare`.
        """
        if text is None:
            raise InputError("VitaProcessor needs a text; put <image> where an image stands")
        if kwargs.get("sanitize_control_tokens") or kwargs.get("padding_side", "left") != "left":
            raise InputError(
                "VitaProcessor pads left; pass typed text through .without_control(text)"
            )
        prompts = [text] if isinstance(text, str) else list(text)
        tiling = {"min_tiles": min_tiles, "max_tiles": max_tiles, "use_thumbnail": use_thumbnail}
        return self.collate(
            [
                self.prepare(prompt, own, **tiling)
                for prompt, own in zip(prompts, _per_prompt(images, len(prompts)), strict=True)
            ]
        )

    def collate(self, rows: Sequence[Prepared]) -> BatchFeature:
        """Prepared prompts as one left-padded batch."""
        pad = self.tokenizer.pad_token_id
        pad = self.tokenizer.eos_token_id if pad is None else pad
        longest = max(len(row.input_ids) for row in rows)
        gaps = [longest - len(row.input_ids) for row in rows]
        ids = [[pad] * gap + row.input_ids for gap, row in zip(gaps, rows, strict=True)]
        mask = [[0] * gap + [1] * (longest - gap) for gap in gaps]
        data = {"input_ids": torch.tensor(ids), "attention_mask": torch.tensor(mask)}
        pixels = [row.pixel_values for row in rows if row.pixel_values is not None]
        return BatchFeature(data | ({"pixel_values": torch.cat(pixels)} if pixels else {}))


def load_tokenizer(folder: Path) -> Any:
    """The tokenizer of a checkpoint folder.

    Raises:
        WeightsError: its files are missing or damaged.
    """
    try:
        return AutoTokenizer.from_pretrained(folder, **safely.FOLDER)
    except (OSError, ValueError, TypeError, KeyError) as error:
        why = safely.reason(folder, error).splitlines()[0]
        raise WeightsError(f"{folder} has no usable tokenizer: {why}") from None


def _too_long(length: int, limit: int, tiles: Sequence[int], tokens_per_tile: int) -> str:
    if not tiles:
        return (
            f"the prompt has {length:,} tokens, but the model was trained for {limit:,}: shorten it"
        )
    image_tokens = sum(tiles) * tokens_per_tile
    text = length - image_tokens
    fits = max(0, (limit - text) // tokens_per_tile)
    return (
        f"the prompt has {length:,} tokens, {image_tokens:,} of them for {sum(tiles)} tiles of "
        f"{len(tiles)} images, but the model was trained for {limit:,}. Beside {text:,} tokens of "
        f"text, {fits} tiles fit in all: lower max_tiles (an image in several tiles has a "
        "thumbnail, too), or give fewer images. Nothing is cut silently"
    )


def _one_tag_per_tile(prompt: str, tiles: Sequence[int]) -> str:
    tags = prompt.count(IMAGE_TAG)
    if tags == sum(tiles):
        return prompt
    if tags != len(tiles):
        raise InputError(
            f"the prompt has {tags} {IMAGE_TAG} but there are {len(tiles)} images of "
            f"{sum(tiles)} tiles; write the tag once per image"
        )
    first, *rest = prompt.split(IMAGE_TAG)
    parts = [IMAGE_TAG * count + piece for count, piece in zip(tiles, rest, strict=True)]
    return first + "".join(parts)


def _per_prompt(images: Any, prompts: int) -> list[list[Any]]:
    if images is None:
        return [[] for _ in range(prompts)]
    items = list(images) if isinstance(images, (list, tuple)) else [images]
    if any(isinstance(item, (list, tuple)) for item in items):
        nested = [list(item) if isinstance(item, (list, tuple)) else [item] for item in items]
    else:
        nested = [items] if prompts == 1 else [[item] for item in items]
    if len(nested) != prompts:
        raise InputError(
            f"{prompts} prompts but images for {len(nested)}; give one list per prompt"
        )
    return nested


AutoImageProcessor.register(VitaConfig, VitaImageProcessor, exist_ok=True)
AutoProcessor.register(VitaConfig, VitaProcessor, exist_ok=True)
