"""A web service that streams a run as server-sent events, and resumes runs.

Run: uvicorn fastapi_app:app
     curl -N -d '{"text": "A square has a perimeter of 20 cm. Its area?"}' \
          -H 'Content-Type: application/json' localhost:8000/runs
"""

from __future__ import annotations

import json
from collections.abc import AsyncIterator
from functools import cache
from typing import Any

from fastapi import FastAPI, HTTPException
from fastapi.responses import StreamingResponse

from vitarmm_agent import Problem, ReasoningAgent
from vitarmm_agent.agent import new_thread
from vitarmm_agent.errors import InputError

app = FastAPI()


@cache
def agent() -> ReasoningAgent:
    """One agent for the whole process: runs share its models, memory and checkpoints."""
    return ReasoningAgent.open()


@app.post("/runs")
async def start(problem: Problem) -> StreamingResponse:
    """Solve a problem. A client that disconnects ends the run, which can be resumed."""
    thread_id = new_thread()

    async def events() -> AsyncIterator[str]:
        async for event in agent().astream(problem, thread_id=thread_id, stream_mode="custom"):
            yield f"event: {event['event']}\ndata: {json.dumps(event)}\n\n"

    return StreamingResponse(
        events(), media_type="text/event-stream", headers={"X-Thread-Id": thread_id}
    )


@app.post("/runs/{thread_id}/resume")
async def resume(thread_id: str) -> dict[str, Any]:
    """Go on with a run whose client or server was gone."""
    try:
        result = await agent().aresume(thread_id)
    except InputError as error:
        raise HTTPException(404, str(error)) from None
    return {"answer": result.answer, "status": result.status}
