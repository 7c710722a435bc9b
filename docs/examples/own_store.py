"""Memory in another LangGraph store: Postgres with pgvector.

Run: DATABASE_URL=postgresql://user:password@localhost/agent python own_store.py
     (pip install langgraph-checkpoint-postgres "psycopg[binary]")
Without DATABASE_URL it uses a store in memory, to try it out.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from langgraph.store.base import BaseStore
from langgraph.store.memory import InMemoryStore

from vitarmm_agent import ReasoningAgent, Settings
from vitarmm_agent.memory_store import ReasoningMemory
from vitarmm_agent.memory_store.embedding import embedding_dims, load_embeddings

settings = Settings.load()
embeddings = load_embeddings(settings.embedder, settings)
index: Any = {
    "embed": embeddings,
    "dims": embedding_dims(embeddings),
    "fields": ["index_text"],  # what an entry is found by
}


@contextmanager
def open_store() -> Iterator[BaseStore]:
    """Any LangGraph store with an index will do."""
    url = os.environ.get("DATABASE_URL")
    if not url:
        yield InMemoryStore(index=index)
        return
    from langgraph.store.postgres import PostgresStore

    with PostgresStore.from_conn_string(url, index=index) as store:
        store.setup()
        yield store


with open_store() as store:
    memory = ReasoningMemory(store, namespace=("team", "agent"))
    agent = ReasoningAgent.open(memory=memory, oracle=True)
    taught: Any = {
        "text": "A square has a perimeter of 20 cm. What is its area?",
        "reference": "25",
    }
    for problem in (taught, "A square has a perimeter of 36 cm. What is its area?"):
        result = agent.solve(problem)
        recalled = [found.entry.title for found in result.recalled[0].entries]
        print(result.answer, "recalled:", recalled)
