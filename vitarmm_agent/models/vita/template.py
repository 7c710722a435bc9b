"""The conversation layouts as Jinja, for ``processor.apply_chat_template``."""

from __future__ import annotations

import json

from vitarmm_agent.models.vita.conversation import Conversation

_CHAT_TEMPLATE = (
    "{%- set ns = namespace(system='', seen=false, started=false) -%}"
    "{%- for m in messages -%}{%- if m.role == 'system' -%}"
    "{%- set ns.system = ns.system + (m.content if m.content is string else "
    "m.content | map(attribute='text') | join('')) + '\\n\\n' -%}"
    "{%- elif m.content is not string -%}"
    "{%- for part in m.content if part.type == 'image' -%}{%- set ns.seen = true -%}{%- endfor -%}"
    "{%- endif -%}{%- endfor -%}"
    "{%- for m in messages if m.role != 'system' -%}"
    "{%- set u = namespace(text='', system=ns.system if not ns.started else '') -%}"
    "{%- for part in ([{'type': 'text', 'text': m.content}] if m.content is string else m.content) -%}"
    "{%- if part.type == 'image' -%}{%- set u.text = u.text + '<image>\\n' -%}"
    "{%- else -%}{%- set u.text = u.text + u.system + part.text -%}{%- set u.system = '' -%}"
    "{%- endif -%}{%- endfor -%}"
    "{%- if not ns.started -%}{%- set ns.started = true -%}"
    "{{- FIRST -}}"
    "{%- elif m.role == 'user' -%}{{- USER -}}{%- else -%}{{- REPLY -}}{%- endif -%}{%- endfor -%}"
    "{%- if add_generation_prompt -%}{{- CUE -}}{%- endif -%}"
)


def chat_template_of(layout: Conversation) -> str:
    """The layout as a Jinja template, for ``apply_chat_template``; ``<image>`` once per image."""
    seen = f"({_literal(layout.system_text('image'))} if ns.seen else {_literal(layout.system_text('lang'))})"
    filled = {
        "FIRST": _concatenation(layout.first, system=seen, user="u.text"),
        "USER": _concatenation(layout.user, text="u.text"),
        "REPLY": _concatenation(layout.reply, text="u.text"),
        "CUE": _literal(layout.cue),
    }
    template = _CHAT_TEMPLATE
    for slot, expression in filled.items():
        template = template.replace("{{- " + slot + " -}}", "{{- " + expression + " -}}")
    return template


def _concatenation(template: str, **slots: str) -> str:
    """``a{x}b`` as the Jinja expression ``"a" + x + "b"``."""
    expression = _literal(template)
    for slot, value in slots.items():
        expression = expression.replace("{" + slot + "}", f'" + {value} + "')
    return expression


def _literal(text: str) -> str:
    return json.dumps(text, ensure_ascii=False)
