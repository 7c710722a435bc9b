"""Configuration of VITA on transformers: a language model, a vision tower and what joins them."""

from __future__ import annotations

import re
from typing import Any

from huggingface_hub.dataclasses import strict
from transformers import AutoConfig, PreTrainedConfig
from transformers.configuration_utils import SubConfigSpec
from transformers.models.internvl.configuration_internvl import InternVLVisionConfig

from vitarmm_agent.errors import InputError
from vitarmm_agent.models.vita.conversation import PUBLISHED_TYPES, model_type

IMAGE_TOKEN_ID = -200
TILE_MERGE = 2  # 2 × 2 neighbouring patches become one token
_PROJECTOR = re.compile(r"mlp(\d+)x_gelu")


@strict
class VitaConfig(PreTrainedConfig):
    r"""Configuration of :class:`VitaForConditionalGeneration`.

    Attributes:
        text_config: stock Qwen2, Mixtral or Mistral configuration.
        vision_config: InternVL vision configuration; the default is InternViT-300M-448px.
        vita_model_type: one of ``qwen2p5_instruct``, ``qwen2p5_fo_instruct``, ``mixtral-8x7b``,
            ``nemo``; it decides the conversation layout.
        mm_projector_type: ``mlp<N>x_gelu``, or ``linear``.
        image_token_id: placeholder in ``input_ids``, outside the vocabulary so that no text can
            produce it.
        feature_scale: factor on the tower's features before they are merged. VITA was trained
            with 0.5.
        max_sequence_length: longest prompt, image tokens included, the model was trained for.
    """

    model_type = "vita"
    sub_configs_defaults = {
        "text_config": SubConfigSpec(config_class=AutoConfig, model_type="qwen2"),
        "vision_config": SubConfigSpec(
            config_class=InternVLVisionConfig, init_kwargs={"attention_bias": True}
        ),
    }

    text_config: Any = None
    vision_config: Any = None
    vita_model_type: str = "qwen2p5_instruct"
    mm_projector_type: str = "mlp2x_gelu"
    image_token_id: int = IMAGE_TOKEN_ID
    feature_scale: float = 0.5
    max_sequence_length: int | None = 6200
    tie_word_embeddings: bool = False

    def __post_init__(self, **kwargs: Any) -> None:
        """Check what the fields' types cannot say.

        Raises:
            InputError: unknown model type or projector, or a tile that does not divide.
        """
        super().__post_init__(**kwargs)  # type: ignore[no-untyped-call]
        model_type(self.vita_model_type)
        self.projector_layers  # noqa: B018  raises for an unknown projector
        self.tokens_per_tile  # noqa: B018  raises for a tile that does not divide

    @property
    def tile_size(self) -> int:
        """Side of a tile in pixels."""
        height, width = self.vision_config.image_size
        if height != width:
            raise InputError(f"VITA tiles are square; the vision tower takes {height}×{width}")
        return int(height)

    @property
    def tokens_per_tile(self) -> int:
        """Tokens that one tile becomes: 256 at the published size."""
        patches, rest = divmod(self.tile_size, int(self.vision_config.patch_size[0]))
        if rest or patches % TILE_MERGE:
            raise InputError(
                f"tiles of {self.tile_size} pixels cannot be cut into an even number of patches "
                f"of {self.vision_config.patch_size[0]} pixels per side"
            )
        return (patches // TILE_MERGE) ** 2

    @property
    def projector_layers(self) -> int:
        """Number of linear layers of the projector."""
        if self.mm_projector_type == "linear":
            return 1
        match = _PROJECTOR.fullmatch(self.mm_projector_type)
        if match is None:
            raise InputError(
                f"mm_projector_type {self.mm_projector_type!r} is unknown; "
                "VITA uses mlp2x_gelu (in general mlp<N>x_gelu)"
            )
        return int(match[1])

    @property
    def context_length(self) -> int:
        """Longest prompt in tokens: what it was trained for, at most what positions allow."""
        positions = int(self.text_config.max_position_embeddings)
        return min(self.max_sequence_length or positions, positions)

    @classmethod
    def get_config_dict(
        cls, pretrained_model_name_or_path: Any, **kwargs: Any
    ) -> tuple[dict[str, Any], dict[str, Any]]:
        """Read ``config.json``, translated when it is in the published layout."""
        overrides = {key: kwargs.pop(key, None) for key in ("vita_model_type", "vision_config")}
        config_dict, kwargs = super().get_config_dict(pretrained_model_name_or_path, **kwargs)
        return _translated(config_dict, pretrained_model_name_or_path, **overrides), kwargs

    @classmethod
    def from_dict(cls, config_dict: dict[str, Any], **kwargs: Any) -> Any:
        """Build from a dictionary in the published or the transformers layout.

        Raises:
            InputError: it describes no VITA model, or a VITA model type that is unknown.
        """
        overrides = {key: kwargs.pop(key, None) for key in ("vita_model_type", "vision_config")}
        folder = kwargs.get("name_or_path") or ""
        translated = _translated(config_dict, folder, **overrides)
        return super(VitaConfig, VitaConfig).from_dict(translated, **kwargs)


def _translated(
    config_dict: dict[str, Any], folder: Any, vita_model_type: str | None, vision_config: Any
) -> dict[str, Any]:
    if "text_config" not in config_dict and config_dict.get("model_type") != VitaConfig.model_type:
        from vitarmm_agent.models.vita.conversion import translate_config

        return translate_config(config_dict, folder, vita_model_type, vision_config)
    overrides = {"vita_model_type": vita_model_type, "vision_config": vision_config}
    return config_dict | {key: value for key, value in overrides.items() if value is not None}


def _published_config_class(published: str) -> type[VitaConfig]:
    """A class for the Auto classes to find; its ``from_dict`` returns a plain VitaConfig."""
    return type("PublishedVitaConfig", (VitaConfig,), {"model_type": published})


AutoConfig.register(VitaConfig.model_type, VitaConfig, exist_ok=True)
for _published in PUBLISHED_TYPES:
    AutoConfig.register(_published, _published_config_class(_published), exist_ok=True)
