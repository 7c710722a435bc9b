"""Five things that a newcomer gets wrong on each command: one clear line each, and the right exit code.

A line names what was wrong, what was got, and what to do.
"""

from __future__ import annotations

import io
import json
import os
import shlex
import socket
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.scripts import QUESTION, RIGHT, nothing, script
from vitarmm_agent.cli.app import application, run_app

Capture = pytest.CaptureFixture[str]
HERE = "is there already; replace it by --force"
HELP = "; see: vitarmm {command} --help"
EXTRA = f"unexpected extra argument(s) (extra){HELP}"
LIMIT = f"--limit': Input should be greater than or equal to 1, got '0'{HELP}"
OFF = "memory is off; name its folder or server with --memory"
NO_FOLDER = "memory folder 'note.txt' cannot be written"
NO_SERVER = "Chroma server http://127.0.0.1:9 does not answer"
NO_ENTRY = "there is no entry 'nosuch'; see: vitarmm memory list"
NO_RUN = "no run 'nosuch'; `vitarmm trace list` shows the runs there are"
NO_MODEL = "unknown model 'qwen'; use local:NAME_OR_PATH"
NO_EVALUATION = "is no evaluation: it has no config.json"
NO_KIND = "'note.txt' is of no kind that is read; use .jsonl"
NO_FILE = "'missing.jsonl' cannot be read: No such file or directory"
NO_WEIGHTS = "unknown weights 'llama'"
FULL = "is not empty"
ONE = "(did you mean 'smollm2-135m-instruct'?)"
BUSY = "Address already in use; choose another with --port"

