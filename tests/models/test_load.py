"""From specs to chat models."""

from __future__ import annotations

import asyncio
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from langchain_core.language_models import GenericFakeChatModel
from langchain_core.messages import HumanMessage
from pydantic import SecretStr

from tests.models.tiny_gguf import write_gguf
from vitarmm_agent.errors import InputError, UserError, WeightsError
from vitarmm_agent.evals.speed.server import ScriptedServer, running
from vitarmm_agent.llama.process import Options
from vitarmm_agent.models import FolderChatModel, LocalChatModel, load_chat_model
from vitarmm_agent.models.load import look_for
from vitarmm_agent.models.retried import sampling
from vitarmm_agent.settings import Settings


@pytest.mark.parametrize("spec", ["", "gpt", "local:", ":x", "nobody:model", "local"])
def test_an_unknown_spec_lists_the_forms(spec: str) -> None:
    with pytest.raises(InputError, match="unknown model .*local:NAME_OR_PATH.*scripted:FILE"):
        load_chat_model(spec, settings=Settings())


def test_missing_weights_name_the_command(tmp_path: Path) -> None:
    with pytest.raises(WeightsError, match="vitarmm models pull smollm2-135m-instruct"):
        load_chat_model("local:smollm2-135m-instruct", settings=Settings(home=tmp_path))
    with pytest.raises(WeightsError, match="no such file or folder"):
        load_chat_model("local:./nowhere", settings=Settings(home=tmp_path))


def test_settings_decide_decoding_and_options_win(tiny: Path, tmp_path: Path) -> None:
    settings = Settings(home=tmp_path, temperature=0.5, max_tokens=7, seed=3)
    model = load_chat_model(f"local:{tiny}", settings=settings, device="cpu", temperature=0.25)
    assert isinstance(model, FolderChatModel)
    assert (model.temperature, model.max_tokens, model.seed) == (0.25, 7, 3)
    assert str(model.engine.model.dtype) == "torch.bfloat16"


def test_settings_decide_how_a_gguf_file_is_held(tmp_path: Path) -> None:
    path = write_gguf(tmp_path / "tiny.gguf")
    settings = Settings(
        home=tmp_path, seed=3, context=256, parallel=2, threads=1, prefix_cache_mb=16
    )
    model = load_chat_model(f"local:{path}", settings=settings, temperature=0.25)
    assert isinstance(model, LocalChatModel)
    assert (model.temperature, model.seed) == (0.25, 3)
    assert model.server.options == Options(context=256, slots=2, threads=1, cache_mb=16)
    assert model.server.about()["total_slots"] == 2


def test_a_path_may_hold_a_plus(tmp_path: Path) -> None:
    path = write_gguf(tmp_path / "a+b ü.gguf")
    model = load_chat_model(f"local:{path}", settings=Settings(home=tmp_path))
    assert model.model == str(path) and model.adapter is None  # type: ignore[attr-defined]
    with pytest.raises(InputError, match="no adapter stands behind the plus"):
        load_chat_model("local:smollm2-135m-instruct+", settings=Settings())


@pytest.mark.parametrize("form", ["local:{}", "vita:{}", "scripted:{}", "local:BASE+{}"])
@pytest.mark.parametrize(
    ("path", "complaint"),
    [
        ("~nosuch/m.gguf", "~nosuch/m.gguf"),  # no user's home: a name, as in a shell
        ("x" * 5000, "path '(BASE.)?x{99,200}…' cannot be used: File name too long"),
        ("a\0b", "path .*b' cannot be used: embedded null byte"),
    ],
)
def test_a_path_that_cannot_be_is_named(
    form: str, path: str, complaint: str, tmp_path: Path
) -> None:
    base = write_gguf(tmp_path / "m.gguf")
    spec = form.format(path).replace("BASE", str(base))
    complaint = complaint.replace("BASE", str(base))
    for open_ in (load_chat_model, look_for):
        with pytest.raises(UserError, match=complaint):
            open_(spec, settings=Settings(home=tmp_path))


