"""Entry text is data that models and people wrote: made harmless for a prompt, or put aside.

Neutralising breaks what a chat template or tokenizer could take for structure and leaves the words
readable.

Put aside is what talks to the model instead of about problems. A lesson is often an order: "always
choose the positive root", "do not forget the chain rule". What gives an injection away is not the
mood of its verb but whom it addresses and what it is about: the model's instructions, its role,
secrets or memory, or an answer that holds whatever the problem is. These are patterns of what is
known. They find little of what is worded in a new way: how much, and how often they put a harmless
lesson aside, is measured in ``docs/memory.md``.
"""

from __future__ import annotations

import re
import unicodedata
from functools import cache

from vitarmm_agent.memory_store.schema import MemoryEntry

MAX_FIELD = 800
"""Characters of one field in a prompt."""

_INVISIBLE = {"Cc", "Cf", "Cs", "Co", "Cn"}
_WIDTHS = ("<wide>", "<narrow>", "<small>", "<vertical>")
"""Forms that are the same character in another width: ``＜`` is ``<``. Superscripts and fractions,
which mathematics needs, stay."""
_BREAKS = [
    (re.compile(r"<(?=[|/!?\w])"), "< "),  # <|im_start|>, </s>, <image>, </memory>
    (re.compile(r"(?<=[|])>"), " >"),
    (re.compile(r"\[(?=/?(?:INST|SYS|AVAILABLE_TOOLS|TOOL_\w+)\b)", re.IGNORECASE), "[ "),
    (re.compile(r"<(?=<)"), "< "),
    (re.compile(r"`{3,}|~{3,}"), "'''"),
    (re.compile(r"!(?=\[)"), "! "),  # a Markdown image
    (re.compile(r"(?<![^\s])#{1,6}(?=\s)"), "·"),
]

_DROP = (
    "(?:ignor(?:e|ing)|disregard(?:ing)?|forget|override|bypass|discard|drop|neglect|erase|reset|skip|"
    "revoke|disobey|pay no attention to|set aside|never mind|"
    "(?:do not|don't|stop|no longer) (?:follow(?:ing)?|obey(?:ing)?|heed(?:ing)?))"
)
_OF_ALL = (
    "(?:(?:all|any|every|each|of|the|your|my|our|these|those|this|that|its|previous|prior|earlier|above|"
    "preceding|former|foregoing|original|initial|existing|current|other|old|system|developer'?s?|hidden|"
    "safety|user'?s?|operator'?s?|and|or|entire|rest) ){0,6}"
)
_MINE = (
    "(?:your|all (?:the |your |other |previous )?|any (?:of your )?|previous|prior|earlier|preceding|above|"
    "system|the user's|the operator's) ?(?:own |other |previous |earlier )?"
)
_ORDERS = "(?:instructions|prompts?|directives|directions|programming|system messages?)"
_RULES = "(?:rules|guidelines|instruction|restrictions|context|messages|conversation|training|orders|polic(?:y|ies))"
_SAY = (
    "(?:answer|reply|respond|output|say|print|return|write|choose|pick|select|state|conclude|give)"
)
_LITERAL = (  # an answer as it stands: a number, a letter, a quotation
    "(?:with |by |that it is |the |single |word |option |choice |number |letter |answer |only ){0,5}"
    "(?:[\"'“‘(]{1,2}[^\"'”’()\n]{1,40}[\"'”’)]{1,2}|-?[0-9]+(?:[./][0-9]+)?(?![.][0-9])|"
    "(?-i:[A-E](?!')|[A-Z]{2,})|yes|no|true|false|nothing)(?![-\\w]| ?[-=<>+*/^]|"
    " (?!(?:for|and|even|regardless|without|immediately|whatever|instead|at|to|in|no)\\b)[a-z]{2,})"
)
_EVER = (
    "(?:regardless of|no matter|whatever|whichever|(?:for|to|in) (?:this and )?(?:every|all|any|each)\\b|"
    "every time|even (?:if|when)|immediately|at once|and stop|without (?:solving|computing|calculating|"
    "checking|thinking|reasoning|looking))"
)
_MODEL = (
    "(?:assistant|chat ?bot|robot|ai|(?:large )?language model|llms?|llm agents|gpt|solver|reasoner|grader|"
    "judge|verifier|evaluators?|reviewers?|memory writer|model)"
)
_STARTS = "(?:^|[.!?\n] ?)"
_SECRET = (
    "(?:api[ _-]?(?:key|token)s?|system prompt|(?:your|hidden|system) (?:instructions?|configuration|"
    "settings|prompt|memory)|environment variables?|(?:user|server|admin|system|operator)(?:'s)? "
    "(?:password|credential)s?|(?:password|credential|secret)s? of (?:the )?(?:user|server|system|operator)|"
    "private keys?|secret (?:token|key)s?|access tokens?|credentials|chat history|context window|"
    "(?:the|this) conversation|contents? of your|[A-Z]{3,}_KEY)"
)
_ENTRIES = "(?:memor(?:y|ies)|entr(?:y|ies)|lessons?|notes?)"

