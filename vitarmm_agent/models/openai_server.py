"""Chat models of an OpenAI-compatible server of one's own: vLLM, llama.cpp, llama-cpp-python, Ollama.

Such servers speak the protocol of chat completions, but not all of them its newer words. The
limit of new tokens is called ``max_tokens`` here, which all know but OpenAI's models that reason. A
schema is asked for as OpenAI does it; where the server refuses that (llama-cpp-python does), in the
older form, from then on. What a model thought comes in a field for which the protocol has no name, and is
kept beside the reply.
"""

from __future__ import annotations

import logging
import re
from typing import Any

from langchain_core.language_models.base import LanguageModelInput
from langchain_core.messages import AIMessage
from langchain_core.outputs import ChatGenerationChunk, ChatResult
from langchain_core.runnables import Runnable, RunnableLambda
from langchain_openai import ChatOpenAI
from openai import APIStatusError
from pydantic import PrivateAttr

from vitarmm_agent.effects import Flow, arun, calls, run
from vitarmm_agent.models.replies import thought_in
from vitarmm_agent.models.structured import Schema, check_options, json_schema_of, structured
from vitarmm_agent.redaction import public_address, redact
from vitarmm_agent.servers.openai import thinks

logger = logging.getLogger(__name__)
_DENIALS = (400, 415, 422, 500, 501)
_ABOUT_THE_FORM = re.compile("response_?format|json_?(schema|object)", re.IGNORECASE)


class OpenAIServerModel(ChatOpenAI):
    """A chat model behind ``base_url``.

    Attributes:
        use_responses_api: ask for OpenAI's own kind of reply, which few other servers give; never by the
            model's name alone.
    """

    use_responses_api: bool | None = False
    _json_schema: bool = PrivateAttr(True)

    def with_structured_output(  # type: ignore[override]
        self,
        schema: Schema,
        *,
        include_raw: bool = False,
        method: str | None = None,
        strict: bool | None = None,
        **kwargs: Any,
    ) -> Runnable[Any, Any]:
        """Have the server constrain replies to a schema, and parse them.

        Args:
            schema: a pydantic class, a TypedDict, or a JSON schema.
            include_raw: return ``{"raw", "parsed", "parsing_error"}`` instead of raising.
            method: any of LangChain's names; the server is asked for constrained decoding anyway.
            strict: accepted for compatibility.
            kwargs: none is known.

        Raises:
            InputError: a schema or option that is not understood.
        """
        check_options(method, kwargs)
        as_json = json_schema_of(schema)
        name = re.sub(r"\W", "_", str(as_json.get("title", "reply")))[:64]
        described = {"kwargs": {"method": "json_schema"}, "schema": as_json}
        newer, older = (
            self.bind(response_format=form, ls_structured_output_format=described)
            for form in (
                {"type": "json_schema", "json_schema": {"name": name, "schema": as_json}},
                {"type": "json_object", "schema": as_json},
            )
        )

        def ask(given: LanguageModelInput, **options: Any) -> AIMessage:
            return run(self._asked(newer, older, given, options))

        async def aask(given: LanguageModelInput, **options: Any) -> AIMessage:
            return await arun(self._asked(newer, older, given, options))

        return structured(
            RunnableLambda(ask, aask, name="ask_structured"), schema, include_raw=include_raw
        )

    def _asked(
        self,
        newer: Runnable[LanguageModelInput, AIMessage],
        older: Runnable[LanguageModelInput, AIMessage],
        given: LanguageModelInput,
        options: dict[str, Any],
    ) -> Flow[AIMessage]:
        if self._json_schema:
            try:
                return (yield from calls(newer.invoke, newer.ainvoke, given, **options))
            except APIStatusError as error:
                if not _refuses_the_form(error):
                    raise
                server = public_address(self.openai_api_base or "")
                logger.info("%s knows no json_schema: %s", server, redact(error.message))
                self._json_schema = False
        return (yield from calls(older.invoke, older.ainvoke, given, **options))

    def _get_request_payload(
        self, input_: LanguageModelInput, *, stop: list[str] | None = None, **kwargs: Any
    ) -> dict[str, Any]:
        payload: dict[str, Any] = super()._get_request_payload(input_, stop=stop, **kwargs)
        if "max_completion_tokens" in payload and not thinks(self.model_name):
            payload["max_tokens"] = payload.pop("max_completion_tokens")
        if "response_format" in payload:
            # As a field that the client does not look at: it would raise for a reply that was cut off.
            form = {"response_format": payload.pop("response_format")}
            payload["extra_body"] = (payload.get("extra_body") or {}) | form
        return payload

    def _create_chat_result(
        self, response: Any, generation_info: dict[str, Any] | None = None
    ) -> ChatResult:
        result: ChatResult = super()._create_chat_result(response, generation_info)
        only = {"choices": {"__all__": {"message"}}}
        told = response if isinstance(response, dict) else response.model_dump(include=only)
        for generation, choice in zip(result.generations, told["choices"], strict=True):
            if thought := thought_in(choice["message"]):
                generation.message.additional_kwargs["reasoning_content"] = thought
        return result

    def _convert_chunk_to_generation_chunk(
        self, chunk: dict[str, Any], *args: Any
    ) -> ChatGenerationChunk | None:
        choices = chunk.get("choices") or [{}]
        delta = choices[0].get("delta") or {}
        if "text" in choices[0] and not delta:
            delta = {"content": choices[0]["text"]}
        choices[0]["delta"] = delta = {**delta, "role": "assistant"}
        made: ChatGenerationChunk | None = super()._convert_chunk_to_generation_chunk(chunk, *args)
        if made is not None and (thought := thought_in(delta)):
            made.message.additional_kwargs["reasoning_content"] = thought
        return made


def _refuses_the_form(error: APIStatusError) -> bool:
    """Whether a server says that it cannot be asked for a schema in this form."""
    return error.status_code in _DENIALS and bool(_ABOUT_THE_FORM.search(str(error)))
