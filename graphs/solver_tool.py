"""An agent as one LangChain tool."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import TYPE_CHECKING

from langchain_core.runnables import RunnableConfig

from vitarmm_agent.errors import InputError
from vitarmm_agent.nodes.tenancy import own_settings

if TYPE_CHECKING:
    from langchain_core.tools import BaseTool

    from vitarmm_agent.result import Result


def solver_tool(
    solve: Callable[..., Result], asolve: Callable[..., Awaitable[Result]], name: str
) -> BaseTool:
    """The tool that calls ``solve`` or ``asolve``, and answers in one line.

    A problem that cannot be used is told to the calling model.
    """
    from langchain_core.tools import StructuredTool, ToolException

    def sync(problem: str, config: RunnableConfig) -> str:
        try:
            return _in_words(solve(problem, configurable=own_settings(config)))
        except InputError as error:
            raise ToolException(str(error)) from error

    async def asynchronous(problem: str, config: RunnableConfig) -> str:
        try:
            return _in_words(await asolve(problem, configurable=own_settings(config)))
        except InputError as error:
            raise ToolException(str(error)) from error

    return StructuredTool.from_function(
        sync,
        coroutine=asynchronous,
        name=name,
        description="Solve a problem step by step, checked by verifiers and helped by memory.",
        handle_tool_error=True,
    )


def _in_words(result: Result) -> str:
    answer = result.answer if result.answer is not None else "no answer"
    return f"{answer} ({result.status}: {result.stopped_because}; run {result.thread_id})"