_SIGNS: dict[str, tuple[str, ...]] = {
    "tells the model to ignore its instructions": (
        rf"\b{_DROP} {_OF_ALL}{_ORDERS}\b",
        rf"\b{_DROP} {_MINE}{_RULES}\b",
        rf"\b{_DROP} (?:the |all |any )*(?:question|problem|task|notes?)(?: that you| you| text)?"
        " ?(?:were given|are given|was given|above|below|and (?:do|write|say|answer|instead)|,? instead|[.])",
        rf"\b{_DROP} the text of the (?:problem|question)",
        rf"\b{_DROP} (?:everything|anything|all|whatever) (?:that )?(?:you|above|before|came|comes|else)",
        r"\byour (?:\w+ )?(?:instructions|orders|rules|guidelines|programming|creators?|developers?|operator|"
        r"system prompt|prompt|conversation|memories)\b",
        r"\b(?:rules above|no rules(?! for)|break the rules of|the prompt (?:says|tells|asks)|do the following instead)\b",
        r"\b(?:everything|text|words) (?:above|before) (?:this|the) (?:line|sentence|note)\b",
        r"\b(?:comes|came|stands|stood) before this (?:line|sentence|note)\b",
        rf"\b{_ORDERS} (?:you (?:were given|received|have)|above|before)",
        rf"\b(?:{_ORDERS}|rules)\b.{{0,30}} (?:are|is|now|be|hereby) (?:\w+ )?(?:void|cancelled|revoked|withdrawn|"
        "invalid|lifted|suspended|no longer|switched off)",
        rf"\b(?:new|real|true|secret|following|further) {_ORDERS}\b(?: follow|:| are\b| from)",
        rf"\b(?:overrides?|takes? precedence over|outranks?|replaces?) {_OF_ALL}(?:{_ORDERS}|system)\b",
        r"\b(?:supersedes?|outranks?) (?:whatever|all|every|any|everything)\b",
        rf"\b(?:what|whatever) (?:you were (?:asked|told)|the {_ORDERS} (?:says?|tells?))",
        r"\binstead of (?:solving|answering) (?:the|this|any) (?:problem|question)",
        r"\b(?:abandon|leave|quit) the (?:current|given) (?:problem|question|task)",
        r"\b(?:goal|task|job|problem) you were given\b|\b(?:cease|stop) (?:all )?reasoning\b",
        # the commonest wording in some other languages
        r"(?:\bignor(?:a|ez|iere|ad)\b|\bignore todas|\bverg[ei]ss|\bolvida|\boublie|\besque[cç]|игнорир|забуд)[^.\n]{0,30}"
        r"(?:instruc|instruç|anweis|regeln|consign|инструк|указан)|(?:忽略|无视)[^\n]{0,20}指令|指示[^\n]{0,10}無視",
    ),
    "gives the model a role": (
        r"\byou are now (?:an?\b(?! (?:unit|step|factor))|in [a-z]+ mode|free of|called|my\b|the (?!same)|"
        r"unrestricted|(?-i:[A-Z]{2,}))",
        r"\byou are (?:not|no longer) an? (?:solver|model|assistant|ai)\b|\byou are free of all\b",
        r"\byou are an? (?:expert|robot|assistant|ai|bot|hacker|translator)\b",
        r"\byou (?:shall|will) be (?:known|called)\b|\bbe an? (?:\w+ )?(?:robot|assistant|pirate|bot)\b",
        rf"\b(?:act|behave|answer|speak|respond) (?:as|like) (?:if you were )?an? (?:\w+ )?{_MODEL}\b",
        r"\bact as (?:an? |the )?(?:administrator|root|operator|developer|system|different|hacker)\b",
        rf"\b(?:pretend|imagine|suppose|assume) (?:to be|you are|that you are) an? (?:\w+ )?"
        rf"(?:{_MODEL}|human|person|student|expert|hacker|user)\b",
        rf"\b(?:from now on|henceforth|from this point),? you (?:are|will|must|shall|always|never|only )? ?"
        rf"(?:{_SAY}|an?\b|refuse|obey|speak|ignore|act)",
        r"\b(?:speak|talk|write|answer|reply|respond) (?:only |always )?(?:in|like) (?:riddles|rhymes?|french|german|"
        r"spanish|chinese|english|base64|json|emojis?|capitals|code|a pirate)\b",
        r"\byour (?:new|real|true|only|actual) (?:role|task|instructions?|goal|purpose|persona|identity|name) (?:is|are)\b",
        r"\byour name is\b|\byour job is no longer\b|\brole ?play\b|\bjailb?reak",
        r"\b(?:take on|adopt|assume) the (?:persona|identity|character)\b",
        r"\b(?:enter|switch to|you are in|activate|enable) (?:\w+ )?(?:debug|developer|maintenance|god|admin|"
        r"unrestricted|test) mode\b",
        r"\byou have been (?:upgraded|reset|hacked|freed|replaced|reprogrammed)",
    ),
    "speaks of the system prompt": (
        r"\b(?:system|developer|operator) (?:prompt|instructions?|override|note|notice|update)\b(?! for)",
        r"\bsystem message\b",
    ),
    "dictates the answer": (
        rf"\b(?:always|only|just|simply|must|never) {_SAY} (?:anything but )?(?:only |just |always )?{_LITERAL}",
        rf"\b(?:answer|reply|respond)(?: only| always| just)? (?:with|by saying) {_LITERAL}",
        rf"\bnothing but {_LITERAL}",
        rf"\b{_SAY} {_LITERAL}[^.\n]{{0,40}}{_EVER}|{_EVER}[^.\n]{{0,60}}\b{_SAY} {_LITERAL}",
        r"\b(?:say|answer|reply) [^.\n]{0,40}, (?:whatever|no matter what|regardless of) (?:the|is) "
        r"(?:question|problem|asked)\b",
        rf"\b{_EVER}[^.\n]{{0,60}}\b(?:the|your) (?:final |correct )?(?:answer|choice|output|result)s? "
        rf"(?:is|are|must be) {_LITERAL}",
        rf"\b(?:if|when|whenever|once)\b[^.\n]{{0,40}}\b(?:problem|question|prompt|user|word|asked)\b[^.\n]{{0,50}}"
        rf"(?:\b(?:the answer is|{_SAY}) |, (?:always )?{_SAY} ){_LITERAL}",
        r"\b(?:write|output|print|say|put|end|reply|respond|make)\b[^.\n]{0,40}\banswer: ?[0-9A-E]",
        r"\b(?:answer|choice|option|reply)s? (?:is|are|must be) (?:always )?[(]?(?-i:[A-E])[)]?(?=[.,;!\n]|$)",
        r"\b(?-i:[A-E]) is (?:always )?(?:right|correct|the answer)\b",
        r"\b(?:do not|don't|never|without|skip) (?:the )?(?:solv\w+|reason\w*|think\w*(?: about it)?|comput\w+ anything|"
        rf"steps)(?: (?:the|this|any) (?:problem|question))?[^\n]{{0,20}}\b{_SAY} {_LITERAL}",
        r"\banswer: ?[0-9A-E][^\n]{0,12}\bdo not (?:compute|solve|think|check)",
        r"\b(?:change|replace|set) your (?:final |last )?(?:answer|step)\b",
        rf"\b{_SAY} \S{{1,12}} as (?:the|your) (?:final )?(?:answer|result|output)\b",
        r"\bthis and every other problem\b|\b(?:any|every|all) (?:question|problem)s? [^.\n]{0,30}must be answered with\b",
        r"\b(?:all|every|any) answers? (?:is|are) [0-9]|\b(?:your|all) repl(?:y|ies) (?:are|is|must|should|will)\b",
        r"\b(?:first|last|second|middle) (?:option|choice) (?:every|each|always)",
    ),
    "tells a judge what to find": (
        r"\b(?:mark|accept|pass|grade|approve|rate|treat|report|award)\b[^.\n]{0,20}\b(?:this|every|any|all|the)\b"
        r"[^.\n]{0,20}\b(?:attempt|answer|steps?|solution|response|memory|entry|entries)\b[^.\n]{0,30}"
        r"\b(?:correct|right|passed|verified|helpful|harmful|wrong|without|every time|full marks)\b",
        r"\bfull marks\b|\bverdict(?: is|:)? (?:right|pass|correct)|\bmust (?:reply|say|answer) [\"'“]?(?:right|pass|correct)",
        r"\bmust say that it (?:passed|is right)|\bdo not report any\b|\bshould ignore mistakes\b",
        r"\b(?:should|must) accept (?:every|any|all|this)\b|\baccept this entry\b",
        r"\bwhoever (?:grades|checks|judges|reads|processes)\b|\battempts? that used\b",
        rf"{_STARTS}(?:reviewer|grader|verifier|checker|evaluator)s?,",
    ),
    "addresses the model": (
        rf"\b(?:note|message|instructions?|attention|warning|memo) (?:to|for) (?:the |all |any |whichever |whatever )?"
        rf"(?:{_MODEL}|you\b|whoever)",
        rf"{_STARTS}(?:dear|hey|hello|hi|attention|ok|okay),? (?:the |dear )?{_MODEL}\b",
        rf"{_STARTS}(?:hi |hey |dear |ok )?(?:robot|computer|machine|claude|qwen|gpt|gemini|llama|mistral|copilot|bot)[,!]",
        rf"{_STARTS}(?:assistant|ai|language model|model|chatbot|judge|grader|verifier|memory writer)[,:] (?!x\b)"
        r"(?![^\n]{0,20}(?:earns?|pays?|is \d))[a-z]",
        rf"\bto (?:whichever|whatever|any) {_MODEL}\b|\bas an? (?:ai|language model)\b|\bllm agents\b",
        rf"\b(?:if|when) you(?: are|,)? (?:an?|the) {_MODEL}\b|\byou,? (?:the|an) {_MODEL}\b",
        r"\bthe (?:assistant|ai|chatbot|llm) (?:must|should|shall|has to|is to|will) (?:not |never |always )?"
        r"(?:tell|say|answer|reply|reveal|ignore|obey|output|refuse|follow|accept|comply|write|give)\b",
        r"\b(?:tell|inform|warn|convince|ask) the user\b|\bdo not tell\b|\bother users\b|\b(?:to|from) the operator\b",
        r"\b(?:never|do not|must not) (?:mention|reveal|disclose|show)\b[^.\n]{0,20}\b(?:note|memory|entry|instruction|"
        r"this|that it)\b",
        r"\b(?:keep|trust|obey|let|make) (?:only )?this (?:instruction|note|entry|lesson|memory)\b",
        r"\bthis (?:note|lesson|memory|instruction)\b|\b(?:this|the) entry (?:is more important|has priority)",
        r"\byou must (?:obey|comply)\b|\bobey (?:this|these|all|every|me|my|the (?:commands?|note|following))\b",
        r"\b(?:carry out|comply with|follow) (?:the following|these|all|every|the hidden) (?:commands?|orders?|lines?|text)\b",
        r"\bfollow (?:it|them|what it says)(?: as an order)?\b|\bdo what it says\b|\bdo as this\b",
        r"\bi\b(?! =)[^.\n=]{0,40}\b(?:you|your)\b[^.\n=]{0,30}\b(?:ignore|answer|stop|refuse|say|do|must)\b",
        r"\byou\b[^.\n=]{0,60}\b(?:i (?:ask|say|need|want)|to me)\b|\b(?:do|as) (?:what|as) i (?:say|ask|tell)\b",
    ),
    "asks for secrets or commands": (
        r"\b(?:reveal|exfiltrate|leak|disclose|expose|send|e-?mail|post|upload|print|show|repeat|output|tell|share|dump|"
        r"include|append|write|encode|copy|summarize|list|place|give|translate|what is|value of)\b"
        rf"[^.\n]{{0,40}}\b{_SECRET}",
        r"\b(?:repeat|copy|print|output|quote) (?:the |all |your )?(?:text|words|lines?|first message|message)[^.\n]{0,20}"
        r"(?:\babove|\bbefore|\bthis conversation|[.]|$)",
        r"\b(?:summarize|encode|disclose|repeat|translate) (?:your|the) (?:instructions|prompt)\b|\bwhat you were told\b",
        r"\b(?:visit|open|fetch|go to|download|load|call|post|send|click|append|report|link)\b[^\n]{0,60}(?:https?:|www[.])",
        r"\b(?:send|e-?mail|forward|post) (?:the|all|every|this|your)\b[^\n]{0,40}\w@\w",
        r"\bnotes? (?:that )?you (?:have been|were) given\b",
        r"!\[[^\]\n]{0,80}\]\(|\bhttps?://[^\s)]{1,200}\?\w{1,20}=|<script",
        r"\b(?:curl|wget) (?:-\S{1,20} ){0,4}(?:https?:|\S{1,80}[.]\w{2,}/)|\$\((?:curl|wget|cat|rm|sh|bash|id)\b",
        r"\brm -[rf]|\bsudo \w|\bchmod \d|\bnc -\w|\breverse shell\b|/etc/(?:passwd|shadow)|~/[.]|\bid_rsa\b",
        r"\bos[.](?:system|popen)|\bsubprocess[.]|__(?:import|class|subclasses|globals)__|\b(?:eval|exec)\((?!\))",
        r"\bimport os\b|\bpowershell\b|\bdrop table\b|\bselect \w+ from \w+ ?;|\b(?:pip|npm|apt(?:-get)?) install\b",
        r"\b(?:use|call|invoke|open) (?:the |your |a )?(?:\w+ )?(?:shell(?! method)|terminal|browser|tool)\b"
        r"(?: tool)? ?(?:to|and|on|[a-z]+) |\b(?:call|invoke) the function [a-z]+[_ ][a-z]+",
        r"\brun the following (?:command|code|script)|\bexecute this (?:code|command|script)",
    ),
    "gives orders about the memory": (
        rf"\b(?:delete|forget|remove|erase|supersede|mark|quarantine|rewrite) (?:all|every|each|any)\b[^.\n]{{0,12}} {_ENTRIES}\b",
        r"\bthe other notes\b|\bdelete everything\b|\bnever write a memory\b",
        rf"\b(?:copy|add|save|store|write|insert|repeat)\b[^.\n]{{0,60}}\b(?:in|into|to|as a new) "
        rf"(?:every |each |all |new )?{_ENTRIES}\b(?! (?:of|that is))",
        r"\bwhen you (?:write|store) a (?:memory|note|lesson)\b|\bconfidence of this\b",
    ),
    "holds control tokens of a chat template": (
        r"<\|[^<>|\n]{1,40}\|>|\[/?INST\]|<</?SYS>>|</?s>|<(?:start|end)_of_turn>|<begin▁of",
        r"</?(?:system|assistant|user|instructions?|memory|notes|prompt|data|context|tool_call|think|im_start)\b[^<>\n]{0,40}>",
        r"[\"']role[\"'] ?: ?[\"'](?:system|assistant|user)|\[/?(?:system|user|assistant)\]|<!--",
        r"\bobservation: [^\n]{0,200}\bthought:|^final answer: ",
        r"\n[ #>*]{0,6}(?:system|assistant|user|human) ?:(?! ?(?:[0-9$]|[a-z] ?[-+=]))|(?:^|\n) ?#{1,6} ?(?:system|user|assistant|instructions?)\b",
        r"\b(?:end|begin) of (?:memory|notes?|prompt|context|system message)\b|\b(?:begin|end) system message\b",
        r"(?:^|[.>] )(?:system|human) ?: (?:new|you|ignore|next|always)\b",
    ),
}

