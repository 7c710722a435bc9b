"""One frozen :class:`Settings`: explicit > environment ``VITARMM_*`` > ``vitarmm.toml`` > default."""

from __future__ import annotations

import hashlib
import os
import re
from pathlib import Path
from typing import Any, Literal
from urllib.parse import urlsplit

import platformdirs
from pydantic import Field, ValidationError, field_validator
from pydantic_core import ErrorDetails
from pydantic_settings import (
    BaseSettings,
    InitSettingsSource,
    PydanticBaseSettingsSource,
    SettingsConfigDict,
)

from vitarmm_agent.ages import age
from vitarmm_agent.config_file import read_config
from vitarmm_agent.errors import InputError
from vitarmm_agent.nearest import did_you_mean
from vitarmm_agent.redaction import (
    fingerprint,
    keep_secrets_of_address,
    keep_secrets_of_data,
    public_address,
    redact,
)

ADDRESSES = ("base_url", "embedder_base_url", "memory", "database")
DEFAULT_CHAT_MODEL = "local:qwen2.5-coder-0.5b-instruct"
DEFAULT_FEEDBACK = "arithmetic,borrowed"
DEFAULT_EMBEDDER = "local:all-minilm-l6-v2"


class Settings(BaseSettings):
    """Everything that can be configured, in one place.

    Read with :meth:`load`, which turns a bad value into one clear line. The file is ``vitarmm.toml``
    in the working directory, or the path in ``VITARMM_CONFIG``.
    """

    model_config = SettingsConfigDict(env_prefix="VITARMM_", extra="forbid", frozen=True)

    # who does what
    reasoner: str = Field(
        default=DEFAULT_CHAT_MODEL, description="Chat model that solves the problem."
    )
    feedback: str = Field(
        default=DEFAULT_FEEDBACK,
        description="Verifiers in order, by name; `judge` asks the judge model.",
    )
    judge: str | None = Field(
        default=None, description="Judging chat model; default: the reasoner."
    )
    judge_pass_precision: float | None = Field(
        default=None,
        ge=0,
        le=1,
        description="Measured share of the judge's passes on such problems that are right; from 0.5 on "
        "they decide, else (and unmeasured) they are advice.",
    )
    judge_fail_precision: float | None = Field(
        default=None, ge=0, le=1, description="The same of its fails."
    )
    teacher: str | None = Field(
        default=None,
        description="Stronger chat model that is asked once for a right solution where a run ends "
        "without a pass; it is remembered, and shown to problems of its kind.",
    )
    trusted_precision: float = Field(
        default=0.95,
        ge=0,
        le=1,
        description="Measured precision of a pass from which a run's own solution, after a fail, is "
        "remembered as a worked example; a person's pass always is enough.",
    )
    teacher_calls: int | None = Field(
        default=None,
        ge=0,
        description="How often one agent may ask the teacher; default: no limit.",
    )
    rmm: str | None = Field(
        default=None,
        description="Memory-writing chat model, or `rule`, which asks none; default: `rule` where the "
        "reasoner is `local:`, else the reasoner.",
    )
    rmm_think: bool = Field(
        default=False, description="Let the memory writer write a thought before it decides."
    )
    embedder: str = Field(default=DEFAULT_EMBEDDER, description="Embedding model of the memory.")
    embedder_base_url: str | None = Field(
        default=None,
        description="OpenAI-compatible server of an `openai:` embedder; default: `base_url`.",
    )
    # the loop
    max_iterations: int = Field(
        default=3, ge=1, le=100, description="Attempts per problem at most."
    )
    oracle: bool = Field(
        default=False, description="Let the reference verifier see the gold answer."
    )
    max_seconds: float | None = Field(default=None, gt=0, description="Time budget of one run.")
    max_run_tokens: int | None = Field(default=None, gt=0, description="Token budget of one run.")
    images: Literal["model", "ocr"] = Field(
        default="model",
        description="`model` hands images to the reasoner; `ocr` reads them to text first.",
    )
    server_hosts: tuple[str, ...] = Field(
        default=(),
        description="Names in the Host header that the LangGraph and MCP servers answer besides localhost "
        "(and bare addresses, the LangGraph server), such as that of a proxy in front.",
    )
    server_origins: tuple[str, ...] = Field(
        default=(),
        description="Web origins whose pages may use the LangGraph and MCP servers, such as "
        "`https://smith.langchain.com` for LangGraph Studio.",
    )
    page_models: tuple[str, ...] = Field(
        default=(),
        description="Models that visitors of the page may choose besides those of the settings, the "
        "catalogue's, and others of the settings' hosted providers; `*` is any.",
    )
    run_models: tuple[str, ...] = Field(
        default=(),
        description="Models, by spec, that a run's or an assistant's context may choose as `reasoner`, "
        "`judge`, `rmm` or `teacher`.",
    )
    run_verifiers: tuple[str, ...] = Field(
        default=(), description="Verifiers, by name, that it may choose as `feedback`."
    )
    run_memories: tuple[str, ...] = Field(
        default=(), description="Folders or URLs that it may choose as `memory`, or `off`."
    )
    local_files: bool = Field(
        default=False,
        description="Read image files that graph input and MCP clients name by path; a Python "
        "caller's `agent.solve` and `--image` read them in any case.",
    )
    # decoding
    temperature: float = Field(default=0.0, ge=0, le=2, description="0 is greedy.")
    retry_temperature: float = Field(
        default=0.7,
        ge=0,
        le=2,
        description="Of another attempt that has no mended one to go on from, where `temperature` is 0.",
    )
    max_tokens: int = Field(default=512, ge=1, description="New tokens per model call at most.")
    seed: int | None = Field(default=None, description="Seed of sampling.")
    base_url: str | None = Field(
        default=None, description="OpenAI-compatible server of `openai:` models."
    )
    extra_body: dict[str, Any] | None = Field(
        default=None, description="Further fields of each request to that server, as JSON."
    )
    # local GGUF models, on llama.cpp
    context: int = Field(
        default=4096,
        ge=256,
        le=1_048_576,
        description="Tokens that one call can hold, prompt and reply together; at most what the model "
        "was made for.",
    )
    parallel: int = Field(
        default=4,
        ge=1,
        le=64,
        description="Calls answered at once; each takes memory for its context.",
    )
    threads: int | None = Field(
        default=None,
        ge=1,
        description="Threads that generate; default: half of the cores, at least two.",
    )
    prefix_cache_mb: int = Field(
        default=512,
        ge=0,
        description="Memory for the beginnings of prompts that may come again, per model, in MiB.",
    )
    # vita: models
    vita_model_type: str | None = Field(
        default=None,
        description="`qwen2p5_instruct`, `qwen2p5_fo_instruct`, `mixtral-8x7b` or `nemo`; "
        "default: what the checkpoint says.",
    )
    min_tiles: int = Field(default=1, ge=1, le=64, description="Tiles per image at least.")
    max_tiles: int = Field(default=12, ge=1, le=64, description="Tiles per image at most.")
    thumbnail: bool = Field(
        default=True, description="Add the whole image, small, behind its tiles."
    )
    # where things lie
    home: Path = Field(
        default_factory=lambda: platformdirs.user_cache_path("vitarmm"),
        description="Cache of model weights.",
    )
    data_dir: Path = Field(
        default_factory=lambda: platformdirs.user_data_path("vitarmm"),
        description="Memory, traces and images.",
    )
    memory: str | None = Field(
        default=None,
        description="Folder or http(s) URL of the memory, or `off`; default: DATA_DIR/memory.",
    )
    database: str | None = Field(
        default=None,
        description="`postgresql://` address of a database that holds traces, images and the memory's "
        "history for several machines, or `off`; default: files under DATA_DIR.",
    )
    namespace: tuple[str, ...] = Field(
        default=("default", "agent"), description="Namespace of the memory: whose it is."
    )

    # upkeep of a server that runs for long
    upkeep_hours: float | None = Field(
        default=None,
        gt=0,
        description="Hours between rounds in which the page, the MCP and the LangGraph server delete old "
        "runs, expired entries and old history; default: never.",
    )
    keep_runs: str = Field(default="90d", description="Age at which such a round deletes a run.")
    keep_history: str = Field(
        default="365d",
        description="How far back such a round leaves the history of the memory, for `undo` and `as_of`.",
    )

    @classmethod
    def load(cls, **explicit: Any) -> Settings:
        """Read settings from all sources; values of ``None`` in ``explicit`` are left to them.

        Raises:
            InputError: a value is out of range, of the wrong type, or a key is unknown.
        """
        try:
            return cls(**{key: value for key, value in explicit.items() if value is not None})
        except ValidationError as error:
            raise InputError("; ".join(map(_fault, error.errors()))) from None
        except InputError:
            raise
        except ValueError as error:  # a variable of the environment that is no JSON
            raise InputError(f"settings cannot be read: {error}") from None

    @classmethod
    def settings_customise_sources(
        cls,
        settings_cls: type[BaseSettings],
        init_settings: PydanticBaseSettingsSource,
        env_settings: PydanticBaseSettingsSource,
        dotenv_settings: PydanticBaseSettingsSource,
        file_secret_settings: PydanticBaseSettingsSource,
    ) -> tuple[PydanticBaseSettingsSource, ...]:
        """Order the sources: explicit, environment, file."""
        file = InitSettingsSource(settings_cls, init_kwargs=read_config())
        return init_settings, env_settings, file

    @field_validator("keep_runs", "keep_history")
    @classmethod
    def _is_age(cls, value: str) -> str:
        age(value)
        return value

    @field_validator("home", "data_dir", "memory", mode="before")
    @classmethod
    def _at_home(cls, value: Any) -> Any:
        """``~`` is the home folder; no shell has seen a value of a file."""
        return os.path.expanduser(value) if isinstance(value, str | Path) else value

    @field_validator("memory")
    @classmethod
    def _folder_or_server(cls, value: str | None) -> str | None:
        """A mistyped address would be a folder that is made, and an empty memory."""
        place = (value or "").strip()
        scheme, found, rest = place.rpartition("://")
        if found and scheme.lower() in ("http", "https"):
            return f"{scheme.lower()}://{rest}"
        if found or re.fullmatch(r"[\w.-]{2,}:\d{2,5}/?", place):
            raise ValueError(
                "a memory is `off`, a folder, or the http://HOST:PORT of a Chroma server"
            )
        return value

    @field_validator("database")
    @classmethod
    def _postgres(cls, value: str | None) -> str | None:
        if not value or value == "off":
            return value
        if not value.startswith(("postgresql://", "postgres://")):
            raise ValueError(
                "a database is `off`, or postgresql://HOST/NAME (with user:password@HOST)"
            )
        if "@" in urlsplit(value).path:
            raise ValueError("a / or @ in its name or password is written %2F or %40")
        return value

    def __repr_args__(self) -> list[tuple[str | None, Any]]:
        """Nothing that :meth:`public` leaves out."""
        return [*self.public().items()]

    def model_post_init(self, context: Any, /) -> None:
        """Keep what is secret in them out of all text from now on."""
        for address in filter(None, (getattr(self, name) for name in ADDRESSES)):
            keep_secrets_of_address(address)
        keep_secrets_of_data(self.extra_body)

    def public(self, *, only_set: bool = False) -> dict[str, Any]:
        """These settings as plain data that may be shown, kept in traces, and mailed.

        Addresses are without name, password and query; of ``extra_body`` there is a hash.

        Args:
            only_set: leave out what has its default.
        """
        values = self.model_dump(mode="json", exclude_unset=only_set)
        for name in ADDRESSES:
            if values.get(name):
                values[name] = public_address(values[name])
        if values.get("extra_body") is not None:
            values["extra_body"] = fingerprint(values["extra_body"])
        return {k: redact(v) if isinstance(v, str) else v for k, v in values.items()}

    @property
    def judge_precision(self) -> dict[tuple[str, str], float]:
        """What is known of the judge, by (verifier, verdict)."""
        known = {"pass": self.judge_pass_precision, "fail": self.judge_fail_precision}
        return {("judge", verdict): value for verdict, value in known.items() if value is not None}

    @property
    def memory_location(self) -> str:
        """Folder or URL of the memory, or ``off``."""
        return self.memory or str(self.data_dir / "memory")

    @property
    def checkpoints_path(self) -> Path:
        """SQLite file that holds the checkpoints, which are the traces."""
        return self.data_dir / "traces.sqlite"

    @property
    def database_address(self) -> str | None:
        """Address of the database, or None where all is in files."""
        return None if self.database == "off" else self.database or None

    @property
    def index_path(self) -> Path:
        """SQLite file of summaries of runs; derived, and so of this machine also beside a database."""
        address = self.database_address
        own = f"-{hashlib.sha256(address.encode()).hexdigest()[:8]}" if address else ""
        return self.data_dir / f"traces-index{own}.sqlite"

    @property
    def media_dir(self) -> Path:
        """Folder of images, by content hash."""
        return self.data_dir / "media"


def _fault(error: ErrorDetails) -> str:
    """What is wrong with a value; an unknown name may be that of a key, and its value is not told."""
    name = ".".join(map(str, error["loc"]))
    value = error["input"]
    if error["type"] == "extra_forbidden":
        near = did_you_mean(name, Settings.model_fields)
        return f"setting {name} is unknown{near}, got {type(value).__name__}"
    if name in ADDRESSES and isinstance(value, str):
        value = public_address(value) if "://" in value else f"{value.partition('=')[0][:40]}…"
    got = type(value).__name__ if name.startswith("extra_body") else repr(value)
    return f"setting {name}: {error['msg']}, got {got}"
