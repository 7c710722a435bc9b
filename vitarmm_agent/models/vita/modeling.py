"""VITA as a transformers model: stock language model and vision tower, and what joins them.

Per tile, the tower's last layer without its class token is multiplied by 0.5, neighbouring 2 × 2
patches are merged into channels, and the projector maps them to the language model's width. The
factor and the absence of a LayerNorm before the projector are what sets VITA apart from InternVL.
"""

from __future__ import annotations

import copy
import math
from dataclasses import dataclass
from pathlib import Path
from typing import Any, cast

import torch
from torch import Tensor, nn
from transformers import (
    AutoModel,
    AutoModelForImageTextToText,
    GenerationMixin,
    LogitsProcessorList,
    PreTrainedModel,
    RepetitionPenaltyLogitsProcessor,
)
from transformers.cache_utils import Cache
from transformers.modeling_outputs import BaseModelOutputWithPast
from transformers.utils.generic import ModelOutput, can_return_tuple

from vitarmm_agent.errors import InputError
from vitarmm_agent.models import safely
from vitarmm_agent.models.adapters import check_adapter
from vitarmm_agent.models.vita.configuration import TILE_MERGE, VitaConfig
from vitarmm_agent.models.vita.loading import (
    Source,
    adapter_base,
    checkpoint_folder,
    is_published,
    refuse_missing,
)


@dataclass
class VitaModelOutput(BaseModelOutputWithPast):
    """Output of :class:`VitaModel`; ``image_hidden_states`` is (tiles, tokens per tile, width)."""

    image_hidden_states: Tensor | None = None


@dataclass
class VitaCausalOutput(ModelOutput):
    """Output of :class:`VitaForConditionalGeneration`; logits are (batch, length, vocabulary)."""

    loss: Tensor | None = None
    logits: Tensor | None = None
    past_key_values: Cache | None = None
    hidden_states: tuple[Tensor, ...] | None = None
    attentions: tuple[Tensor, ...] | None = None
    image_hidden_states: Tensor | None = None


class VitaPreTrainedModel(PreTrainedModel):
    """What the VITA classes share: flags for transformers, accelerate and quantizers."""

    config: VitaConfig
    config_class = VitaConfig
    base_model_prefix = "model"
    input_modalities = ["image", "text"]
    supports_gradient_checkpointing = True
    _skip_keys_device_placement = ["past_key_values"]
    _no_split_modules = ["InternVLVisionLayer"]
    _supports_flash_attn = True
    _supports_sdpa = True
    _supports_flex_attn = True
    _supports_attention_backend = True
    # speech is not part of this model; its tensors in a published checkpoint are skipped
    _keys_to_ignore_on_load_unexpected = [r"^model\.audio_encoder\."]


def pixel_shuffle(features: Tensor) -> Tensor:
    """Merge 2 × 2 neighbouring patches into channels.

    Channel blocks are in the order top-left, top-right, bottom-left, bottom-right.

    Args:
        features: (tiles, side, side, width).

    Returns:
        (tiles, side² / 4, 4 · width), row by row.
    """
    tiles, side, _, width = features.shape
    half = side // TILE_MERGE
    blocks = features.view(tiles, half, TILE_MERGE, half, TILE_MERGE, width)
    merged = blocks.permute(0, 1, 3, 2, 4, 5)
    return merged.reshape(tiles, half * half, TILE_MERGE * TILE_MERGE * width)


def _projector(config: VitaConfig) -> nn.Sequential:
    width = config.text_config.hidden_size
    first = nn.Linear(config.vision_config.hidden_size * TILE_MERGE**2, width)
    rest = [
        layer
        for _ in range(config.projector_layers - 1)
        for layer in (nn.GELU(), nn.Linear(width, width))
    ]
    return nn.Sequential(first, *rest)