_ZERO_WIDTH = "\u200b-\u200d\u2060\ufeff"
"""Between Latin letters they hide a word; beside a space they are left over from a web page, and
Persian and Hindi need the joiners."""
_TURNING = "\u202a-\u202e\u2066-\u2069\U000e0000-\U000e007f"
_HIDDEN = re.compile(f"(?<=[A-Za-z])[{_ZERO_WIDTH}]+(?=[A-Za-z])|[{_TURNING}]")
_REMOVED = re.compile(f"[{_ZERO_WIDTH}{_TURNING}\u00ad]")
_LOOKALIKE = re.compile("[A-Za-z][\u0400-\u052f\u0530-\u058f]|[\u0400-\u052f\u0530-\u058f][A-Za-z]")
_SPACED = re.compile(r"(?<![A-Za-z])(?:[A-Za-z][ ._*-]{1,3}){4,}[A-Za-z](?![A-Za-z])")


def neutralise(text: str, limit: int = MAX_FIELD) -> str:
    """``text`` on one line, without control characters and control tokens, at most ``limit`` long."""
    shown = text if text.isascii() else "".join(map(_usual_width, text))
    shown = "".join(
        " " if char.isspace() else "" if unicodedata.category(char) in _INVISIBLE else char
        for char in shown
    )
    for pattern, replacement in _BREAKS:
        shown = pattern.sub(replacement, shown)
    shown = " ".join(shown.split())
    return shown if len(shown) <= limit else shown[: max(limit - 1, 0)].rstrip() + "…"


