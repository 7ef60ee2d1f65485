# make serve   a server on http://127.0.0.1:5000        (ARGS="-p 8000" for more; EXTRAS=atari,mujoco
#              for more environments: atari, mujoco, box2d, minigrid)
# make test    every test, with all of these environments
# make bench   our speeds against their goals           (ARGS=--quick takes a minute; benchmarks/README.md)
# make soak    100,000 steps of each kind of client, and ten minutes of environments that go wrong
#              (ARGS="--steps 5000" for the first alone, FAULTS="--minutes 2" for the second)
# make fuzz    Schemathesis on the OpenAPI document, for ten minutes (ARGS="--minutes 2"), and 5,000 broken
#              bodies for each decoder
# make peers   OpenEnv, dm_env_rpc and Ray on the same work, each in an environment of its own
# make ppo     an agent that learns on a server         (benchmarks/README.md)
# make example a random agent on a running server       (ARGS="--url …")
# make lint    ruff;  make types    mypy
# make lock    the newest versions into uv.lock, which the container is made of (docs/deploy.md)
# make audit   is a vulnerability known of any of these?  (ARGS=--if-offered: no failure where the
#              registry has no such data)
# make container-test  builds the image and tries it      (CONTAINER=podman, EXTRAS=…)

PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
TOOLS := .venv-tools
CONTAINER ?=
ARGS ?=
FAULTS ?=
EXTRAS ?=
WITH_EXTRAS := $(if $(EXTRAS),$(VENV)/extras-$(EXTRAS))

.PHONY: serve test bench soak fuzz peers ppo example lint types lock audit container-test clean

serve: $(VENV)/installed $(WITH_EXTRAS)
	@exec $(BIN)/python gym_http_server.py $(ARGS)

test: $(VENV)/extras-test $(WITH_EXTRAS)
	$(BIN)/python -m nose2 --plugin nose2.plugins.mp --plugin tests.side_by_side -N 2 $(ARGS)

bench: $(VENV)/extras-bench
	@exec $(BIN)/python -m benchmarks $(ARGS)

soak: $(VENV)/extras-bench
	$(if $(ARGS)$(if $(FAULTS),,1),@$(BIN)/python -m benchmarks.soak $(ARGS))
	$(if $(FAULTS)$(if $(ARGS),,1),@$(BIN)/python -m benchmarks.faults $(FAULTS))

fuzz: $(VENV)/extras-test
	$(if $(wildcard tests/test_fuzz_decoders.py),GYM_HTTP_FUZZ_EXAMPLES=5000 $(BIN)/python -m nose2 tests.test_fuzz_decoders)
	@$(BIN)/python -m tests.fuzz $(ARGS)

peers: $(VENV)/installed
	@exec $(BIN)/python -m benchmarks.peers $(ARGS)

ppo: $(VENV)/extras-ppo
	@exec $(BIN)/python -m benchmarks.train_ppo $(ARGS)

example: $(VENV)/installed
	@exec $(BIN)/python example_agent.py $(ARGS)

lint: $(VENV)/dev
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .

types: $(VENV)/dev
	$(BIN)/mypy

lock: $(TOOLS)/installed
	$(TOOLS)/bin/uv lock --upgrade
	echo 'uv' | $(TOOLS)/bin/uv pip compile --quiet --universal --generate-hashes --no-header - -o deploy/uv.txt

audit: $(TOOLS)/installed
	@$(PYTHON) deploy/audit.py --uv $(TOOLS)/bin/uv --pip-audit $(TOOLS)/bin/pip-audit $(ARGS)

container-test: $(VENV)/extras-test
	CONTAINER=$(CONTAINER) EXTRAS=$(EXTRAS) $(BIN)/python -m unittest -v tests.container

clean:
	rm -rf $(VENV) $(TOOLS) .venv-peers

# The marks are younger than what they were made from, so a changed list installs anew.
$(VENV)/installed: requirements.txt
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 10))' \
	  || { echo "Python 3.10 or newer is needed: make PYTHON=python3.12 …" >&2; exit 1; }
	@test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	@echo "Installing into $(VENV), once …"
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check -r requirements.txt
	@touch $@

# Extras of pyproject.toml, separated by commas.
$(VENV)/extras-%: $(VENV)/installed pyproject.toml
	@echo "Installing $* into $(VENV), once …"
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check -e ".[$*]"
	@touch "$@"

$(VENV)/dev: $(VENV)/installed
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check "ruff>=0.8" "mypy>=1.13" types-requests
	@touch $@

$(TOOLS)/installed: Makefile
	@$(PYTHON) -m venv $(TOOLS)
	@$(TOOLS)/bin/python -m pip install --quiet --disable-pip-version-check "uv>=0.13" "pip-audit>=2.9"
	@touch $@
