# Each target is one line over the command line or pytest; the same works without make, see docs/reports.md.
PYTHON ?= python3
VENV := .venv
READY := $(VENV)/ready
# In the order of tests/conftest.py, a file in one process.
PYTEST := $(VENV)/bin/python -m pytest --numprocesses 2 --dist loadfile --no-loadscope-reorder

.PHONY: report paper publish docs wheels check test test-all coverage lab audit

report: $(READY)  ## execute the notebooks: make report [DATA=folder] [PROFILE=smoke|quick|paper]
	$(VENV)/bin/covidcnn report $(if $(PROFILE),--profile "$(PROFILE)") $(if $(DATA),--data "$(DATA)")

paper: $(READY)  ## train what reports/paper still lacks, then ledger and report: make paper DATA=chest_xray_224
	$(VENV)/bin/covidcnn evidence complete $(if $(DATA),--data "$(DATA)")
	$(VENV)/bin/covidcnn report --profile paper $(if $(DATA),--data "$(DATA)")

publish: $(READY)  ## the phantom report's notebooks, executed, to be read in docs/report
	$(VENV)/bin/covidcnn report --out reports/quick-phantom
	$(VENV)/bin/covidcnn publish reports/quick-phantom docs/report

docs: $(READY)  ## make the numbers in prose, and the page of commands, anew
	$(VENV)/bin/covidcnn evidence numbers
	$(VENV)/bin/python -m typer covidcnn.cli utils docs --name covidcnn --title "Command line" > docs/command-line.md

wheels: $(READY)  ## every package as a file in wheels/, for computers without a network: docs/other-systems.md
	$(VENV)/bin/pip download --quiet --no-deps --require-hashes --requirement requirements.lock --dest wheels

check: $(READY)  ## style, types and the fast tests
	$(PYTEST) -m "not slow and not long and not browser"

test: $(READY)  ## style, types, all tests but the longest; what CI runs
	$(PYTEST) -m "not long"

test-all: $(READY)  ## every test: clusters, courses and controls, too
	$(PYTEST)

coverage: $(READY)  ## every test, and which lines none of them runs
	$(PYTEST) --cov --cov-report=term

lab: $(READY)  ## open JupyterLab on the notebooks
	$(VENV)/bin/covidcnn lab

# Strict: of a package that its service does not know, pip-audit would say no more than 'no known vulnerabilities'.
audit: $(READY)  ## look up known vulnerabilities of every locked package; needs the network
	@$(VENV)/bin/pip-audit --strict --disable-pip --require-hashes --requirement requirements.lock \
		--progress-spinner off 2> $(VENV)/audit.txt; code=$$?; said=$$(tail -n 1 $(VENV)/audit.txt); \
	case "$$said" in \
		Found*|"No known"*) echo "$$said" ;; \
		*) echo "audit: not done, because the service cannot be reached or does not know a package; try again online" \
			"(its words: $(VENV)/audit.txt)" ;; \
	esac >&2; exit $$code

# No dependencies are looked for: the lock names all. Some releases of pip would look for the newest release of a package
# with extras, and then refuse it because the lock has no hash of it.
$(READY): requirements.lock pyproject.toml
	$(PYTHON) -m venv $(VENV)
	$(VENV)/bin/pip install --quiet --no-deps --require-hashes --requirement requirements.lock
	$(VENV)/bin/pip install --quiet --no-deps --no-build-isolation --editable .
	touch $(READY)
