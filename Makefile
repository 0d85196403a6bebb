# Thin verbs; each calls one program. `make help` lists them.
PYTHON ?= $(shell command -v python3.11 || command -v python3)
PY := .venv/bin/python
MODEL ?= nano
PORT ?= 8000
CASE ?= 1
SUITE ?= core
BASE_URL ?= http://127.0.0.1:$(PORT)/v1

.PHONY: help setup demo serve ui eval bench-eval bench-training bench-gateway soak fuzz e2e-cluster train-tiny train-nano test test-fast prove-controls lint audit sbom clean
.DEFAULT_GOAL := help

help:  ## Show this list
	@grep -E '^[a-z0-9-]+:.*## ' $(MAKEFILE_LIST) | awk -F ':.*## ' '{printf "  make %-14s %s\n", $$1, $$2}'
	@echo "  Variables: MODEL=nano|DIR|org/repo[@revision]  PORT=8000  CASE=1..3  ONESHOT=1"
	@echo "  of eval:   SUITE=smoke|core|full|clinic|robustness|trust  TASKS=a,b  LIMIT=n  REPEATS=n  MAX_TOKENS=n  BASE_URL=http://host:port/v1"

setup:  ## Make .venv from the lock (needs Python 3.11 and about 6 GB; the second time a no-op)
	@$(PYTHON) scripts/setup.py

demo: setup  ## Serve the small model, reason through a case, run 16 questions, stay up (ONESHOT=1: exit)
	@$(PY) scripts/demo.py --model $(MODEL) --port $(PORT) --case $(CASE) $(if $(ONESHOT),--oneshot)

serve: setup  ## Serve MODEL on PORT until Ctrl-C
	@$(PY) -m server --model $(MODEL) --port $(PORT)

ui: setup  ## The clinician demo on 7860, over the server at PORT (REPLAY=1: over recorded answers, no server)
	@$(PY) -m ui --server-url http://127.0.0.1:$(PORT) $(if $(REPLAY),--replay)

eval: setup  ## Benchmark the running server and write reports/RUN/report.html; goes on where it was stopped
	@$(PY) -m eval run --suite $(SUITE) --base-url $(BASE_URL) $(if $(TASKS),--tasks $(TASKS)) $(if $(LIMIT),--limit $(LIMIT)) \
		$(if $(REPEATS),--repeats $(REPEATS)) $(if $(MAX_TOKENS),--max-tokens $(MAX_TOKENS))

bench-eval: setup  ## What recording costs against a bare client (64 in flight, 20 ms a token)
	@$(PY) -m tests.bench.eval_overhead

train-tiny: setup  ## Run both training stages on a one-million-parameter model, from nothing (under ten minutes)
	@$(PY) -m training run training/recipes/tiny.yaml

# glibc would return the activations of a step to the kernel and take them back page by page; and small pages are slower.
KEEP_MEMORY := MALLOC_MMAP_THRESHOLD_=17179869184 MALLOC_TRIM_THRESHOLD_=17179869184 GLIBC_TUNABLES=glibc.malloc.hugetlb=1

train-nano: setup  ## Run both stages on SmolLM2-135M (hours on a CPU; needs GAZAL_DATA_DIR; run again, it goes on)
	@$(KEEP_MEMORY) $(PY) -m training run training/recipes/nano.yaml

bench-training: setup  ## What DoRA costs beside LoRA, what integers and sampling from a merged copy save
	@$(KEEP_MEMORY) $(PY) -m tests.bench.training

test: setup  ## All tests, with the real engine (20 minutes or more); TIME_S=N skips what has not begun after N seconds
	@$(PY) -m pytest $(if $(TIME_S),--begin-within-s $(TIME_S))

test-fast: setup  ## Unit tests without the engine (under a minute)
	@$(PY) -m pytest -m "not e2e and not slow and not gpu"

prove-controls: setup  ## Remove each control of docs/safety.md in a copy of the tree: its test must fail (minutes)
	@$(PY) scripts/remove_controls.py $(CONTROLS)

lint: setup  ## ruff, mypy --strict and bandit
	@$(PY) -m ruff check . && $(PY) -m ruff format --check . && $(PY) -m mypy
	@$(PY) -m bandit -q -c pyproject.toml -r gazal server eval training scripts ui

audit: setup  ## Known vulnerabilities of the lock (AUDIT=--skip-unreachable where no service can be asked)
	@$(PY) scripts/audit.py $(AUDIT)

sbom: setup  ## Write build/sbom.json, a CycloneDX list of what the lock installs, with hashes
	@mkdir -p build
	@$(PY) -m cyclonedx_py requirements requirements/cpu.txt --pyproject pyproject.toml --of JSON --output-reproducible -o build/sbom.json
	@echo "build/sbom.json"

clean:  ## Remove caches (not .venv, downloaded models or reports)
	@rm -rf .mypy_cache .ruff_cache .pytest_cache .hypothesis build dist
	@find . -name __pycache__ -not -path './.venv/*' -prune -exec rm -rf {} +

soak: setup  ## The gateway at saturation with clients that leave at random (MINUTES=20)
	@$(PY) tests/bench/gateway_soak.py --minutes $(or $(MINUTES),20)

fuzz: setup  ## 100,000 mutated bodies against the gateway
	@GAZAL_MUTATED_BODIES=100000 $(PY) -m pytest -q tests/server/test_contract.py -k mutated

bench-gateway: setup  ## The gateway beside vllm-router, LiteLLM and a bare pass-through (ROUNDS)
	@$(PY) tests/bench/gateway.py $(if $(ROUNDS),--rounds $(ROUNDS))

e2e-cluster: setup  ## Two replicas, router, gateway, Prometheus and nginx, while one replica dies and one hangs (minutes)
	@$(PY) -m tests.e2e.cluster
