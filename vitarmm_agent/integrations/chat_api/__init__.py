"""The agent behind OpenAI's chat completions: for any client and chat page that speaks them."""
