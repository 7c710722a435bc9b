"""A LangGraph ``BaseStore`` on Chroma; it knows nothing of memory, and could be published alone."""
