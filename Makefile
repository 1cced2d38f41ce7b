# Everything a person does here is one of these.
PYTHON := .venv/bin/python

.PHONY: run demo test edge check bench docs client eval soak lock clean

run: .venv/ready            ## a running exchange with the console chat
	@$(PYTHON) -m encryptotel run --console --data data

demo: .venv/ready           ## the main job without a person, proven by tone
	@$(PYTHON) -m encryptotel demo

test: .venv/tests-ready     ## everything the tests need, then the tests
	@sh tools/test.sh

soak: .venv/tests-ready     ## the long campaigns
	@SOAK=1 $(PYTHON) -m pytest tests -m soak

edge: .venv/tests-ready     ## the tests with real phones, through Kamailio and three programs on PostgreSQL
	@THROUGH_EDGE=1 $(PYTHON) -m pytest -n 3 tests/interop tests/chat/test_journeys.py

eval: .venv/tests-ready     ## how well people are understood (CORPORA=folder for the public ones)
	@$(PYTHON) -m nlp.training.evaluate --sentences tests/nlp/sentences/contract \
		$(if $(CORPORA),--corpora $(CORPORA))

bench: .venv/tests-ready    ## speed, as ratios within one run
	@$(PYTHON) -m bench

docs: .venv/tests-ready     ## the documentation as a site, in build/docs; a broken link fails
	@.venv/bin/sphinx-build -q -W --keep-going -n docs build/docs

client: .venv/tests-ready   ## the client library, after a change of the API or of encryptotel_client/aio.py
	@$(PYTHON) -m tools.client_shapes
	@$(PYTHON) -m tools.client_sync

lock:                       ## renew the pinned versions from pyproject.toml
	@sh tools/lock.sh

clean:
	rm -rf .venv .cache build *.egg-info tests/peers/*/node_modules

.venv/ready: pyproject.toml requirements.lock tools/setup.sh
	@sh tools/setup.sh

.venv/tests-ready: .venv/ready requirements-test.lock tools/peers.sh $(wildcard tests/peers/*/package-lock.json)
	@sh tools/setup.sh test
