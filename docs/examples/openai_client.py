"""Ask the agent through OpenAI's client, and say tomorrow whether it was right.

Run: vitarmm serve                      # prints the address and the API key
     OPENAI_BASE_URL=http://127.0.0.1:8766/v1 OPENAI_API_KEY=… python openai_client.py
"""

from __future__ import annotations

from openai import OpenAI

if __name__ == "__main__":
    client = OpenAI()
    problem = "A square has a perimeter of 20 cm. What is its area?"
    stream = client.chat.completions.create(
        model="vitarmm",
        messages=[{"role": "user", "content": problem}],
        user="ada",
        stream=True,
    )
    for chunk in stream:
        print(chunk.choices[0].delta.content or "", end="")
        completion = chunk.id
    print()
    verdict = {"id": completion, "verdict": "pass", "user": "ada"}
    judged = client.post("/judge", body=verdict, cast_to=object)
    print(judged["status"])  # type: ignore[index]
