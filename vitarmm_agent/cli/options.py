"""Options that several commands share: each is a field of the settings, by its name."""

from __future__ import annotations

import functools
import inspect
from collections.abc import Callable, Mapping
from copy import copy
from types import MappingProxyType
from typing import Annotated, Any, get_args

import typer

from vitarmm_agent.settings import DEFAULT_CHAT_MODEL, Settings

Reasoner = Annotated[
    str | None,
    typer.Option(
        "--reasoner",
        "-r",
        help="Chat model that solves: local:NAME, vita:PATH, provider:model.",
        show_default=DEFAULT_CHAT_MODEL,
    ),
]
FeedbackOption = Annotated[
    str | None, typer.Option("--feedback", "-f", help="Names of verifiers, in order.")
]
Judge = Annotated[
    str | None,
    typer.Option(help="Chat model that the verifier `judge` asks.", show_default="the reasoner"),
]
Rmm = Annotated[
    str | None,
    typer.Option(
        help="Chat model that writes the memory, or `rule`.",
        show_default="rule where the reasoner is local, else the reasoner",
    ),
]
Teacher = Annotated[
    str | None,
    typer.Option(
        help="Stronger chat model, asked once when a run ends without a pass.", show_default="none"
    ),
]

_OPTIONS: dict[str, Any] = {
    "reasoner": Reasoner,
    "feedback": FeedbackOption,
    "judge": Judge,
    "rmm": Rmm,
    "teacher": Teacher,
    "memory": Annotated[
        str | None,
        typer.Option(
            "--memory",
            "-m",
            help="Folder or Chroma server URL of the memory, or off.",
            show_default="DATA_DIR/memory",
        ),
    ],
    "database": Annotated[
        str | None,
        typer.Option(
            help="postgresql://… that several machines share for traces, images and history.",
            show_default="files under DATA_DIR",
        ),
    ],
    "namespace": Annotated[
        str | None,
        typer.Option(help="Whose memory: parts joined by slashes (team/agent), or a JSON array."),
    ],
    "max_iterations": Annotated[
        int | None, typer.Option("--max-iterations", "-n", help="Attempts per problem at most.")
    ],
    "max_tokens": Annotated[int | None, typer.Option(help="New tokens per model call at most.")],
    "temperature": Annotated[
        float | None, typer.Option(help="How freely words are drawn; 0 takes the likeliest.")
    ],
    "seed": Annotated[
        int | None,
        typer.Option(help="Seed of all that is drawn at random.", show_default="none"),
    ],
    "base_url": Annotated[
        str | None,
        typer.Option(
            help="OpenAI-compatible server of openai: models.", show_default="OPENAI_BASE_URL"
        ),
    ],
    "images": Annotated[
        str | None,
        typer.Option(
            "--images-as", help="model: the reasoner sees images; ocr: it gets the text in them."
        ),
    ],
    "max_tiles": Annotated[
        int | None, typer.Option(help="Tiles per image at most, for vita: models.")
    ],
    "vita_model_type": Annotated[
        str | None,
        typer.Option(help="Model type of a VITA checkpoint.", show_default="what it says"),
    ],
}
PANELS = {
    "Who does what": ("reasoner", "feedback", "judge", "rmm", "teacher", "base_url"),
    "Memory": ("memory", "database", "namespace"),
    "Limits and decoding": ("max_iterations", "max_tokens", "temperature", "seed"),
    "Images": ("images", "max_tiles", "vita_model_type"),
}
"""Where help shows them."""
Given = Mapping[str, Any]
"""Settings that were given on the command line, by name."""
NOTHING: Given = MappingProxyType({})
ROLES = ("reasoner", "feedback", "judge", "rmm", "teacher", "memory", "database", "namespace")
"""Who does what in a run, and with whose memory."""
PLACE = ("memory", "database", "namespace")
"""Which memory, and where its history is."""
RUNNING = (*ROLES, *(name for name in _OPTIONS if name not in ROLES))
"""All that can be set for one run."""


def takes_settings(*names: str) -> Callable[[Callable[..., None]], Callable[..., None]]:
    """Give a command these options, in the place of its parameter ``given``.

    ``given`` receives those that were set, as :meth:`Settings.load` takes them.
    """

    def decorate(command: Callable[..., None]) -> Callable[..., None]:
        @functools.wraps(command)
        def with_options(*values: Any, **named: Any) -> None:
            chosen = {name: named.pop(name, None) for name in names}
            given = {name: value for name, value in chosen.items() if value is not None}
            if "namespace" in given:
                given["namespace"] = _labels(given["namespace"])
            command(*values, given=given, **named)

        signature = _with_options(inspect.signature(command, eval_str=True), names)
        with_options.__signature__ = signature  # type: ignore[attr-defined]
        with_options.__annotations__ = {
            parameter.name: parameter.annotation for parameter in signature.parameters.values()
        }
        return with_options

    return decorate


def _with_options(signature: inspect.Signature, names: tuple[str, ...]) -> inspect.Signature:
    parameters: list[inspect.Parameter] = []
    for parameter in signature.parameters.values():
        if parameter.name != "given":
            parameters.append(parameter.replace(kind=parameter.KEYWORD_ONLY))
            continue
        parameters += [
            inspect.Parameter(name, parameter.KEYWORD_ONLY, default=None, annotation=_told(name))
            for name in names
        ]
    return signature.replace(parameters=parameters)


def _told(name: str) -> Any:
    """An option with its panel and the default of its setting."""
    kind, option = get_args(_OPTIONS[name])
    default = Settings.model_fields[name].default
    told = copy(option)
    told.rich_help_panel = next(panel for panel, names in PANELS.items() if name in names)
    if default is not None:
        told.show_default = "/".join(default) if isinstance(default, tuple) else str(default)
    return Annotated[kind, told]


def _labels(namespace: str) -> tuple[str, ...]:
    from vitarmm_agent.memory_store.namespaces import parse_namespace

    return parse_namespace(namespace)
