"""What ``vitarmm doctor`` looks at for the models that the settings choose."""

from __future__ import annotations

import time
from collections.abc import Iterator
from typing import TYPE_CHECKING, NamedTuple

from vitarmm_agent.errors import ModelError, UserError
from vitarmm_agent.redaction import public_address, redact

if TYPE_CHECKING:
    from vitarmm_agent.settings import Settings

SHOWN = 6
LONGEST = 5.0
"""Seconds that a server may take to say which models it has."""


class Check(NamedTuple):
    """One thing looked at; ``needed`` ones make the command fail."""

    what: str
    ok: bool
    found: str
    needed: bool = False


def verifier_names(settings: Settings) -> list[str]:
    """Names of the verifiers that the settings choose."""
    return [name for part in settings.feedback.split(",") if (name := part.strip())]


def roles(settings: Settings) -> dict[str, list[str]]:
    """Each chosen chat model, by its spec, and what it is for."""
    from vitarmm_agent.rmm.load import writer_spec
    from vitarmm_agent.rmm.rule import RULE

    writer, chosen = writer_spec(settings), {"reasoner": settings.reasoner}
    if "judge" in verifier_names(settings):
        chosen["judge"] = settings.judge or settings.reasoner
    if settings.memory_location != "off" and writer != RULE:
        chosen["memory writer"] = writer
    if settings.teacher:
        chosen["teacher"] = settings.teacher
    found: dict[str, list[str]] = {}
    for role, spec in chosen.items():
        found.setdefault(spec, []).append(role)
    return found


def check_models(settings: Settings, *, ask: bool) -> Iterator[Check]:
    """Whether each chosen model can be used, its server too, and the embedder; with ``ask``, whether it answers."""
    from vitarmm_agent.models.load import look_for
    from vitarmm_agent.rmm.load import writer_spec
    from vitarmm_agent.rmm.rule import RULE

    if settings.memory_location != "off" and writer_spec(settings) == RULE:
        yield Check("memory writer rule", True, "asks no model; keeps right solutions")
    for spec, who in roles(settings).items():
        what = f"{', '.join(who)} {spec}"
        try:
            look_for(spec, settings)
        except UserError as error:
            yield Check(what, False, str(error), needed=True)
            continue
        yield _asked(what, spec, settings) if ask else Check(what, True, _seen(spec))
    yield from _servers(settings)
    yield from _embedder(settings)


def check_verifiers(settings: Settings) -> Iterator[Check]:
    """Whether the verifiers that the settings name are there."""
    from vitarmm_agent.verifiers.installed import installed
    from vitarmm_agent.verifiers.policy import FACTORIES

    known = [*FACTORIES, *installed()]
    unknown = [name for name in verifier_names(settings) if name not in known]
    hint = f"unknown: {', '.join(unknown)}; use some of: {', '.join(known)}"
    yield Check(f"feedback {settings.feedback}", not unknown, hint if unknown else "known", True)


def _seen(spec: str) -> str:
    """What was looked at of a chat model, and what was not."""
    if spec.startswith("scripted:"):
        return "its script can be read"
    if spec.startswith(("local:", "vita:")):
        return "its files are here; not loaded (--ask)"
    return "its client and key are here; not asked (--ask)"


def _asked(what: str, spec: str, settings: Settings) -> Check:
    from vitarmm_agent.models.load import load_chat_model

    begun = time.perf_counter()
    try:
        load_chat_model(spec, settings=settings, max_tokens=32).invoke("Say: ready")
    except (UserError, ModelError) as error:
        return Check(what, False, str(error), needed=True)
    return Check(what, True, f"answered in {time.perf_counter() - begun:.1f} s")


def _embedder(settings: Settings) -> Iterator[Check]:
    from vitarmm_agent.memory_store.embedding import load_embeddings

    if settings.memory_location == "off":
        return
    what = f"embedder {settings.embedder}"
    try:
        load_embeddings(settings.embedder, settings)
    except UserError as error:
        yield Check(what, False, str(error), needed=True)
    else:
        here = "files are" if settings.embedder.startswith("local:") else "client and key are"
        yield Check(what, True, f"its {here} here; not asked")


def _servers(settings: Settings) -> Iterator[Check]:
    """The server of ``openai:`` models, and whether it has the chosen ones."""
    chosen = [spec.partition(":")[2] for spec in roles(settings) if spec.startswith("openai:")]
    if not chosen and settings.base_url is None:
        return
    from vitarmm_agent.servers.openai import OPENAI, server

    try:
        where = server("the openai models", settings.base_url)
    except UserError as error:
        if not chosen:  # else it was said of the model
            yield Check(f"server {public_address(str(settings.base_url))}", False, str(error))
        return
    address = where.get("base_url", f"https://{OPENAI}/v1")
    yield _server(address, where, chosen)


def _server(address: str, where: dict[str, str], chosen: list[str]) -> Check:
    """What a server answers when it is asked for its models."""
    import httpx

    what, needed = f"server {public_address(address)}", bool(chosen)
    try:
        answer = httpx.get(
            f"{address.rstrip('/')}/models",
            params=where.get("default_query"),
            headers={"Authorization": f"Bearer {where['api_key']}"},
            timeout=LONGEST,
        )
    except (httpx.HTTPError, httpx.InvalidURL, ImportError, ValueError) as error:
        return Check(what, False, redact(f"no answer: {error}; is it running?"), needed)
    status = f"answers {answer.status_code}"
    if answer.status_code in (401, 403):
        return Check(what, False, f"{status}: it refuses the key; set OPENAI_API_KEY", needed)
    if answer.status_code >= 500:
        return Check(what, False, f"{status}: it is broken or starting", needed)
    names = _names(answer)
    missing = [name for name in chosen if names and name not in names]
    if missing:
        more = ", …" if len(names) > SHOWN else ""
        told = f"{', '.join(missing)} is not among its models: {', '.join(names[:SHOWN])}{more}"
        return Check(what, False, f"{status}; {told}")
    return Check(what, True, status)


def _names(answer: object) -> list[str]:
    """Names of the models that a server says it has; none where it says it in another way."""
    try:
        rows = answer.json()["data"]  # type: ignore[attr-defined]
        return [str(row["id"]) for row in rows]
    except (ValueError, KeyError, TypeError):
        return []