def _usual_width(char: str) -> str:
    form = unicodedata.decomposition(char)
    return unicodedata.normalize("NFKC", char) if form.startswith(_WIDTHS) else char


@cache
def _patterns() -> dict[str, re.Pattern[str]]:
    """Compiled when the first entry is looked through: that takes as long as importing a small library."""
    return {why: re.compile("|".join(ways), re.IGNORECASE) for why, ways in _SIGNS.items()}


def injection_signs(entry: MemoryEntry) -> tuple[str, ...]:
    """Why this entry seems to instruct the model, in words; empty when it does not."""
    parts = [entry.title, entry.applies_when, entry.content]
    if entry.example is not None:
        parts += [entry.example.problem, *entry.example.steps, entry.example.answer]
    text = "\n".join(part for part in parts if part)
    folded = _folded(text)
    parted = re.sub(r"(?<=[A-Za-z])[-_](?=[A-Za-z])", " ", folded)
    found = [why for why, p in _patterns().items() if p.search(folded) or p.search(parted)]
    if _HIDDEN.search(text):
        found.append("hides text")
    if _LOOKALIKE.search(text):
        found.append("mixes letters of two alphabets within a word")
    return tuple(found)


def _folded(text: str) -> str:
    """What a reader sees: usual widths and letters, nothing hidden, single spaces, lines kept."""
    text = _REMOVED.sub("", _HIDDEN.sub(" ", text))
    text = unicodedata.normalize("NFKC", text).replace("’", "'")
    text = _SPACED.sub(lambda spelt: re.sub(r"[ ._*-](?![ ._*-])", "", spelt[0]), text)
    return "\n".join(" ".join(line.split()) for line in text.splitlines() if line.strip())
