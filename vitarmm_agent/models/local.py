"""Chat models on llama.cpp: any GGUF file, used as it is."""

from __future__ import annotations

import time
from collections.abc import AsyncIterator, Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, ClassVar

from langchain_core.messages import BaseMessage
from pydantic import Field

from vitarmm_agent.effects import Flow, arun, calls, in_thread, run
from vitarmm_agent.errors import InputError
from vitarmm_agent.llama.gguf_file import GgufFile
from vitarmm_agent.llama.process import Options
from vitarmm_agent.llama.server import LlamaServer, shared_server
from vitarmm_agent.models.chat import EventChatModel
from vitarmm_agent.models.content import refuse_images, role_of, text_of, without_empty_end
from vitarmm_agent.models.control import without_control_tokens
from vitarmm_agent.models.decoding import Completion, Decoding, ReplyEvent, check_room
from vitarmm_agent.models.grammar import LOGGED, MARK, grammar_of
from vitarmm_agent.weights import resolve

ADDED_TOKENS = 2
"""Tokens that a tokenizer adds to a text at most: its beginning and its end."""
LONGEST_TOKEN = 256
"""Bytes of a token at most: vocabularies have long runs of blanks as one."""
Turn = dict[str, str]


class LocalChatModel(EventChatModel):
    """A language model in a GGUF file, on llama.cpp in a child process; made by :meth:`load`.

    Safe for threads and event loops: calls are answered side by side in the server's slots, others wait.
    Control tokens typed into a message are broken up, so they control nothing. A prompt that does not
    fit the context is refused. A last message of the assistant's is continued.

    Attributes:
        server: the llama.cpp server over the weights; models over the same file share it.
    """

    continues_reply: ClassVar[bool] = True
    server: LlamaServer = Field(exclude=True, repr=False)

    @classmethod
    def load(
        cls,
        weights: str | Path,
        *,
        home: Path,
        adapter: str | Path | None = None,
        options: Options | None = None,
        **fields: Any,
    ) -> LocalChatModel:
        """Begin to open weights by catalogue name or path, and do not wait for it.

        Args:
            weights: name, or GGUF file.
            home: cache of weights.
            adapter: LoRA adapter for them: a GGUF file, or the folder of a peft adapter.
            options: how the server holds them.
            fields: fields of the chat model, such as ``temperature``.

        Raises:
            InputError: it is no chat model.
            MissingExtraError: llama.cpp's wheel is not installed.
            WeightsError: the weights or the adapter are missing, damaged, or do not belong together.
        """
        path = resolve(weights, home).resolve()
        GgufFile.open(path).check_chat(str(weights))
        name, options = str(weights), options or Options()
        if adapter is not None:
            from vitarmm_agent.models.gguf_adapter import adapter_file

            name = f"{weights}+{adapter}"
            options = replace(options, adapter=adapter_file(Path(adapter), path, home))
        model = cls(
            server=shared_server(path, options),
            model=name,
            adapter=None if adapter is None else str(Path(adapter).resolve()),
            **fields,
        )
        model.server.start()
        return model

    def events(self, messages: Sequence[BaseMessage], decoding: Decoding) -> Iterator[ReplyEvent]:
        """See :meth:`EventChatModel.events`."""
        reply = _Reply(decoding)
        request = run(self._request(messages, decoding))
        for event in self.server.stream("/v1/chat/completions", request):
            if text := reply.text_of(event):
                yield text
        yield reply.end()

    async def aevents(
        self, messages: Sequence[BaseMessage], decoding: Decoding
    ) -> AsyncIterator[ReplyEvent]:
        """See :meth:`EventChatModel.aevents`."""
        reply = _Reply(decoding)
        request = await arun(self._request(messages, decoding))
        async for event in self.server.astream("/v1/chat/completions", request):
            if text := reply.text_of(event):
                yield text
        yield reply.end()

    def _request(self, messages: Sequence[BaseMessage], decoding: Decoding) -> Flow[dict[str, Any]]:
        """The body of a request; what llama.cpp would choose by itself is said."""
        refuse_images(messages, self.model)
        messages = without_empty_end(messages)
        about = yield from calls(self.server.about, self.server.aabout)
        context = int(about["default_generation_settings"]["n_ctx"])
        texts = [text_of(message).encode("utf-8", "replace").decode() for message in messages]
        self._refuse_endless(texts, decoding.max_tokens, context)
        if (yield from self._control_tokens("\n".join(texts))):
            texts = yield from self._harmless(texts)
        turns = [
            {"role": role_of(message), "content": text}
            for message, text in zip(messages, texts, strict=True)
        ]
        yield from self._check_room(turns, decoding.max_tokens, context)
        body: dict[str, Any] = {
            "messages": turns,
            "max_tokens": decoding.max_tokens,
            "temperature": decoding.temperature,
            "top_p": decoding.top_p,
            "top_k": 0,
            "min_p": 0,
            "repeat_penalty": 1.0,
            "stop": list(decoding.stop),
            "cache_prompt": self.prefix_reuse,
            "stream": True,
            "stream_options": {"include_usage": True},
            "return_progress": True,  # or a prompt that is being computed could not be cancelled
        }
        if decoding.seed is not None:
            body["seed"] = decoding.seed % _RANDOM_SEED
        if decoding.schema is not None:
            body["grammar"] = yield from self._kept_grammar(decoding.schema)
        return body

    def _kept_grammar(self, schema: str) -> Flow[str]:
        """The grammar of a schema; at the first time it is tried, for llama.cpp drops what it cannot keep."""
        grammar = grammar_of(schema)
        if grammar.text not in self.server.grammars:
            logged = len(self.server.log())
            answer = yield from self._ask("/completion", grammar.trial())
            if not answer["content"].startswith(MARK):
                raise grammar.refused((yield from self._logged_after(logged)))
            if len(self.server.grammars) >= _GRAMMARS:
                self.server.grammars.clear()
            self.server.grammars.add(grammar.text)
        return grammar.text

    def _logged_after(self, start: int) -> Flow[str]:
        """What the server logged from ``start`` on. It may answer before it logs."""
        for _ in range(_LOOKS):
            log = self.server.log()[start:]
            if LOGGED in log:
                break
            yield from in_thread(time.sleep, 0.02)
        return log

    def _refuse_endless(self, texts: Sequence[str], wanted: int, context: int) -> None:
        """Refuse what cannot fit before it is looked through: counting it would take minutes."""
        least = sum(len(text.encode()) for text in texts) // LONGEST_TOKEN
        if least > context:
            check_room(self.model, least, wanted, context)

    def _check_room(self, turns: list[Turn], wanted: int, context: int) -> Flow[None]:
        """Count the tokens of a prompt that could be too long: no token is less than a byte."""
        if not turns:
            check_room(self.model, 0, wanted, context)
        rendered = yield from self._ask("/apply-template", {"messages": turns})
        prompt = rendered["prompt"]
        if len(prompt.encode()) + ADDED_TOKENS + wanted <= context:
            return
        whole = {"content": prompt, "parse_special": True, "add_special": True}
        tokens = yield from self._ask("/tokenize", whole)
        check_room(self.model, len(tokens["tokens"]), wanted, context)

    def _harmless(self, texts: Sequence[str]) -> Flow[list[str]]:
        """Break up what the tokenizer would take for control tokens."""
        harmless = []
        for text in texts:
            for _ in range(_ROUNDS):
                control = yield from self._control_tokens(text)
                if not control:
                    break
                text = without_control_tokens(text, control)
            else:
                raise InputError(
                    f"a message to {self.model!r} holds control tokens that cannot be broken up: "
                    f"{sorted(control)}; take them out"
                )
            harmless.append(text)
        return harmless

    def _control_tokens(self, text: str) -> Flow[list[str]]:
        plain = yield from self._tokens(text, special=False)
        marked = yield from self._tokens(text, special=True)
        if marked == plain:
            return []
        known = {token["id"] for token in plain}
        pieces = {
            token["piece"]: token["id"]
            for token in marked
            if token["id"] not in known and isinstance(token["piece"], str)
        }
        control = []
        for piece, number in pieces.items():
            alone = yield from self._tokens(piece, special=False)
            if [token["id"] for token in alone] != [number]:
                control.append(piece)
        return control

    def _tokens(self, text: str, *, special: bool) -> Flow[list[dict[str, Any]]]:
        body = {"content": text, "parse_special": special, "with_pieces": True}
        answer = yield from self._ask("/tokenize", body)
        tokens: list[dict[str, Any]] = answer["tokens"]
        return tokens

    def _ask(self, path: str, body: dict[str, Any]) -> Flow[Any]:
        return (yield from calls(self.server.post, self.server.apost, path, body))


_ROUNDS = 3
_LOOKS = 50
_GRAMMARS = 256
"""How many it remembers to have tried."""
_RANDOM_SEED = 2**32 - 1
"""llama.cpp's word for a seed that it draws."""


class _Reply:
    """Reads the events of a reply as OpenAI's protocol has them."""

    def __init__(self, decoding: Decoding) -> None:
        schema = decoding.schema
        left_out = () if schema is None else grammar_of(schema).left_out
        self._metadata = {"not_constrained": list(left_out)} if left_out else {}
        self._finish: Any = None
        self._usage: dict[str, Any] = {}

    def text_of(self, event: dict[str, Any]) -> str:
        self._usage = event.get("usage") or self._usage
        if not event.get("choices"):
            return ""
        choice = event["choices"][0]
        self._finish = choice.get("finish_reason") or self._finish
        return choice["delta"].get("content") or ""

    def end(self) -> Completion:
        details = self._usage.get("prompt_tokens_details") or {}
        return Completion(
            finish_reason="length" if self._finish == "length" else "stop",
            prompt_tokens=self._usage.get("prompt_tokens", 0),
            reused=details.get("cached_tokens", 0),
            output_tokens=self._usage.get("completion_tokens", 0),
            metadata=self._metadata,
        )
