# Landloom's two commands for people: `make demo` and `make test`.
# Everything they need goes into .venv, pinned by requirements/all.txt.

VENV  := .venv
BIN   := $(VENV)/bin
STAMP := $(VENV)/.landloom-ready

.PHONY: demo test check lint types contracts unit setup lock clean

demo: $(STAMP)  ## start a platform, run the sample job end to end, draw the picture
	@$(BIN)/landloom demo

test: setup check  ## make the environment, then everything `check` does

check: lint types contracts unit  ## lint, types, import contracts and all tests, without set-up

setup: $(STAMP)

$(STAMP): requirements/all.txt pyproject.toml
	@python="$$(sh tools/find-python)" || exit 1; \
	 test -x $(BIN)/python || "$$python" -m venv $(VENV) || exit 1
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check --require-hashes --no-deps -r requirements/uv.txt
	@$(BIN)/uv pip sync --quiet --python $(BIN)/python --require-hashes --compile-bytecode requirements/all.txt
	@$(BIN)/uv pip install --quiet --python $(BIN)/python --no-deps --editable .
	@touch $@

lint:
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .

types:
	$(BIN)/mypy

contracts:
	$(BIN)/lint-imports

unit:  ## what needs little beside itself two files at a time, what starts platforms and clusters alone
	$(BIN)/pytest -n 2 --dist loadfile --ignore=tests/unit/raster/execute tests/unit
	$(BIN)/pytest -n 2 --dist loadfile tests/api
	$(BIN)/pytest tests/unit/raster/execute tests/clients tests/contract tests/e2e tests/faults

lock:  ## compile the pinned, hashed requirements anew
	$(BIN)/uv pip compile pyproject.toml --all-extras --group dev --python-version 3.12 --universal \
	  --quiet --no-emit-index-url --no-header --generate-hashes -o requirements/all.txt
	sed -n '/^uv==/,/^[^ ]/p' requirements/all.txt | sed '$$d' > requirements/uv.txt

clean:
	rm -rf $(VENV) build
