"""Models behind an OpenAI-compatible server: vLLM, llama.cpp, Ollama.

Start one:  vllm serve Qwen/Qwen2.5-7B-Instruct --port 8001
Run:        MODEL=Qwen/Qwen2.5-7B-Instruct BASE_URL=http://localhost:8001/v1 python vllm_server.py

LangChain's own means make it robust: two attempts per call with back-off, then another model.
"""

from __future__ import annotations

import os

from langchain_core.rate_limiters import InMemoryRateLimiter
from langchain_openai import ChatOpenAI

from vitarmm_agent import ReasoningAgent

server = {
    "base_url": os.environ.get("BASE_URL", "http://localhost:8001/v1"),
    "api_key": os.environ.get("OPENAI_API_KEY", "none"),
    "timeout": 60,
    "max_retries": 0,  # with_retry below does it
}
model = ChatOpenAI(
    model=os.environ.get("MODEL", "Qwen/Qwen2.5-7B-Instruct"),
    rate_limiter=InMemoryRateLimiter(requests_per_second=50, check_every_n_seconds=0.01),
    **server,
)
spare = ChatOpenAI(model=os.environ.get("SPARE_MODEL", "Qwen/Qwen2.5-1.5B-Instruct"), **server)
agent = ReasoningAgent.open(reasoner=model.with_retry(stop_after_attempt=2).with_fallbacks([spare]))
result = agent.solve("A square has a perimeter of 20 cm. What is its area?")
print(result.answer, result.status, f"{result.usage.total_tokens} tokens")
