# Two commands do everything on a fresh machine with Python 3.11+:
#   make demo    install, fetch the small local model, and watch it learn
#   make test    install, then run the tests
PYTHON ?= python3
VENV   ?= .venv
BIN    := $(VENV)/bin
PIP    := $(BIN)/python -m pip

# On Linux the default torch wheel brings several GB of CUDA libraries; this index has the CPU build.
# With an NVIDIA GPU: make demo TORCH_INDEX=
TORCH_INDEX ?= https://download.pytorch.org/whl/cpu
EXTRAS      ?= torch,openai,ocr,ui,mcp,postgres,server,docs,eval,cluster,inspect,train
DEMO_MODELS := qwen2.5-coder-0.5b-instruct all-minilm-l6-v2
MODELS      ?= $(DEMO_MODELS) smollm2-135m-instruct

BROWSER := $(VENV)/browser
AXE     := $(BROWSER)/node_modules/axe-core/axe.min.js

# llama-cpp-python has no wheels on PyPI: its build needs a C++ compiler and takes minutes. It is built for
# any CPU of its kind, since gcc 12 compiles its matrix code (AMX) to a server that dies at the first request.
LLAMA       := $(VENV)/llama
LLAMA_BUILD := llama-cpp-python[server]==0.3.36
LLAMA_FLAGS := -DGGML_NATIVE=OFF -DLLAVA_BUILD=OFF -DLLAMA_OPENSSL=OFF

.PHONY: demo test postgres test-thorough test-slow test-browser test-server fuzz lint types format install weights clean

# Only what a first problem needs: no torch, no test tools.
demo: $(VENV)/.base
	@$(BIN)/vitarmm models pull $(DEMO_MODELS)
	@$(BIN)/vitarmm demo

# The tests of the extra `postgres` start a server of their own: Debian's package, as root, else the wheel
# `pgserver`. Debian would also run one of its own; that is left out.
postgres:
	@command -v initdb >/dev/null || ls /usr/lib/postgresql/*/bin/initdb >/dev/null 2>&1 || \
	  { test "$$(id -u)" = 0 && command -v apt-get >/dev/null && apt-get update -qq && \
	    DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends postgresql-common >/dev/null && \
	    sed -i 's/^#*create_main_cluster.*/create_main_cluster = false/' /etc/postgresql-common/createcluster.conf && \
	    DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends postgresql >/dev/null; } || \
	  echo "Postgres is not here and cannot be installed: its tests take the wheel pgserver, or are skipped"

# Tests wait for locks, servers and disks more than they compute: three processes keep two cores at work.
# One file after the other, with their times: make test TEST_PROCESSES=0
TEST_PROCESSES ?= 3
test: weights postgres
	$(BIN)/python -m pytest -n $(TEST_PROCESSES) --dist loadfile --no-loadscope-reorder --durations 30

test-thorough: weights
	$(BIN)/python -m pytest -n $(TEST_PROCESSES) --dist loadfile -m thorough

test-slow: weights postgres
	$(BIN)/python -m pytest -m slow

# Needs Chromium and axe-core: Debian's package is installed as root, axe-core comes from npm.
# Screenshots are kept with: make test-browser PICTURES=docs/images
test-browser: weights
	@command -v chromium >/dev/null || { command -v apt-get >/dev/null && apt-get update -qq && \
	  DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends chromium fonts-dejavu-core >/dev/null; } || \
	  echo "Chromium is not here and cannot be installed: the browser tests will be skipped"
	@test -f $(AXE) || npm install --silent --no-audit --no-fund --prefix $(BROWSER) axe-core@4 >/dev/null || \
	  echo "axe-core cannot be installed: the accessibility tests will be skipped"
	VITARMM_AXE=$(abspath $(AXE)) PICTURES=$(if $(PICTURES),$(abspath $(PICTURES))) $(BIN)/python -m pytest -m browser

# All benchmarks and arms, with a real OpenAI-compatible server and with the same weights in the process.
test-server: weights
	test -x $(LLAMA)/bin/python || $(PYTHON) -m venv $(LLAMA)
	@$(LLAMA)/bin/python -c "import llama_cpp.server.app" 2>/dev/null || { \
	  echo "building llama-cpp-python: about five minutes on two cores"; \
	  CMAKE_ARGS="$(LLAMA_FLAGS)" $(LLAMA)/bin/python -m pip install --quiet "$(LLAMA_BUILD)"; }
	VITARMM_SERVER_PYTHON=$(abspath $(LLAMA)/bin/python) $(BIN)/python -m pytest -m server

# Fresh examples in each round, until one fails or the time is up.
FUZZ_SECONDS ?= 3600
fuzz: weights
	@end=$$(( $$(date +%s) + $(FUZZ_SECONDS) )); while [ $$(date +%s) -lt $$end ]; do \
	  FUZZ_EXAMPLES=1000 $(BIN)/python -m pytest tests/fuzz -x -q --timeout 0 || exit 1; done

lint: install
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .

types: install
	$(BIN)/mypy
	$(BIN)/mypy docs/examples/sample_app.py docs/examples/learning_agent.py

format: install
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

install: $(VENV)/.installed

# Its libraries are a hundred or so small wheels: the first line of progress comes from pip.
$(VENV)/.base: pyproject.toml constraints.txt
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11) and "Python 3.11 or newer is needed, %s is %s: make PYTHON=…" % (sys.executable, sys.version.split()[0]))'
	test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	$(PIP) install --quiet --upgrade "pip>=25.1"
	@echo "installing vitarmm-agent and what it needs into $(VENV): about a minute"
	$(PIP) install --quiet --quiet -c constraints.txt -e .
	@touch $@

$(VENV)/.installed: $(VENV)/.base
	@echo "installing what the tests need besides, torch among it: about three minutes"
	$(PIP) install --quiet --retries 0 $(if $(TORCH_INDEX),--extra-index-url $(TORCH_INDEX)) -c constraints.txt torch
	$(PIP) install --quiet --quiet -c constraints.txt --group dev -e ".[$(EXTRAS)]"
	@touch $@

weights: install
	@$(BIN)/vitarmm models pull $(MODELS)

clean:
	rm -rf $(VENV) build dist *.egg-info .mypy_cache .ruff_cache .pytest_cache .hypothesis
