"""How each VITA model type writes a conversation: system texts, layouts, state markers.

Plain data and string functions; the texts are what the model was trained with, byte for byte.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

from vitarmm_agent.errors import InputError

Modality = Literal["lang", "image", "video"]
IMAGE_TAG = "<image>"
MEDIA_TAGS = (IMAGE_TAG, "<audio>", "<video>")

SYSTEM_LANG = (
    "You are an AI robot and your name is VITA. "
    "\n- You are a multimodal large language model developed by the open source community. "
    "Your aim is to be helpful, honest and harmless. "
    "\n- You support the ability to communicate fluently and answer user questions in multiple "
    "languages of the user's choice. "
    "\n- If the user corrects the wrong answer you generated, you will apologize and discuss the "
    "correct answer with the user."
)
_SYSTEM_VISUAL = (
    " \n- You must answer the question strictly according to the content of the {seen} given by "
    "the user, and it is strictly forbidden to answer the question without the content of the "
    "{seen}. Please note that you are seeing the {seen}, not the {other}."
)
SYSTEM_ZH = (
    "你是一个人工智能机器人。"
    "\n- 你是研究社区开发的大语言模型。你的设计宗旨是有益、诚实且无害。"
    "\n- 你支持使用用户选择的多种语言流利地进行交流并解答用户的问题。"
    "\n- 如果用户更正你生成的错误答案，你会向用户致歉并与用户探讨正确的答案。"
)
SYSTEM_TEXTS: dict[Modality, str] = {
    "lang": SYSTEM_LANG,
    "image": SYSTEM_LANG + _SYSTEM_VISUAL.format(seen="image", other="video"),
    "video": SYSTEM_LANG + _SYSTEM_VISUAL.format(seen="video", other="image"),
}

VITA_15_STATES = {"☜": "text", "☞": "speech", "☟": "background"}
VITA_10_STATES = {"<3>": "text", "<1>": "speech", "<2>": "background"}
READABLE_MARKERS = {"☜": "←", "☞": "→", "☟": "↓"}


@dataclass(frozen=True)
class Turn:
    """One message as the model sees it; images stand in ``text`` as ``<image>``, one per tile."""

    role: Literal["user", "assistant"]
    text: str


@dataclass(frozen=True)
class Conversation:
    """Layout of a conversation.

    Attributes:
        first: template of the system text and the first user turn.
        user: template of every later user turn.
        reply: template of an earlier reply.
        cue: what the prompt ends with, after which the model writes.
        stops: tokens that end a reply.
        states: state markers a reply begins with, and what each says.
        system: one system text for all modalities, or None for :data:`SYSTEM_TEXTS`.
        control: further strings with a meaning in this layout.
    """

    name: str
    first: str
    user: str
    reply: str
    cue: str
    stops: tuple[str, ...]
    states: dict[str, str]
    system: str | None = None
    control: tuple[str, ...] = ()

    def system_text(self, modality: Modality) -> str:
        """The system text the model was trained with for this modality."""
        return self.system or SYSTEM_TEXTS[modality]

    def prompt(self, turns: Sequence[Turn], modality: Modality | None = None) -> str:
        """The prompt whose next words are the model's reply, or go on with the last one.

        Args:
            turns: from the first user turn to the last, or to a reply that is to be continued; user and
                assistant take turns.
            modality: default: ``image`` when any turn holds ``<image>``, else ``lang``.

        Raises:
            InputError: the turns do not alternate, or do not begin with the user.
        """
        roles = [turn.role for turn in turns]
        if not roles or roles != (["user", "assistant"] * len(roles))[: len(roles)]:
            raise InputError(
                f"a VITA conversation begins with the user and alternates, got {roles!r}"
            )
        seen = modality or ("image" if any(IMAGE_TAG in turn.text for turn in turns) else "lang")
        text = self.first.format(system=self.system_text(seen), user=turns[0].text)
        begun = turns[-1].text if turns[-1].role == "assistant" else ""
        for turn in turns[1:-1] if begun else turns[1:]:
            template = self.user if turn.role == "user" else self.reply
            text += template.format(text=turn.text)
        return text + self.cue + begun

    def mark(self, reply: str, state: str | None) -> str:
        """An earlier reply with the marker it had; in training, history kept its markers."""
        marker = next((m for m, name in self.states.items() if name == state), "")
        return marker + reply


_QWEN = Conversation(
    name="qwen2p5_instruct",
    first="<|im_start|>system\n{system}<|im_end|>\n<|im_start|>user\n{user}<|im_end|>\n",
    user="<|im_start|>user\n{text}<|im_end|>\n",
    reply="<|im_start|>assistant\n{text}<|im_end|>\n",
    cue="<|im_start|>assistant\n",
    stops=("<|im_end|>", "<|im_start|>", "<|endoftext|>"),
    states=VITA_15_STATES,
    control=("<|im_start|>", "<|im_end|>", "<|endoftext|>"),
)
_MIXTRAL = Conversation(
    name="mixtral_two",
    first="system:{system}</s>\nuser:{user}</s>",
    user="\nuser:{text}</s>",
    reply="\nbot:{text}</s>",
    cue="\nbot:",
    stops=("</s>",),
    states=VITA_10_STATES,
    control=("<s>", "</s>"),
)
CONVERSATIONS: dict[str, Conversation] = {
    "qwen2p5_instruct": _QWEN,
    "mixtral_two": _MIXTRAL,
    "mixtral_zh": Conversation(**{**_MIXTRAL.__dict__, "name": "mixtral_zh", "system": SYSTEM_ZH}),
    "nemo": Conversation(
        name="nemo",
        first="[INST]{system}\n{user}[/INST]",
        user="[INST]{text}[/INST]",
        reply="{text}</s>",
        cue="",
        stops=("</s>", "[/INST]"),
        states=VITA_15_STATES,
        control=("<s>", "</s>", "[INST]", "[/INST]"),
    ),
}


@dataclass(frozen=True)
class ModelType:
    """One ``--vita-model-type``: what its ``config.json`` says, and what it is made of."""

    published: str
    text_model: str
    conversation: str


MODEL_TYPES: dict[str, ModelType] = {
    "qwen2p5_instruct": ModelType("vita-Qwen2", "qwen2", "qwen2p5_instruct"),
    "qwen2p5_fo_instruct": ModelType("vita-fo-Qwen2", "qwen2", "qwen2p5_instruct"),
    "mixtral-8x7b": ModelType("vita-mixtral", "mixtral", "mixtral_two"),
    "nemo": ModelType("vita-Mistral", "mistral", "nemo"),
}
PUBLISHED_TYPES = {kind.published: name for name, kind in MODEL_TYPES.items()}


def model_type(name: str) -> ModelType:
    """The model type of this name.

    Raises:
        InputError: there is no such model type.
    """
    if name not in MODEL_TYPES:
        raise InputError(
            f"VITA model type {name!r} is unknown; use one of {', '.join(MODEL_TYPES)}"
        )
    return MODEL_TYPES[name]


def conversation(name: str) -> Conversation:
    """The conversation layout of this name, or of the model type of this name.

    Raises:
        InputError: there is no such layout.
    """
    name = MODEL_TYPES[name].conversation if name in MODEL_TYPES else name
    if name not in CONVERSATIONS:
        raise InputError(
            f"conversation layout {name!r} is unknown; use one of {', '.join(CONVERSATIONS)}"
        )
    return CONVERSATIONS[name]
