"""A memory as LangChain tools, for any agent that calls tools."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from langchain_core.runnables import RunnableConfig
from langchain_core.tools import BaseTool, StructuredTool, ToolException
from pydantic import BaseModel, Field

from vitarmm_agent.effects import Flow, arun, run
from vitarmm_agent.errors import InputError
from vitarmm_agent.integrations.caller_memory import CallerMemory, recall_in_words, written_in_words
from vitarmm_agent.memory_store.schema import MAX_CONTENT, MAX_TITLE, EntryType
from vitarmm_agent.nodes.tenancy import own_settings

if TYPE_CHECKING:
    from collections.abc import Callable

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

    def caller(config: RunnableConfig) -> CallerMemory:
        return CallerMemory(memory, own_settings(config))

    def recall(caller: CallerMemory, **arguments: Any) -> Flow[str]:
        return recall_in_words((yield from caller.recall(**arguments)))

    def remember(caller: CallerMemory, **arguments: Any) -> Flow[str]:
        return written_in_words((yield from caller.remember(**arguments)))

    def forget(caller: CallerMemory, **arguments: Any) -> Flow[str]:
        return (yield from caller.forget(**arguments))

    return [
        _tool(caller, recall, RecallInput, "Recall what was learned on problems like this one."),
        _tool(caller, remember, RememberInput, "Keep one lesson for later problems."),
        _tool(caller, forget, ForgetInput, "Delete an entry that turned out to be wrong."),
    ]


def _tool(
    caller: Callable[[RunnableConfig], CallerMemory],
    body: Callable[..., Flow[str]],
    arguments: type[BaseModel],
    description: str,
) -> BaseTool:
    def sync(config: RunnableConfig, **given: Any) -> str:
        try:
            return run(body(caller(config), **given))
        except InputError as error:
            raise ToolException(str(error)) from error

    async def asynchronous(config: RunnableConfig, **given: Any) -> str:
        try:
            return await arun(body(caller(config), **given))
        except InputError as error:
            raise ToolException(str(error)) from error

    return StructuredTool.from_function(
        sync,
        coroutine=asynchronous,
        name=body.__name__,
        description=description,
        args_schema=arguments,
        handle_tool_error=True,
    )
