# Each target is one line over the command line or pytest; the same works without make, see the README.
PYTHON ?= python3
VENV := .venv
READY := $(VENV)/ready

.PHONY: report test lab

report: $(READY)  ## execute the notebooks: make report [DATA=folder] [PROFILE=smoke|quick|paper]
	$(VENV)/bin/covidcnn report $(if $(PROFILE),--profile "$(PROFILE)") $(if $(DATA),--data "$(DATA)")

test: $(READY)  ## check style and types, run every test with coverage
	$(VENV)/bin/python -m pytest --cov --cov-report=term

lab: $(READY)  ## open JupyterLab on the notebooks
	$(VENV)/bin/covidcnn lab

$(READY): requirements.lock pyproject.toml
	$(PYTHON) -m venv $(VENV)
	$(VENV)/bin/pip install --quiet --require-hashes --requirement requirements.lock
	$(VENV)/bin/pip install --quiet --no-deps --no-build-isolation --editable .
	touch $(READY)
