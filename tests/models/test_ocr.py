"""Text-only models on images, with the real OCR engine."""

from __future__ import annotations

import base64
import io
from pathlib import Path
from typing import Any

import pytest
from langchain_core.messages import HumanMessage, SystemMessage
from PIL import Image, ImageDraw, ImageFont
from pydantic import BaseModel

from vitarmm_agent.effects import run
from vitarmm_agent.errors import InputError
from vitarmm_agent.models import ScriptedChatModel, load_chat_model
from vitarmm_agent.models.calls import ask_structured
from vitarmm_agent.models.ocr import OcrChatModel, Word, layout
from vitarmm_agent.settings import Settings

pytest.importorskip("rapidocr_onnxruntime")


@pytest.fixture(scope="module")
def table(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    """A picture of a title over a table of two columns."""
    image = Image.new("RGB", (560, 260), "white")
    draw, font = ImageDraw.Draw(image), ImageFont.load_default(28)
    for x, y, text in [
        (20, 20, "Lunch"), (20, 90, "Monday"), (300, 94, "12 kg"),
        (20, 160, "Tuesday"), (300, 158, "75 kg"),
    ]:  # fmt: skip
        draw.text((x, y), text, fill="black", font=font)
    path = tmp_path_factory.mktemp("ocr") / "table.png"
    image.save(path)
    return {"type": "image", "path": str(path)}


def wrapped(*replies: Any) -> tuple[OcrChatModel, ScriptedChatModel]:
    inner = ScriptedChatModel.of(*replies)
    return OcrChatModel.over(inner), inner


def test_text_and_layout_stand_in_place_of_the_image(table: dict[str, Any]) -> None:
    model, inner = wrapped("fine")
    question = {"type": "text", "text": "How much on Tuesday?"}
    reply = model.invoke([SystemMessage("Solve."), HumanMessage([table, question])])
    system, user = inner.calls[0].messages
    assert system.content == "Solve."
    text = str(user.content)
    lines = text.splitlines()
    assert (
        lines[0] == "[Image 1 (560×260), only its text, read by OCR and laid out as in the image:"
    )
    assert [line.replace(" ", "") for line in lines[1:4]] == ["Lunch", "Monday12kg", "Tuesday75kg"]
    assert abs(lines[2].index("12") - lines[3].index("75")) <= 2
    assert text.endswith("How much on Tuesday?")
    (found,) = reply.response_metadata["ocr"]
    assert found["engine"] == "rapidocr-onnxruntime" and found["words"] == 5
    assert len(found["sha256"]) == 64 and reply.text == "fine"


def test_an_image_without_text_says_so() -> None:
    file = io.BytesIO()
    Image.new("RGB", (64, 64), "white").save(file, "PNG")
    block = {
        "type": "image",
        "base64": base64.b64encode(file.getvalue()).decode(),
        "mime_type": "image/png",
    }
    model, inner = wrapped("fine")
    reply = model.invoke([HumanMessage([block])])
    assert "Image 1 (64×64): no text could be read" in inner.calls[0].messages[0].text
    assert reply.response_metadata["ocr"][0]["words"] == 0


def test_text_alone_goes_through_untouched() -> None:
    model, inner = wrapped("fine")
    reply = model.invoke([HumanMessage("2 + 2?")])
    assert inner.calls[0].messages[0].content == "2 + 2?"
    assert "ocr" not in reply.response_metadata


async def test_async_and_streaming_read_too(table: dict[str, Any]) -> None:
    model, inner = wrapped("a b", "c d", "e f")
    message = [HumanMessage([table])]
    assert (await model.ainvoke(message)).response_metadata["ocr"]
    assert [chunk.text async for chunk in model.astream(message)] == ["c", " d", ""]
    chunks = list(model.stream(message))
    whole = chunks[0] + chunks[1] + chunks[2]
    assert whole.text == "e f" and len(whole.response_metadata["ocr"]) == 1
    assert len({call.messages[0].text for call in inner.calls}) == 1


def test_structured_output_sees_the_text(table: dict[str, Any]) -> None:
    class Sum(BaseModel):
        total: int

    model, inner = wrapped({"structured": {"total": 19}})
    assert model.with_structured_output(Sum).invoke([HumanMessage([table])]) == Sum(total=19)
    assert "Tuesday" in inner.calls[0].messages[0].text
    model, inner = wrapped({"structured": {"total": 19}})
    hot: Any = model.bind(temperature=0.5)
    assert run(ask_structured(hot, Sum, [HumanMessage([table])])).parsed == Sum(total=19)
    assert inner.calls[0].options["temperature"] == 0.5


def test_a_broken_image_is_refused(tmp_path: Path) -> None:
    (tmp_path / "x.png").write_bytes(b"no image")
    model, inner = wrapped("fine")
    with pytest.raises(InputError, match="not an image"):
        model.invoke([HumanMessage([{"type": "image", "path": str(tmp_path / "x.png")}])])
    assert not inner.calls


def test_it_is_off_unless_asked_for(tmp_path: Path) -> None:
    (tmp_path / "s.json").write_text("[]")
    spec = f"scripted:{tmp_path / 's.json'}"
    assert isinstance(load_chat_model(spec, settings=Settings()), ScriptedChatModel)
    model = load_chat_model(spec, settings=Settings(images="ocr"))
    assert isinstance(model, OcrChatModel) and model.model == "scripted:s.json"


def test_layout_sorts_into_lines_and_columns() -> None:
    words = [
        Word("right", 200, 12, 250, 22), Word("below", 0, 40, 50, 50),
        Word("left", 0, 10, 40, 20), Word("close", 42, 9, 92, 21),
    ]  # fmt: skip
    assert layout(words) == "left  close         right\nbelow"
    assert layout([]) == ""