MISTAKES: dict[str, dict[str, str]] = {
    "": {
        "slove x": "No such command 'slove'. Did you mean 'solve', 'serve'? See: vitarmm --help",
        "help": "No such command 'help'; see: vitarmm --help",
        "trace lst": "No such command 'lst'. Did you mean 'list'? See: vitarmm trace --help",
        "--vers": "(Possible options: --version); see: vitarmm --help",
        "solve x --model": "Option '--reasoner' requires an argument; see: vitarmm solve --help",
    },
    "solve": {
        "''": "problem cannot be used: it is empty; give a text or an image",
        "What is 2 + 2": "put text of several words in quotation marks",
        "x -r qwen": NO_MODEL,
        "x -r qwen --base-url http://127.0.0.1:9": "(did you mean 'openai:qwen', at http://127.0.0.1:9?)",
        "x -r openai:gpt-5-mini": "set OPENAI_API_KEY",
        "x -i note.txt": "'note.txt' is not an image that can be read; use one of PNG",
        "x -f arithmetics": "verifier 'arithmetics' is unknown (did you mean 'arithmetic'?)",
        "x -n three": f"--max-iterations' / '-n': Input should be a valid integer, unable to parse "
        f"string as an integer, got 'three'{HELP}",
        "x --thread run-a": "go on with it: vitarmm resume run-a",
    },
    "resume": {
        "": f"Missing argument 'THREAD'{HELP}",
        "nosuch": NO_RUN,
        "run-a --verdict pass": "vitarmm judge run-a pass|fail",
        "run-a --step 0": f"greater than or equal to 1, got '0'{HELP}",
        "run-a -r qwen": NO_MODEL,
    },
    "demo": {
        "--keep note.txt": "--keep 'note.txt' is a file; name a folder",
        "--keep": f"Option '--keep' requires an argument{HELP}",
        "--kep x": "(Possible options: --help, --keep)",
        "extra": EXTRA,
        "--square 3": "less than or equal to 2, got '3'",
    },
    "teach": {
        "": "name a run, or give a --problem; one of the two",
        "nosuch --solution x": NO_RUN,
        "run-a --solution missing.txt": "'missing.txt' is no file, and no solution: write steps",
        "run-a --solution ''": "'' is no file, and no solution",
        "run-a --solution note.bin": "'note.bin' cannot be read",
    },
    "judge": {
        "run-a": f"Missing argument 'verdict'{HELP}",
        "pass run-a": "no run 'pass'; `vitarmm trace list` shows",
        "run-a perhaps": "'perhaps'",
        "run-a fail --step 9": "attempt 1 has steps 1 to 3, got step 9",
        "run-a fail --solution missing.txt": "'missing.txt' is no file",
    },
    "learn": {
        "": f"Missing argument 'file'{HELP}",
        "missing.jsonl": NO_FILE,
        "note.txt": "'note.txt' holds no run that can be learned from: line 1 is not JSON",
        "folder": "'folder' cannot be read: Is a directory",
        "rows.jsonl --precision 90": "less than or equal to 1, got '90'",
    },
    "simulate": {
        "": f"Missing option '--output-dir'{HELP}",
        "--output-dir new": "nothing to simulate: give --gsm8k-path",
        "--output-dir new --gsm8k-path missing.jsonl": NO_FILE,
        "--output-dir folder --gsm8k-path rows.jsonl": FULL,
        "--output-dir new --gsm8k-path rows.jsonl -r qwen": NO_MODEL,
        "--output-dir new --gsm8k-path rows.jsonl --on-siblings 2": "too few other numbers keep every value whole and positive",
        "--output-dir new --gsm8k-path rows.jsonl --on-siblings 2 --teacher qwen": NO_MODEL,
    },
    "train": {
        "": f"Missing option '--data'{HELP}",
        "--data d --output-dir new --stage rl": "'rl' is not one of 'sft', 'dpo'",
        "--data d --output-dir new --lora-r 0": "lora_r: Input should be greater than or equal to 1",
        "--data d --output-dir new --num-epochs some": f"got 'some'{HELP}",
        "--data d --output-dir new --learning-rat 1": "(Possible options: --learning-rate)",
    },
    "eval": {
        "--output-dir new": "no benchmark is given; name a file, such as --gsm8k-path FILE",
        "--output-dir new --gsm8k-path missing.jsonl": NO_FILE,
        "--output-dir new --gsm8k-path rows.jsonl --arms memory": "unknown arm 'memory'; use some of",
        "--output-dir folder --gsm8k-path rows.jsonl": FULL,
        "--output-dir new --gsm8k-path rows.jsonl --budget lots": "write it like '2M tokens'",
    },
    "eval siblings": {
        "missing.jsonl": NO_FILE,
        "note.txt": NO_KIND,
        "--each 1": "a group needs 2 siblings or more, got 1",
        "--groups 0": "--groups must be 1 or more, or -1 for all; got 0",
        "--workers 0": f"greater than or equal to 1, got '0'{HELP}",
    },
    "eval rmm": {
        "": f"Missing option '--output-dir'{HELP}",
        "--output-dir new": "nothing to simulate: give --gsm8k-path",
        "--output-dir note.txt": "output folder 'note.txt' is a file; choose a new or empty folder",
        "--output-dir new --data folder": "'folder' is no simulation: it has no config.json",
        "--output-dir new --gsm8k-path rows.jsonl --rmm qwen": NO_MODEL,
    },
    "eval report": {
        "": f"Missing argument 'folder'{HELP}",
        "missing": NO_EVALUATION,
        "folder": NO_EVALUATION,
        "note.txt": "'note.txt/config.json' cannot be read: Not a directory",
        "folder extra": EXTRA,
    },
    "eval compare": {
        "": f"Missing argument 'first'{HELP}",
        "folder": f"Missing argument 'second'{HELP}",
        "missing missing": NO_EVALUATION,
        "folder folder": NO_EVALUATION,
        "folder folder --pair online": "--pair needs two names, such as online,empty; got 'online'",
    },
    "eval export": {
        "": f"Missing argument 'folder'{HELP}",
        "folder": f"Missing argument 'file'{HELP}",
        "missing out.html": NO_EVALUATION,
        "folder out.html --arms x": NO_EVALUATION,
        "folder note.txt": HERE,
    },
    "eval verifiers": {
        "": f"Missing option '--data'{HELP}",
        "--data missing": "check --data",
        "--data note.txt": "check --data",
        "--data folder --benchmark mmlu": "benchmark 'mmlu' is unknown; use one of gsm8k",
        "--data folder --dataset mmlu": "benchmark 'mmlu' is unknown; use one of gsm8k",
    },
    "eval render-mmlu": {
        "": f"Missing argument 'data'{HELP}",
        "missing.jsonl new": NO_FILE,
        "note.txt new": NO_KIND,
        "mmlu.csv folder": "folder 'folder' is not empty; choose a new one",
        "mmlu.csv new --sizes big": "--sizes 'big' is no list of numbers; write 16,24,32",
    },
    "trace list": {
        "--status done": "--status must be one of running",
        "--since yesterday": "--since must be a day like 2026-01-31, got 'yesterday'",
        "--limit 0": LIMIT,
        "--memory here": "--memory-use must be one of used, written, none; got 'here'",
        "--verdict fial": "got 'fial' (did you mean 'fail'?)",
        "--lmit 3": "(Possible options: --limit)",
    },
    "trace show": {
        "": f"Missing argument 'THREAD'{HELP}",
        "nosuch": NO_RUN,
        "run-a extra": EXTRA,
        "run-a --promt": "(Possible options: --no-prompt, --prompt)",
        "run-a --database mysql://x": "postgresql://HOST/NAME (with user:password@HOST), got 'mysql://x'",
    },
    "trace diff": {
        "": f"Missing argument 'THREAD'{HELP}",
        "run-a": f"Missing argument 'OTHER'{HELP}",
        "run-a nosuch": NO_RUN,
        "nosuch run-a": NO_RUN,
        "run-a run-a extra": EXTRA,
    },
    "trace export": {
        "": f"Missing argument 'THREAD'{HELP}",
        "run-a": "say how to export: either --html or --json",
        "nosuch --html": NO_RUN,
        "run-a note.txt --html": HERE,
        "run-a no/folder.html --html": "'no/folder.html' cannot be written: No such file or directory",
    },
    "trace delete": {
        "": f"Missing argument 'THREAD'{HELP}",
        "nosuch": NO_RUN,
        "nosuch --yes": NO_RUN,
        "''": "no run ''",
        "run-a extra": EXTRA,
    },
    "trace tag": {
        "": f"Missing argument 'THREAD'{HELP}",
        "nosuch geometry": NO_RUN,
        f"run-a {'x' * 70}": "a tag is a word or a few of up to 40 characters, got 'xxx",
        "run-a ''": "a tag is a word or a few",
        "run-a --remvoe x": "(Possible options: --remove)",
    },
    "trace note": {
        "": f"Missing argument 'THREAD'{HELP}",
        "run-a": f"Missing argument 'TEXT'{HELP}",
        "nosuch why": NO_RUN,
        "run-a why not": "unexpected extra argument(s) (not)",
        f"run-a {'x' * 5000}": "note: String should have at most 4000 characters",
    },
    "trace prune": {
        "": "say which runs may go: an age (--older-than 30d), or how many stay",
        "--older-than month": "an age is a number with min, h, d or w, such as 30d; got 'month'",
        "--older-than 30": "such as 30d; got '30'",
        "--keep-last -1": f"greater than or equal to 0, got '-1'{HELP}",
        "--kep-last 3": "(Possible options: --keep-last)",
    },
    "memory list": {
        "--type rule": "--type must be one of correction, insight, fact; got 'rule'",
        "--state old": "--state must be one of live, expired, quarantined, superseded; got 'old'",
        "--limit 0": LIMIT,
        "--memory note.txt": NO_FOLDER,
        "--memory off": OFF,
    },
    "memory show": {
        "": f"Missing argument 'entry_id'{HELP}",
        "nosuch": NO_ENTRY,
        "ENTRY extra": EXTRA,
        "ENTRY --memory off": OFF,
        "ENTRY --memory note.txt": NO_FOLDER,
    },
    "memory search": {
        "''": "there is no text to search for",
        "two words": "put text of several words in quotation marks",
        "x --limit 0": LIMIT,
        "x --as-of yesterday": "--as-of must be a time such as 2026-01-31T12:00, got 'yesterday'",
        "x --memory off": OFF,
    },
    "memory add": {
        "''": "content: String should have at least 1 character",
        "two words": "put text of several words in quotation marks",
        "x --type rule": "'correction', 'insight' or 'fact', got 'rule'",
        "x --confidence 5": "confidence: Input should be less than or equal to 1, got 5.0",
        "x --expires soon": "--expires must be a time such as 2027-01-31, or an age such as 90d",
        "x --expires 2001-01-01": "'2001-01-01' is over already; give a time to come",
    },
    "memory edit": {
        "": f"Missing argument 'entry_id'{HELP}",
        "ENTRY": "nothing to change: give --content, --title",
        "nosuch --title x": NO_ENTRY,
        "ENTRY --confidence 5": "confidence: Input should be less than or equal to 1, got 5.0",
        "ENTRY --type rule": "'correction', 'insight' or 'fact', got 'rule'",
    },
    "memory forget": {
        "": f"Missing argument 'entry_ids'{HELP}",
        "nosuch": NO_ENTRY,
        "nosuch --yes": NO_ENTRY,
        "''": "there is no entry ''",
        "ENTRY --memory off": OFF,
    },
    "memory review": {
        "nosuch --accept": NO_ENTRY,
        "ENTRY": "give --accept or --reject",
        "ENTRY --accept --reject": "give --accept or --reject",
        "ENTRY --accept": "is not quarantined; nothing to review",
        "--memory off": OFF,
    },
    "memory merge": {
        "": f"Missing argument 'entry_id'{HELP}",
        "ENTRY": f"Missing argument 'other_id'{HELP}",
        "ENTRY nosuch": NO_ENTRY,
        "nosuch ENTRY": NO_ENTRY,
        "ENTRY ENTRY": "give two different entries to merge",
    },
    "memory stats": {
        "extra": EXTRA,
        "--memory off": OFF,
        "--memory note.txt": NO_FOLDER,
        "--memory http://127.0.0.1:9": NO_SERVER,
        "--namespace a//b": "namespace label must be text that is not empty, got ''",
    },
    "memory reindex": {
        "--embedder nope": "embedder 'nope' must look like local:all-minilm-l6-v2 or openai:",
        "--embedder local:llama": NO_WEIGHTS,
        "--memory note.txt": "memory folder 'note.txt' does not exist; check --memory",
        "--memory off": OFF,
        "extra": EXTRA,
    },
    "memory undo": {
        "": f"Missing argument 'run'{HELP}",
        "nosuch": "the journal knows no run 'nosuch'; see: vitarmm memory log",
        "ENTRY --yes": "see: vitarmm memory log",
        "run-a extra": EXTRA,
        "run-a --memory off": OFF,
    },
    "memory log": {
        "--limit 0": LIMIT,
        "extra": EXTRA,
        "--memory off": OFF,
        "--memory note.txt": NO_FOLDER,
        "--entri x": "(Possible options: --entry)",
    },
    "memory namespaces": {
        "extra": EXTRA,
        "--memory off": OFF,
        "--memory note.txt": NO_FOLDER,
        "--memory http://127.0.0.1:9": NO_SERVER,
        "--namespace x": f"No such option: --namespace{HELP}",
    },
    "memory check": {
        "extra": EXTRA,
        "--memory off": OFF,
        "--memory note.txt": NO_FOLDER,
        "--memory http://127.0.0.1:9": NO_SERVER,
        "--namespace x": f"No such option: --namespace{HELP}",
    },
    "memory compact": {
        "": "say how much history may go: what is older than a time (--older-than 90d)",
        "--older-than long": "--older-than must be a time such as 2027-01-31, or an age",
        "--older-than 30": "got '30'",
        "--keep-last -1": f"greater than or equal to 0, got '-1'{HELP}",
        "--memory off": OFF,
    },
    "memory consolidate": {
        "--shown 0": f"greater than or equal to 1, got '0'{HELP}",
        "--below 5": "below a share above 0, got 8 and 5.0",
        "--aply": "(Possible options: --apply)",
        "--memory off": OFF,
        "extra": EXTRA,
    },
    "memory export": {
        "note.txt": HERE,
        "x.jsonl --skills y": "give a file or --skills, not both; got 'x.jsonl' and 'y'",
        "--proven yes": "--proven must be one of helpful, surely, all; got 'yes'",
        "--skills note.txt": "'note.txt' cannot be written",
        "--memory off": OFF,
    },
    "memory import": {
        "": "give a file of JSON Lines, or a folder with --skills; one of the two",
        "missing.jsonl": NO_FILE,
        "note.txt": "line 1 is not JSON",
        "--skills folder": "'folder' holds no folder with a SKILL.md",
        "rows.jsonl --on-conflict ask": "--on-conflict must be one of fail, skip, replace; got 'ask'",
    },
    "ui": {
        "--port 99999": f"less than or equal to 65535, got '99999'{HELP}",
        "--port BUSY": BUSY,
        "--host no.invalid": "choose another with --host",
        "--token abc": "a token needs 16 or more plain characters, got 3",
        "extra": EXTRA,
    },
    "mcp": {
        "--http --host 0.0.0.0": "can be reached by others: give a --token that clients must send",
        "--http --token abc": "a token needs 16 or more plain characters, got 3",
        "--http --port BUSY": BUSY,
        "--set user": "--set takes NAME=VALUE, got 'user'",
        "-r qwen": NO_MODEL,
    },
    "serve": {
        "--host 0.0.0.0 --no-key": "leave out --no-key, or listen at 127.0.0.1",
        "--api-key-env NOSUCH": "--api-key-env names 'NOSUCH', which is not set or empty",
        "--port BUSY": BUSY,
        "--set user": "--set takes NAME=VALUE, got 'user'",
        "-r qwen": NO_MODEL,
    },
    "models list": {
        "extra": EXTRA,
        "--jsn": "(Possible options: --json)",
        "--all": f"No such option: --all{HELP}",
        "-v": f"No such option: -v{HELP}",
        "--vers": f"No such option: --vers{HELP}",
    },
    "models pull": {
        "": f"Missing argument 'names'{HELP}",
        "llama": NO_WEIGHTS,
        "smollm2-135m": ONE,
        "Qwen/Qwen2.5-7B": "any other GGUF file or model folder is used by its path: local:PATH",
        "--all": f"No such option: --all{HELP}",
    },
    "models path": {
        "": f"Missing argument 'name'{HELP}",
        "llama": NO_WEIGHTS,
        "local:smollm2-135m-instruct": ONE,
        "llama extra": EXTRA,
        "models/missing.gguf": "no weights at 'models/missing.gguf': there is no such file or folder",
    },
    "models remove": {
        "": f"Missing argument 'names'{HELP}",
        "llama": NO_WEIGHTS,
        "smollm2-135m": ONE,
        "local:smollm2-135m-instruct": ONE,
        "--all": f"No such option: --all{HELP}",
    },
    "models convert-vita": {
        "": f"Missing argument 'source'{HELP}",
        "folder": f"Missing argument 'target'{HELP}",
        "missing new": "there is no folder 'missing'; name one that holds a VITA checkpoint",
        "note.txt new": "there is no folder 'note.txt'",
        "folder new extra": EXTRA,
    },
    "config": {
        "reasoner": "No such command 'reasoner'; see: vitarmm config --help",
        "list": "No such command 'list'; see: vitarmm config --help",
        "--changd": "(Possible options: --changed)",
        "set": "Missing argument 'name'; see: vitarmm config set --help",
        "reasoner openai:x": "No such command 'reasoner'",
    },
    "config set": {
        "reasoner": f"Missing argument 'value'{HELP}",
        "max_iteration 2": "did you mean 'max_iterations'?",
        "max_iterations many": "unable to parse string as an integer, got 'many'",
        "namespace ''": "namespace label must be text that is not empty",
        "OPENAI_API_KEY sk-x": "keys are read from the environment; export OPENAI_API_KEY=…",
    },
    "config unset": {
        "": f"Missing argument 'name'{HELP}",
        "reasoner": "does not set reasoner; `vitarmm config` shows what does",
        "model": "does not set reasoner",
        "nosuch": "there is no setting 'nosuch'",
        "reasoner extra": EXTRA,
    },
    "doctor": {
        "extra": EXTRA,
        "--verbose": f"No such option: --verbose{HELP}",
        "--jsn": "--json)",
        "-r": f"Option '-r' requires an argument{HELP}",
        "--namespace a//b": "namespace label must be text that is not empty",
    },
    "trust": {
        "": "there is no file 'vitarmm.toml' to trust; name it: vitarmm trust FILE",
        "missing.toml": "there is no file 'missing.toml' to trust",
        "folder": "there is no file 'folder' to trust",
        "bad.toml": "'bad.toml' cannot be read: Invalid value",
        "bad.toml extra": EXTRA,
    },
}


