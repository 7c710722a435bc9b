"""A memory as LangChain tools, for any agent that calls tools."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from langchain_core.tools import BaseTool
from pydantic import BaseModel, Field

from vitarmm_agent.effects import Flow
from vitarmm_agent.graphs.tools import flow_tool
from vitarmm_agent.integrations.caller_memory import CallerMemory, recall_in_words, written_in_words
from vitarmm_agent.memory_store.schema import MAX_CONTENT, MAX_TITLE, EntryType

if TYPE_CHECKING:
    from vitarmm_agent.memory_store.memory import ReasoningMemory


class RecallInput(BaseModel):
    """Arguments of the tool ``recall``."""

    question: str = Field(min_length=1, description="The problem at hand, in its own words.")


class RememberInput(BaseModel):
    """Arguments of the tool ``remember``."""

    content: str = Field(
        min_length=1,
        max_length=MAX_CONTENT,
        description="What to do or know next time, in one to three sentences.",
    )
    title: str = Field(default="", max_length=MAX_TITLE, description="A few words.")
    applies_when: str = Field(
        default="",
        max_length=MAX_CONTENT,
        description="When it helps: the condition, not the problem.",
    )
    entry_type: EntryType = Field(
        default="insight", description="correction (a mistake and its remedy), insight or fact."
    )
    confidence: float = Field(default=0.5, ge=0, le=1, description="How sure it is, 0 to 1.")


class ForgetInput(BaseModel):
    """Arguments of the tool ``forget``."""

    entry_id: str = Field(min_length=1, description="Id of the entry, as recall shows it.")


def memory_tools(memory: ReasoningMemory) -> list[BaseTool]:
    """The tools ``recall``, ``remember`` and ``forget``, sync and async.

    Arguments that cannot be used are told to the model as the tool's answer. A ``configurable`` of the calling
    agent (a ``user_id``, say) fills the memory's namespace template.

    Args:
        memory: the memory to work with, for instance ``agent.memory``.
    """

    def recall(settings: dict[str, Any], **arguments: Any) -> Flow[str]:
        return recall_in_words((yield from CallerMemory(memory, settings).recall(**arguments)))

    def remember(settings: dict[str, Any], **arguments: Any) -> Flow[str]:
        return written_in_words((yield from CallerMemory(memory, settings).remember(**arguments)))

    def forget(settings: dict[str, Any], **arguments: Any) -> Flow[str]:
        return (yield from CallerMemory(memory, settings).forget(**arguments))

    learned = "Recall what was learned on problems like this one."
    return [
        flow_tool(recall, RecallInput, "recall", learned),
        flow_tool(remember, RememberInput, "remember", "Keep one lesson for later problems."),
        flow_tool(forget, ForgetInput, "forget", "Delete an entry that turned out to be wrong."),
    ]
