# One word per job. The build machine says the same words: see .ci/run.

python := .venv/bin/python

# PORT, HOST and DATA count when written after the word (`make run PORT=8010`). A shell may carry variables
# of these names for reasons of its own, so those are not read.
option = $(if $(filter command,$(origin $(1))),--$(2)='$(subst ','\'',$(value $(1)))')

# What `manage.py check --deploy` needs to believe it is in production, and nothing of the shell's besides. All
# of it is made up, the keys anew each time: those that everybody knows are refused.
random = $(shell head -c $(1) /dev/urandom | base64 | tr -d '\n' | tr +/ -_)
production = env -i PATH="$$PATH" HOME="$$HOME" DEBUG=false HTTPS=true ALLOWED_HOSTS=webhooks.example.com \
	SECRET_KEY=$(call random,48) ENCRYPTION_KEYS=$(call random,32) \
	DATABASE_URL=postgres://nobody@database.example.com/webhooks REDIS_URL=redis://redis.example.com/0

.PHONY: help run hello test fuzz faults soak bench bench-quick bench-long check fix schema screenshots clean lock product tools

help: ## list these words
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "  make %-11s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

run: product ## install what is missing and start the service (PORT=8010 HOST=0.0.0.0 DATA=folder)
	@exec $(python) manage.py up $(call option,PORT,port) $(call option,HOST,host) $(call option,DATA,data-dir)

hello: product ## publish one event to the running service and follow it (DATA=folder)
	@exec $(python) manage.py hello $(call option,DATA,data-dir)

test: tools ## run every test, on SQLite and on PostgreSQL (ARGS="-k retry")
	@exec $(python) -m tests.run $(ARGS)

fuzz: tools ## send 20,000 requests nobody would think of, on both databases (SEED=1 CASES=100)
	@seed=$${SEED:-$$(date +%s)}; echo "make fuzz SEED=$$seed sends the same again."; \
	exec $(python) -m tests.run tests/fuzz --fuzz-cases $${CASES:-20000} --fuzz-seed $$seed

# `make soak` leaves the figures of `make faults` as they are, and the other way round.
faults: tools ## hurt the service under traffic for an hour, and write docs/reliability.md (SEED=1 ONLY=redis)
	@seed=$${SEED:-$$(date +%s)}; echo "make faults SEED=$$seed does the same again."; \
	$(python) -m tests.run tests/faults -n 0 -s --faults long --faults-seed $$seed --randomly-seed $$seed -k "$${ONLY:-faults}" \
		--faults-figures docs/reliability.json; \
	outcome=$$?; $(python) -m tests.faults.report && exit $$outcome

soak: tools ## watch for an hour what the service holds on to, and write docs/reliability.md (MINUTES=60)
	@$(python) -m tests.run tests/faults/test_soak.py -n 0 -s --database postgresql \
		--soak-minutes $${MINUTES:-60} --faults-figures docs/reliability.json; \
	outcome=$$?; $(python) -m tests.faults.report && exit $$outcome

bench: tools ## measure what a delivery costs, beside others, in ten minutes; write docs/performance.md (ONLY="idle")
	@exec $(python) -m benchmarks $${ONLY:+--only $$ONLY}

bench-quick: tools ## the most important of it in a minute; writes nothing
	@exec $(python) -m benchmarks --quick

bench-long: tools ## every page with ten million attempts, and a million deliveries in a row, in half an hour
	@exec $(python) -m benchmarks --only lists-full console bloat

check: tools ## format, lint, types, import contracts, migrations, production settings
	$(python) -m ruff format --check .
	$(python) -m ruff check .
	$(python) -m mypy
	.venv/bin/lint-imports
	$(production) DATABASE_URL=sqlite://:memory: REDIS_URL= $(python) manage.py makemigrations --check --dry-run
	$(production) $(python) manage.py check --deploy --fail-level WARNING

fix: tools ## format, and repair what ruff can repair
	$(python) -m ruff format .
	$(python) -m ruff check --fix .

schema: tools ## write docs/openapi/*.yaml anew, from the URLs and deliveries/api/*/schema
	@for contract in failures logs native; do \
		$(production) $(python) manage.py spectacular --validate --fail-on-warn \
			--generator-class deliveries.api.$$contract.schema.Generator \
			--file docs/openapi/$$contract.yaml || exit 1; \
	done

screenshots: tools ## take the pictures of the console anew, into docs/images
	@exec $(python) -m tests.gallery

clean: ## remove .venv, the data in ./var, and caches
	rm -rf .venv var .import_linter_cache .mypy_cache .pytest_cache .ruff_cache
	find . -name __pycache__ -type d -prune -exec rm -rf {} +

pinned := --quiet --universal --generate-hashes --python-version 3.11 --no-emit-index-url --no-header

lock: ## pin what pyproject.toml asks for (needs uv)
	@command -v uv >/dev/null || { echo "make lock needs uv: run 'pipx install uv', then 'make lock' again." >&2; exit 1; }
	uv pip compile pyproject.toml $(pinned) -o requirements.txt
	uv pip compile pyproject.toml $(pinned) -o requirements-dev.txt --extra dev -c requirements.txt

product:
	@deploy/venv.sh requirements.txt

tools:
	@deploy/venv.sh requirements-dev.txt