@pytest.fixture(scope="module")
def place(
    tmp_path_factory: pytest.TempPathFactory, tiny_embedder: Callable[[int], str]
) -> Iterator[dict[str, str]]:
    """A working folder with things of the wrong kind, a run, an entry, and a port that is taken."""
    folder = tmp_path_factory.mktemp("mistakes")
    (folder / "folder").mkdir()
    (folder / "folder" / "other").touch()
    row = {"id": "a", "question": "What is 2 + 2?", "answer": "2+2=4\n#### 4"}
    for name, text in (
        ("note.txt", "no data"),
        ("rows.jsonl", json.dumps(row)),
        ("mmlu.csv", "What is 2 + 2?,1,2,3,4,D"),
        ("bad.toml", "x = ["),
    ):
        (folder / name).write_text(text)
    (folder / "note.bin").write_bytes(b"\xff\x81")
    replies = script(folder / "script.json", RIGHT, nothing())
    with socket.socket() as taken, pytest.MonkeyPatch.context() as patch:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        settings = {
            "VITARMM_DATA_DIR": str(folder / "data"),
            "VITARMM_HOME": str(folder / "weights"),
            "XDG_CONFIG_HOME": str(folder / "configuration"),
            "VITARMM_EMBEDDER": tiny_embedder(16),
            "VITARMM_REASONER": replies,
            "VITARMM_FEEDBACK": "arithmetic",
        }
        for name, value in settings.items():
            patch.setenv(name, value)
        patch.setattr("sys.stdin", io.StringIO())
        assert run_app(["solve", QUESTION, "--thread", "run-a"]) == 0
        assert run_app(["memory", "add", "Divide the perimeter by four."]) == 0
        shown = io.StringIO()
        patch.setattr("sys.stdout", shown)
        assert run_app(["memory", "list", "--json"]) == 0
        entry = json.loads(shown.getvalue())[0]["id"]
        words = {"ENTRY": entry, "BUSY": str(taken.getsockname()[1]), "FOLDER": str(folder)}
        yield settings | words


