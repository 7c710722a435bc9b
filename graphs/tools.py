"""Flows as LangChain tools, sync and async; an agent as one of them."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import TYPE_CHECKING, Any

from langchain_core.runnables import RunnableConfig
from pydantic import BaseModel

from vitarmm_agent.effects import Flow, arun, calls, run
from vitarmm_agent.errors import InputError
from vitarmm_agent.nodes.tenancy import own_settings

if TYPE_CHECKING:
    from langchain_core.tools import BaseTool

    from vitarmm_agent.result import Result


class SolveInput(BaseModel):
    """Arguments of the tool that an agent is."""

    problem: str


def solver_tool(
    solve: Callable[..., Result], asolve: Callable[..., Awaitable[Result]], name: str
) -> BaseTool:
    """The tool that calls ``solve`` or ``asolve``, and answers in one line."""

    def solved(settings: dict[str, Any], problem: str) -> Flow[str]:
        result: Result = yield from calls(solve, asolve, problem, configurable=settings)
        answer = result.answer if result.answer is not None else "no answer"
        return f"{answer} ({result.status}: {result.stopped_because}; run {result.thread_id})"

    description = "Solve a problem step by step, checked by verifiers and helped by memory."
    return flow_tool(solved, SolveInput, name, description)


def flow_tool(
    body: Callable[..., Flow[str]], arguments: type[BaseModel], name: str, description: str
) -> BaseTool:
    """The tool that drives ``body``, given the settings of the calling agent and the arguments.

    What cannot be used is told to the calling model.
    """
    from langchain_core.tools import StructuredTool, ToolException

    def sync(config: RunnableConfig, **given: Any) -> str:
        try:
            return run(body(own_settings(config), **given))
        except InputError as error:
            raise ToolException(str(error)) from error

    async def asynchronous(config: RunnableConfig, **given: Any) -> str:
        try:
            return await arun(body(own_settings(config), **given))
        except InputError as error:
            raise ToolException(str(error)) from error

    return StructuredTool.from_function(
        sync,
        coroutine=asynchronous,
        name=name,
        description=description,
        args_schema=arguments,
        handle_tool_error=True,
    )
