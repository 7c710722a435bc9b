"""A LangGraph ``BaseStore`` on Chroma. Knows nothing of memory."""
