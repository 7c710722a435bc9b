"""llama.cpp in a child process of ours, asked over a private socket: chat, structure, embeddings."""
