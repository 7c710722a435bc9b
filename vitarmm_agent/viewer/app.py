"""The ASGI application: routes, errors, static files."""

from __future__ import annotations

from collections.abc import AsyncIterator, Collection
from contextlib import asynccontextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.middleware import Middleware
from starlette.middleware.gzip import GZipMiddleware
from starlette.requests import Request
from starlette.responses import RedirectResponse, Response
from starlette.routing import Mount, Route
from starlette.staticfiles import StaticFiles

from vitarmm_agent.errors import InputError, VitaRMMError
from vitarmm_agent.settings import Settings
from vitarmm_agent.viewer import (
    entry_pages,
    evals_pages,
    memory_pages,
    run_actions,
    run_pages,
    solve_pages,
    teaching,
    transfer_pages,
)
from vitarmm_agent.viewer.responses import html
from vitarmm_agent.viewer.security import Guard
from vitarmm_agent.viewer.site import Site
from vitarmm_agent.viewer.whole_parts import WholeParts

if TYPE_CHECKING:
    from langgraph.checkpoint.base import BaseCheckpointSaver

    from vitarmm_agent.agent import ReasoningAgent
    from vitarmm_agent.memory_store.memory import ReasoningMemory


def create_app(
    settings: Settings | None = None,
    *,
    token: str | None = None,
    hosts: Collection[str] = (),
    checkpointer: BaseCheckpointSaver[str] | None = None,
    memory: ReasoningMemory | None = None,
    agent: ReasoningAgent | None = None,
) -> Starlette:
    """The page as an ASGI application.

    Args:
        settings: where memory, traces and images lie, and what starts a run; default:
            :meth:`Settings.load`.
        token: what a visitor must know; without one, whoever reaches the server is let in.
        hosts: names in the Host header that are accepted besides localhost.
        checkpointer: any LangGraph checkpointer; default: the SQLite file of the settings.
        memory: an open memory; default: the one that the settings name, opened when first needed.
        agent: what runs started from the page use; default: made from the settings.
    """

    @asynccontextmanager
    async def lifespan(app: Starlette) -> AsyncIterator[None]:
        app.state.site = Site(
            settings or Settings.load(), checkpointer=checkpointer, memory=memory, agent=agent
        )
        yield
        await app.state.site.close()

    return Starlette(
        routes=_routes(),
        lifespan=lifespan,
        middleware=[
            Middleware(Guard, hosts=hosts, token=token),
            Middleware(WholeParts),
            Middleware(GZipMiddleware, minimum_size=1_000),
        ],
        exception_handlers={VitaRMMError: _failed, HTTPException: _failed},
    )


def _routes() -> list[Any]:
    static = StaticFiles(directory=Path(__file__).parent / "static")
    return [
        Route("/", _home),
        Route("/runs", run_pages.runs),
        Route("/runs/{thread:whole}", run_pages.run),
        Route("/runs/{thread:whole}/events", run_pages.run_events),
        Route("/runs/{thread:whole}/export.html", run_pages.export),
        Route("/runs/{thread:whole}/export.json", run_pages.export_json),
        Route("/runs/{thread:whole}/fork", run_actions.fork_form),
        Route("/runs/{thread:whole}/fork", run_actions.fork, methods=["POST"]),
        Route("/runs/{thread:whole}/resume", run_actions.resume, methods=["POST"]),
        Route("/runs/{thread:whole}/stop", run_actions.stop, methods=["POST"]),
        Route("/runs/{thread:whole}/column", run_pages.column),
        Route("/runs/{thread:whole}/teach", teaching.teach, methods=["POST"]),
        Route("/runs/{thread:whole}/remark", run_actions.remark, methods=["POST"]),
        Route("/runs/{thread:whole}/judge", run_actions.judge, methods=["POST"]),
        Route("/api/runs/{thread:whole}/judge", run_actions.judge_json, methods=["POST"]),
        Route("/runs/{thread:whole}/delete", run_actions.delete, methods=["POST"]),
        Route("/diff", run_pages.diff),
        Route("/pair", run_pages.pair),
        Route("/events", run_pages.all_events),
        Route("/media/{sha256}", run_pages.media),
        Route("/solve", solve_pages.form),
        Route("/solve", solve_pages.start, methods=["POST"]),
        Route("/settings", solve_pages.settings_page),
        Route("/memory", memory_pages.entries),
        Route("/memory/namespaces", memory_pages.namespaces),
        Route("/memory/review", memory_pages.review_queue),
        Route("/memory/undo", memory_pages.undo, methods=["POST"]),
        Route("/memory/export.jsonl", transfer_pages.export),
        Route("/memory/import", transfer_pages.import_form),
        Route("/memory/import", transfer_pages.import_, methods=["POST"]),
        Route("/memory/new", entry_pages.new),
        Route("/memory/new", entry_pages.add, methods=["POST"]),
        Route("/memory/entry/{entry:whole}", entry_pages.entry),
        Route("/memory/entry/{entry:whole}/edit", entry_pages.edit, methods=["POST"]),
        Route("/memory/entry/{entry:whole}/forget", entry_pages.forget, methods=["POST"]),
        Route("/memory/entry/{entry:whole}/review", entry_pages.review, methods=["POST"]),
        Route("/evaluations", evals_pages.evaluations),
        Route("/evaluations/{name:path}/run", evals_pages.evaluation_run),
        Route("/evaluations/{name:path}/media/{sha256}", evals_pages.evaluation_media),
        Route("/evaluations/{name:path}", evals_pages.one),
        Route("/compare", evals_pages.compare),
        Mount("/static", static),
    ]


async def _home(request: Request) -> Response:
    return RedirectResponse("/runs", 307)


async def _failed(request: Request, error: Exception) -> Response:
    """A page that says what was wrong; only what was meant for a person is shown."""
    status = error.status_code if isinstance(error, HTTPException) else 400
    words = error.detail if isinstance(error, HTTPException) else str(error)
    if isinstance(error, InputError) and "no run" in words:
        status = 404
    return html(request, "error", status=status, words=words, code=status)