class VitaModel(VitaPreTrainedModel):
    """Vision tower, projector and language model, without the head."""

    def __init__(self, config: VitaConfig) -> None:
        """Build the parts from their configurations."""
        super().__init__(config)
        self.vision_tower = AutoModel.from_config(config.vision_config)
        self.mm_projector = _projector(config)
        self.language_model = AutoModel.from_config(config.text_config)
        self.post_init()  # type: ignore[no-untyped-call]

    def get_image_features(self, pixel_values: Tensor) -> Tensor:
        """Tiles as the language model sees them.

        Args:
            pixel_values: (tiles, 3, side, side), normalised.

        Returns:
            (tiles, tokens per tile, width of the language model).
        """
        tower = self.vision_tower
        hidden = tower(pixel_values=pixel_values.to(tower.device, tower.dtype)).last_hidden_state
        patches = hidden[:, 1:] * self.config.feature_scale
        side = int(patches.shape[1] ** 0.5)
        merged = pixel_shuffle(patches.unflatten(1, (side, side)))
        return cast(Tensor, self.mm_projector(merged))

    def embed(
        self, input_ids: Tensor, pixel_values: Tensor | None, cached: int = 0
    ) -> tuple[Tensor, Tensor | None]:
        """Embeddings with the placeholders replaced, and the image features that replaced them.

        Args:
            input_ids: (batch, length).
            pixel_values: (tiles, 3, side, side), or None.
            cached: positions before ``input_ids`` that are in the cache.

        Raises:
            InputError: image tokens and tiles differ in number.
        """
        if pixel_values is None and input_ids.shape[1] == 1:  # a decoding step
            return self.get_input_embeddings()(input_ids), None
        places = input_ids == self.config.image_token_id
        embeds = self.get_input_embeddings()(input_ids.masked_fill(places, 0))
        wanted = int(places.sum())
        tiles = self._tiles_in_use(pixel_values, wanted, input_ids.shape[0], cached)
        if tiles is None:
            return embeds, None
        features = self.get_image_features(tiles).to(embeds.device, embeds.dtype)
        used = features.flatten(0, 1)[-wanted:]
        return embeds.masked_scatter(places.unsqueeze(-1), used), features

    def _tiles_in_use(
        self, pixel_values: Tensor | None, wanted: int, rows: int, cached: int
    ) -> Tensor | None:
        """The tiles whose placeholders are in this call, checked against their number.

        Those in front may already be in the cache; then only the last are computed.
        """
        given = 0 if pixel_values is None else pixel_values.shape[0] * self.config.tokens_per_tile
        continues = cached > 0 and rows == 1 and wanted < given
        if wanted != given and not continues:
            raise InputError(
                f"the prompt has {wanted} image tokens but {given} belong to the tiles given "
                f"({self.config.tokens_per_tile} per tile); use VitaProcessor to make both"
            )
        if pixel_values is None or wanted == 0:
            return None
        return pixel_values[-math.ceil(wanted / self.config.tokens_per_tile) :]

    @can_return_tuple  # type: ignore[untyped-decorator]
    def forward(
        self,
        input_ids: Tensor | None = None,
        pixel_values: Tensor | None = None,
        attention_mask: Tensor | None = None,
        position_ids: Tensor | None = None,
        past_key_values: Cache | None = None,
        inputs_embeds: Tensor | None = None,
        **kwargs: Any,
    ) -> VitaModelOutput:
        """Run tower, projector and language model.

        Args:
            input_ids: (batch, length) with ``image_token_id`` once per image token.
            pixel_values: (tiles, 3, side, side): the tiles of all rows in order of the prompts.
            attention_mask: (batch, length so far); positions follow it, so rows may be left-padded.
            position_ids: (batch, length); by default from the mask.
            past_key_values: cache of what came before.
            inputs_embeds: (batch, length, width), instead of ``input_ids``.
            kwargs: for the language model.

        Raises:
            InputError: image tokens and tiles differ in number.
        """
        if (input_ids is None) == (inputs_embeds is None):
            raise InputError("give either input_ids or inputs_embeds")
        features = None
        cached = past_key_values.get_seq_length() if past_key_values is not None else 0
        if input_ids is not None:
            inputs_embeds, features = self.embed(input_ids, pixel_values, cached)
        assert inputs_embeds is not None
        if position_ids is None and attention_mask is not None and attention_mask.ndim == 2:
            positions = (attention_mask.long().cumsum(-1) - 1).clamp(min=0)
            position_ids = positions[:, -inputs_embeds.shape[1] :]
        outputs = self.language_model(
            inputs_embeds=inputs_embeds,
            attention_mask=attention_mask,
            position_ids=position_ids,
            past_key_values=past_key_values,
            **kwargs,
        )
        return VitaModelOutput(
            last_hidden_state=outputs.last_hidden_state,
            past_key_values=outputs.past_key_values,
            hidden_states=outputs.hidden_states,
            attentions=outputs.attentions,
            image_hidden_states=features,
        )