def commands() -> set[str]:
    """All commands there are."""

    def walk(command: Any, path: tuple[str, ...]) -> Iterator[str]:
        if not hasattr(command, "commands") or getattr(command, "invoke_without_command", False):
            yield " ".join(path)
        for name, sub in getattr(command, "commands", {}).items():
            yield from walk(sub, (*path, name))

    return {*walk(application(), ()), ""}


def test_each_command_has_its_five() -> None:
    assert set(MISTAKES) == commands()
    assert [command for command, said in MISTAKES.items() if len(said) < 5] == []


@pytest.mark.parametrize("command", MISTAKES)
def test_each_gets_one_clear_line(
    command: str, place: dict[str, str], monkeypatch: pytest.MonkeyPatch, capsys: Capture
) -> None:
    monkeypatch.chdir(place["FOLDER"])
    for name in ("VITARMM_CONFIG", "OPENAI_API_KEY", "OPENAI_BASE_URL"):
        monkeypatch.delenv(name, raising=False)
    for name, value in place.items():
        if name not in ("ENTRY", "BUSY", "FOLDER"):
            monkeypatch.setenv(name, value)
    monkeypatch.setattr("sys.stdin", io.StringIO())
    for mistake, told in MISTAKES[command].items():
        told = told.replace("{command}", command)
        words = [place.get(word, word) for word in shlex.split(mistake)]
        code = run_app([*command.split(), *words])
        said = capsys.readouterr()
        assert (code, mistake) == (2, mistake), said
        line = said.err.removesuffix("\n")
        assert line.startswith("error: ") and "\n" not in line, (mistake, said)
        assert told in line, (mistake, told)
        assert "Traceback" not in line and "unexpected error" not in line
        assert said.out == "", (mistake, said.out)
    assert not os.path.exists(Path(place["FOLDER"], "new")), "a mistake left a folder behind"
