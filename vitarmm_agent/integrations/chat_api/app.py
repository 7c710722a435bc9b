"""The ASGI application behind ``vitarmm serve``: routes, errors, and runs that end when clients leave."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncIterator, Awaitable, Callable, Coroutine
from typing import TYPE_CHECKING, Any, TypeVar

from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.middleware import Middleware
from starlette.requests import Request
from starlette.responses import JSONResponse, Response, StreamingResponse
from starlette.routing import Route

from vitarmm_agent.agent import new_thread
from vitarmm_agent.errors import InputError, ModelError, ModelServerError, UserError
from vitarmm_agent.graphs.server_http import OwnOrigin
from vitarmm_agent.integrations.bearer import BearerToken
from vitarmm_agent.integrations.chat_api import RUNS_PER_CLIENT, replies
from vitarmm_agent.integrations.chat_api.limit import RunsAtOnce
from vitarmm_agent.integrations.chat_api.requests import (
    LEFT,
    MODEL,
    USER_HEADER,
    ApiError,
    ChatRequest,
    read_chat,
    read_json,
    read_user,
)
from vitarmm_agent.integrations.own_runs import OwnRuns
from vitarmm_agent.memory_store.namespaces import MAX_LABEL
from vitarmm_agent.nodes.tenancy import fill_namespace
from vitarmm_agent.result import Result
from vitarmm_agent.verifiers.person_reply import LaterVerdict

if TYPE_CHECKING:
    from vitarmm_agent.agent import ReasoningAgent
    from vitarmm_agent.nodes.events import Event

logger = logging.getLogger(__name__)
BEAT_SECONDS = 15.0
Handler = Callable[[Request], Awaitable[Response]]
T = TypeVar("T")


def create_chat_app(
    agent: ReasoningAgent,
    *,
    api_key: str | None = None,
    configurable: dict[str, Any] | None = None,
    runs_per_client: int = RUNS_PER_CLIENT,
) -> Starlette:
    """The agent as an OpenAI-compatible server: ``/v1/chat/completions``, ``/v1/models``, ``/v1/judge``.

    Args:
        agent: what answers, with its memory and traces. Its settings ``server_hosts`` and
            ``server_origins`` name the hosts and web origins that are answered besides this machine's.
        api_key: what clients must send as ``Authorization: Bearer KEY``.
        configurable: fills variables of the memory's namespace; ``user`` and ``user_id`` are who asks, as
            the client says, unless they stand here.
        runs_per_client: runs and verdicts that one client may have under way. A client is the user it
            names, else its address.

    Raises:
        InputError: ``runs_per_client`` lets nobody have any.
    """
    routes = _Routes(agent, configurable or {}, RunsAtOnce(runs_per_client))
    guards = [Middleware(OwnOrigin, settings=agent.settings, refuse=_refusal)]
    if api_key:
        guards.append(Middleware(BearerToken, token=api_key, refuse=_refusal))
    return Starlette(
        routes=[
            Route("/v1/chat/completions", routes.completions, methods=["POST"]),
            Route("/v1/judge", routes.judge, methods=["POST"]),
            Route("/v1/models", _models),
            Route("/v1/models/{model}", _model),
        ],
        middleware=guards,
        exception_handlers={
            ApiError: _failed,
            UserError: _failed,
            ModelError: _failed,
            HTTPException: _failed,
            Exception: _failed,
        },
    )


class _Routes:
    def __init__(
        self, agent: ReasoningAgent, configurable: dict[str, Any], limit: RunsAtOnce
    ) -> None:
        self._agent, self._configurable, self._limit = agent, configurable, limit

    async def completions(self, request: Request) -> Response:
        forwarded = request.headers.get(USER_HEADER, "")[: MAX_LABEL + 1]
        asked = read_chat(await read_json(request), forwarded)
        own, leave = self._of(asked.user), self._enter(request, asked.user)
        run = _Run(self._agent, asked, own, leave)
        try:
            await _while_there(request, run.begun())
            if asked.stream:
                return _Stream(run, asked)
            return JSONResponse(await _while_there(request, run.completion()))
        except BaseException:
            await run.stop()
            raise

    async def judge(self, request: Request) -> Response:
        """A verdict on a completion, by its id: today, or when the thumb comes tomorrow."""
        sent = await read_json(request)
        user = read_user(sent, request.headers.get(USER_HEADER, "")[: MAX_LABEL + 1])
        thread, own = replies.run_of(str(sent.get("id", ""))), self._of(user)
        said = LaterVerdict.parse({k: v for k, v in sent.items() if k not in ("id", "user")})
        try:
            await OwnRuns(self._agent, own).trace(thread)
        except InputError:
            raise ApiError(f"there is no completion {thread[:100]!r}", 404, param="id") from None
        leave = self._enter(request, user)
        try:
            result = await self._agent.ajudge(
                thread,
                said.verdict,
                comment=said.comment,
                solution=said.solution,
                step=said.step,
                by=said.by or user or "a client",
                configurable=own,
            )
        finally:
            leave()
        judged = result.judged[-1] if result.judged else None
        told = {"id": replies.PREFIX + thread, "status": result.status, "judged": judged}
        return JSONResponse(told)

    def _enter(self, request: Request, user: str) -> Callable[[], None]:
        address = request.client.host if request.client else ""
        return self._limit.enter(f"user {user}" if user else f"address {address}")

    def _of(self, user: str) -> dict[str, Any]:
        """What fills the namespace for a client.

        Raises:
            ApiError: the namespace needs a user, and the client names none.
        """
        named = {"user": user, "user_id": user} if user else {}
        own = {**named, **self._configurable}
        if self._agent.memory is not None:
            try:
                fill_namespace(self._agent.memory.namespace, own)
            except InputError:
                if user:
                    raise
                message = "this server keeps a memory for each user: say who asks, as user"
                raise ApiError(message, param="user") from None
        return own


class _Run:
    """One run, in a task of its own, so that it can be stopped wherever it is."""

    def __init__(
        self,
        agent: ReasoningAgent,
        asked: ChatRequest,
        configurable: dict[str, Any],
        ended: Callable[[], None],
    ) -> None:
        """Begin it; ``ended`` is called when it is over, whatever came of it."""
        self.thread = new_thread()
        self._agent, self._asked, self._own = agent, asked, configurable
        self._thinking = replies.Thinking(certain=agent.settings.max_iterations == 1)
        self._events: asyncio.Queue[Event | None] = asyncio.Queue()
        self._first: Event | None = None
        self._task = asyncio.create_task(self._follow())
        self._task.add_done_callback(lambda _: ended())

    async def _follow(self) -> None:
        try:
            async for event in self._agent.astream(
                self._asked.problem,
                thread_id=self.thread,
                stream_mode="custom",
                configurable=self._own,
            ):
                self._events.put_nowait(event)
        finally:
            self._events.put_nowait(None)

    async def begun(self) -> None:
        """Wait until it goes on well: what is wrong with the problem is told by the status."""
        self._first = await self._events.get()
        if self._first is None:
            await self._task

    async def completion(self) -> dict[str, Any]:
        """The whole reply."""
        deltas = [delta async for delta in self.deltas() if delta]
        reasoning = "".join(delta.get("reasoning_content", "") for delta in deltas)
        return replies.completion(await self.result(), reasoning)

    async def deltas(self) -> AsyncIterator[dict[str, str] | None]:
        """What comes of the reply, piece by piece; None when nothing came for a while."""
        event = self._first
        while event is not None:
            if delta := self._thinking.delta(event):
                yield delta
            while True:
                try:
                    event = await asyncio.wait_for(self._events.get(), BEAT_SECONDS)
                    break
                except TimeoutError:
                    yield None
        await self._task

    async def result(self) -> Result:
        """What it came to."""
        return await self._agent.aresult(self.thread)

    async def stop(self) -> None:
        """End it where it is; it can be resumed."""
        self._task.cancel()
        await asyncio.gather(self._task, return_exceptions=True)


class _Stream(StreamingResponse):
    """The reply as server-sent events; the run ends with it, also when its client leaves."""

    def __init__(self, run: _Run, asked: ChatRequest) -> None:
        headers = {"cache-control": "no-store", "x-accel-buffering": "no"}
        super().__init__(self._parts(run, asked), media_type="text/event-stream", headers=headers)
        self._run = run

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        try:
            await super().__call__(scope, receive, send)
        finally:
            await self._run.stop()

    async def _parts(self, run: _Run, asked: ChatRequest) -> AsyncIterator[bytes]:
        answered = False
        yield replies.chunk(run.thread, {"role": "assistant", "content": ""})
        try:
            async for delta in run.deltas():
                answered |= bool(delta and "content" in delta)
                yield replies.chunk(run.thread, delta) if delta else replies.BEAT
            result = await run.result()
        except Exception as error:  # the status was sent: the error is the last that comes
            yield replies.error_event(_told(error).body)
            return
        for part in replies.last_chunks(
            result, answered=answered, include_usage=asked.include_usage
        ):
            yield part


async def _while_there(request: Request, work: Coroutine[Any, Any, T]) -> T:
    """What ``work`` comes to; it is cancelled when the client leaves.

    Raises:
        ApiError: it left.
    """
    task, gone = asyncio.create_task(work), asyncio.create_task(_left(request))
    try:
        await asyncio.wait({task, gone}, return_when=asyncio.FIRST_COMPLETED)
        if not task.done():
            raise ApiError(LEFT, 499)
        return task.result()
    finally:
        for one in (task, gone):
            one.cancel()
        await asyncio.gather(task, gone, return_exceptions=True)


async def _left(request: Request) -> None:
    while (await request.receive())["type"] != "http.disconnect":
        pass


async def _models(request: Request) -> Response:
    return JSONResponse(replies.models())


async def _model(request: Request) -> Response:
    name = request.path_params["model"]
    if name != MODEL:
        raise ApiError(f"there is no model {name[:100]!r} here", 404, code="model_not_found")
    return JSONResponse(replies.model())


async def _failed(request: Request, error: Exception) -> Response:
    return _told(error).response


def _told(error: Exception) -> ApiError:
    """An error as a client may know it: its own faults in words, the operator's without their details."""
    match error:
        case ApiError():
            return error
        case HTTPException():
            return ApiError(error.detail, error.status_code)
        case InputError():
            return ApiError(str(error))
    logger.warning("a run failed: %s", error, exc_info=None if _known(error) else error)
    match error:
        case ModelServerError():
            return ApiError("the model behind this server failed; try again", 502)
        case ModelError():
            return ApiError("the model behind this server gave nothing that can be used", 502)
        case UserError():
            return ApiError("this server is not set up as it must be; its log says why", 503)
    return ApiError("an unexpected error; the server's log says more", 500)


def _known(error: Exception) -> bool:
    return isinstance(error, UserError | ModelError)


def _refusal(words: str, status: int) -> Response:
    if status != 401:
        return ApiError(words.strip(), status).response
    headers = {"WWW-Authenticate": "Bearer"}
    return ApiError(words, status, code="invalid_api_key", headers=headers).response