def test_a_file_may_begin_with_a_tilde(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    write_gguf(tmp_path / "~m.gguf")
    model = load_chat_model("local:~m.gguf", settings=Settings(home=tmp_path))
    assert model.server.weights.samefile(tmp_path / "~m.gguf")  # type: ignore[attr-defined]


def test_what_is_no_chat_model_is_named(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="'all-minilm-l6-v2' gives vectors"):
        load_chat_model("local:all-minilm-l6-v2", settings=Settings())
    with pytest.raises(WeightsError, match="is not a model folder: it has no config.json"):
        load_chat_model(f"local:{tmp_path}", settings=Settings())


@pytest.mark.parametrize(
    ("option", "complaint"),
    [({"temprature": 1}, "temprature: Extra"), ({"top_p": 2}, "top_p: Input should be less")],
)
def test_wrong_options_are_named(tiny: Path, option: dict[str, object], complaint: str) -> None:
    with pytest.raises(InputError, match=f"options of 'local:.*' cannot be used: {complaint}"):
        load_chat_model(f"local:{tiny}", settings=Settings(), device="cpu", **option)


def test_hosted_models_get_settings_and_server() -> None:
    settings = Settings(base_url="http://127.0.0.1:9/v1", temperature=0.5, max_tokens=7, seed=3)
    model = load_chat_model("openai:some-model", settings=settings)
    assert model.model_name == "some-model"  # type: ignore[attr-defined]
    assert model.openai_api_base == "http://127.0.0.1:9/v1"  # type: ignore[attr-defined]
    assert (model.temperature, model.max_tokens, model.seed) == (0.5, 7, 3)  # type: ignore[attr-defined]


def test_a_hosted_model_may_be_asked_from_one_event_loop_after_another() -> None:
    """A connection stays open as long as its loop, and no longer."""
    open_at_once: list[int] = []
    server = ScriptedServer(lambda request: "25", latency=0.02)

    async def asked(times: int) -> None:
        replies = [await model.ainvoke("How many?") for _ in range(times)]
        together = await asyncio.gather(*(model.ainvoke("How many?") for _ in range(times)))
        open_at_once.append(server.connections)
        assert all(reply.text == "25" for reply in [*replies, *together])

    with running(server) as url:
        model = load_chat_model("openai:some-model", settings=Settings(base_url=url))
        for times in [3, 1] * 3:
            with asyncio.Runner() as runner:  # inspect_ai makes `asyncio.run` keep its loop
                runner.run(asked(times))
    assert open_at_once == [3, 1] * 3


def test_a_hosted_model_without_key_or_server_says_what_is_missing(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.delenv("OPENAI_API_KEY", raising=False)
    with pytest.raises(InputError, match="OPENAI_API_KEY, or base_url"):
        load_chat_model("openai:some-model", settings=Settings())


class Keyed(GenericFakeChatModel):
    """A provider's client, which takes an empty key and would fail at its first call."""

    some_api_key: SecretStr = SecretStr("")

    @property
    def lc_secrets(self) -> dict[str, str]:
        return {"some_api_key": "SOME_API_KEY", "some_user": "SOME_USER"}


def test_an_empty_key_is_said_before_the_first_call(monkeypatch: pytest.MonkeyPatch) -> None:
    from vitarmm_agent.models.load import _check_key

    without = Keyed(messages=iter(()))
    with pytest.raises(InputError, match=r"no key for 'some:model': set SOME_API_KEY"):
        _check_key("some:model", without)
    _check_key("some:model", Keyed(messages=iter(()), some_api_key=SecretStr("k")))
    monkeypatch.setenv("SOME_AUTH_TOKEN", "t")
    _check_key("some:model", without)


def test_a_provider_that_is_not_installed_names_its_package() -> None:
    with pytest.raises(InputError, match="langchain-cohere"):
        load_chat_model("cohere:command", settings=Settings())


@pytest.mark.parametrize(
    ("package", "spec", "extra"),
    [
        ("langchain_openai", "openai:x", "openai"),
        ("xllamacpp", "local:GGUF", "local"),
        ("transformers", "local:FOLDER", "torch"),
        ("torch", "vita:x", "torch"),
        ("rapidocr_onnxruntime", "scripted:SCRIPT", "ocr"),
    ],
)
def test_a_missing_package_names_the_extra(
    package: str, spec: str, extra: str, tmp_path: Path
) -> None:
    """In a process where the package cannot be imported."""
    (tmp_path / "script.json").write_text("[]")
    (tmp_path / "config.json").write_text("{}")
    for word, path in (("SCRIPT", tmp_path / "script.json"), ("FOLDER", tmp_path)):
        spec = spec.replace(word, str(path))
    if "GGUF" in spec:
        spec = spec.replace("GGUF", str(write_gguf(tmp_path / "tiny.gguf")))
    code = (
        f"import sys; sys.modules[{package!r}] = None\n"
        "from vitarmm_agent.errors import MissingExtraError\n"
        "from vitarmm_agent.models import load_chat_model\n"
        "from vitarmm_agent.settings import Settings\n"
        f"settings = Settings(images={'ocr' if extra == 'ocr' else 'model'!r}, base_url='http://127.0.0.1:9')\n"
        f"try: load_chat_model({spec!r}, settings=settings)\n"
        "except MissingExtraError as error: print(error.extra, error)\n"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.startswith(f"{extra} ") and f"vitarmm-agent[{extra}]" in done.stdout


def test_importing_the_package_loads_no_torch() -> None:
    code = (
        "import sys, vitarmm_agent.models, vitarmm_agent.models.load, vitarmm_agent.weights;"
        "print([m for m in ('torch', 'transformers', 'langchain') if m in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


@pytest.mark.weights
def test_the_smallest_catalogue_model_speaks(weights: object) -> None:
    weights("smollm2-135m-instruct")  # type: ignore[operator]
    model = load_chat_model("local:smollm2-135m-instruct", max_tokens=24)
    reply = model.invoke([HumanMessage("Who wrote Hamlet?")])
    assert "Shakespeare" in reply.text


@pytest.mark.parametrize(
    ("name", "temperature"),
    [
        ("claude-sonnet-5", None),
        ("claude-opus-4-7", None),
        ("claude-haiku-5-5", None),
        ("claude-sonnet-4-6", 0.0),
        ("claude-sonnet-4-5-20250929", 0.0),
        ("claude-opus-4-20250514", 0.0),
        ("claude-3-7-sonnet-20250219", 0.0),
    ],
)
def test_a_claude_that_refuses_a_temperature_is_told_none(
    name: str, temperature: float | None, monkeypatch: pytest.MonkeyPatch
) -> None:
    """From 4.7 on, Anthropic answers 400 to every temperature but its own."""
    pytest.importorskip("langchain_anthropic")
    monkeypatch.setenv("ANTHROPIC_API_KEY", "a-key-that-is-none")
    model: Any = load_chat_model(f"anthropic:{name}", settings=Settings())
    assert model.temperature == temperature
    again: Any = sampling(model, 0.7, "run/2")
    assert again.temperature == (None if temperature is None else 0.7)