class VitaForConditionalGeneration(VitaPreTrainedModel, GenerationMixin):
    """VITA with its language model head.

    ``from_pretrained`` reads the published layout as it lies as well as a converted folder;
    ``save_pretrained`` writes a normal transformers folder.
    """

    _tied_weights_keys = {"lm_head.weight": "model.language_model.embed_tokens.weight"}

    def __init__(self, config: VitaConfig) -> None:
        """Build the model from its configuration."""
        super().__init__(config)
        text = config.text_config
        self.model = VitaModel(config)
        self.lm_head = nn.Linear(text.hidden_size, text.vocab_size, bias=False)
        self.post_init()  # type: ignore[no-untyped-call]

    def get_image_features(self, pixel_values: Tensor) -> Tensor:
        """See :meth:`VitaModel.get_image_features`."""
        return cast(Tensor, self.model.get_image_features(pixel_values))

    @can_return_tuple  # type: ignore[untyped-decorator]
    def forward(
        self,
        input_ids: Tensor | None = None,
        pixel_values: Tensor | None = None,
        attention_mask: Tensor | None = None,
        position_ids: Tensor | None = None,
        past_key_values: Cache | None = None,
        inputs_embeds: Tensor | None = None,
        labels: Tensor | None = None,
        logits_to_keep: int | Tensor = 0,
        **kwargs: Any,
    ) -> VitaCausalOutput:
        """Logits of the next token, and the loss when ``labels`` are given.

        Args:
            input_ids: as :meth:`VitaModel.forward` takes them, like the next five.
            pixel_values: see there.
            attention_mask: see there.
            position_ids: see there.
            past_key_values: see there.
            inputs_embeds: see there.
            labels: (batch, length); -100 is ignored. Image tokens must be -100.
            logits_to_keep: number of last positions to compute logits for; 0 means all.
            kwargs: for the language model.

        Raises:
            InputError: image tokens and tiles differ in number.
        """
        outputs = self.model(
            input_ids=input_ids,
            pixel_values=pixel_values,
            attention_mask=attention_mask,
            position_ids=position_ids,
            past_key_values=past_key_values,
            inputs_embeds=inputs_embeds,
            **kwargs,
        )
        keep = slice(-logits_to_keep, None) if isinstance(logits_to_keep, int) else logits_to_keep
        logits = self.lm_head(outputs.last_hidden_state[:, keep, :])
        loss = None
        if labels is not None:
            size = self.config.text_config.vocab_size
            loss = self.loss_function(logits=logits, labels=labels, vocab_size=size, **kwargs)
        return VitaCausalOutput(
            loss=loss,
            logits=logits,
            past_key_values=outputs.past_key_values,
            hidden_states=outputs.hidden_states,
            attentions=outputs.attentions,
            image_hidden_states=outputs.image_hidden_states,
        )

    def generate(self, inputs: Tensor | None = None, *args: Any, **kwargs: Any) -> Any:
        """Generate as any transformers model; a repetition penalty sees new tokens only.

        The placeholders of image tokens lie outside the vocabulary, so they cannot be penalised.
        """
        ids = inputs if inputs is not None else kwargs.get("input_ids")
        settings = kwargs.get("generation_config") or self.generation_config
        penalty = kwargs.get("repetition_penalty", settings.repetition_penalty)
        if ids is not None and penalty not in (None, 1.0):
            new_only = RepetitionPenaltyLogitsProcessor(float(penalty), ids.shape[1])
            processors = [new_only, *(kwargs.get("logits_processor") or [])]
            kwargs["logits_processor"] = LogitsProcessorList(processors)
            kwargs["repetition_penalty"] = 1.0
        return super().generate(inputs, *args, **kwargs)  # type: ignore[misc]

    def _expand_inputs_for_generation(
        self, expand_size: int = 1, *args: Any, input_ids: Tensor | None = None, **kwargs: Any
    ) -> Any:
        """Copy each row's tiles together; by default every single tile would be doubled."""
        pixels = kwargs.pop("pixel_values", None)
        if pixels is not None and input_ids is not None:
            places = (input_ids == self.config.image_token_id).sum(1)
            per_row = pixels.split((places // self.config.tokens_per_tile).tolist())
            pixels = torch.cat([tiles for tiles in per_row for _ in range(expand_size)])
        ids, expanded = super()._expand_inputs_for_generation(  # type: ignore[misc]
            expand_size, *args, input_ids=cast(Any, input_ids), **kwargs
        )
        return ids, expanded if pixels is None else expanded | {"pixel_values": pixels}

    @classmethod
    def from_pretrained(
        cls, pretrained_model_name_or_path: Any, *args: Any, config: Any = None, **kwargs: Any
    ) -> Any:
        """Load a folder in the published or the transformers layout.

        Args:
            pretrained_model_name_or_path: the checkpoint folder. Nothing is fetched by network.
            args: as for any transformers model.
            config: a :class:`VitaConfig`; read from the folder by default.
            kwargs: as for any transformers model (``dtype``, ``device_map``,
                ``quantization_config`` …), and ``vita_model_type`` and ``vision_config`` to
                override what the folder says.

        Raises:
            WeightsError: no such folder, or tensors are missing or misshapen.
            InputError: it is no VITA checkpoint, or its model type is unknown.
        """
        overrides = {key: kwargs.pop(key, None) for key in ("vita_model_type", "vision_config")}
        load: Any = super().from_pretrained
        if pretrained_model_name_or_path is None:  # the caller brings a state dict
            return load(None, *args, config=config, **kwargs)
        if base := adapter_base(pretrained_model_name_or_path):
            model = cls.from_pretrained(base, *args, config=config, **overrides, **kwargs)
            check_adapter(Path(pretrained_model_name_or_path))
            model.load_adapter(str(pretrained_model_name_or_path))
            return model
        folder = checkpoint_folder(pretrained_model_name_or_path)
        published = is_published(folder)
        if not isinstance(config, VitaConfig):
            config = VitaConfig.from_pretrained(folder, **overrides)
        source = Source(folder, config, published)
        if source.published:
            kwargs, config = _prepare_published(source, kwargs)
        else:
            source.check(VitaForConditionalGeneration)
        where = None if "state_dict" in kwargs else folder
        kwargs |= safely.WEIGHTS
        report = kwargs.pop("output_loading_info", False)
        model, info = load(where, *args, config=config, output_loading_info=True, **kwargs)
        refuse_missing(folder, info["missing_keys"])
        model.config.name_or_path = str(folder)
        return (model, info) if report else model

    def save_pretrained(
        self, save_directory: Any, *args: Any, save_original_format: bool = False, **kwargs: Any
    ) -> None:
        """Write a normal transformers folder, not the published layout."""
        kwargs["save_original_format"] = save_original_format
        super().save_pretrained(save_directory, *args, **kwargs)


def _prepare_published(source: Source, kwargs: dict[str, Any]) -> tuple[dict[str, Any], VitaConfig]:
    """Check a published checkpoint, and what to give transformers so that it reads it."""
    from vitarmm_agent.models.vita.conversion import register_weight_conversion

    source.check(VitaForConditionalGeneration)
    register_weight_conversion()
    config = copy.deepcopy(source.config)
    config.dtype = source.dtype
    kwargs = {"generation_config": source.generation_config(), **kwargs}
    if source.borrowed:
        kwargs["state_dict"] = source.state_dict()
    return kwargs, config


AutoModelForImageTextToText.register(VitaConfig, VitaForConditionalGeneration, exist_ok=True)
