# What people type. Everything runs in .venv, which the first command makes.
.DEFAULT_GOAL := help
.PHONY: help install install-dev pipeline test lint ui lock

PYTHON ?=
BIN := $(CURDIR)/.venv/bin

# Nothing phones home.
export DVC_NO_ANALYTICS := 1
export DAGSTER_DISABLE_TELEMETRY := 1
export GX_ANALYTICS_ENABLED := false
export DO_NOT_TRACK := 1
# Of mkdocs-material, about another project's plans.
export NO_MKDOCS_2_WARNING := 1

IN_VENV := PATH="$(BIN):$$PATH"

help: ## show this list
	@awk -F ':.*## ' '/^[a-z-]+:.*## /{printf "  make %-12s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

install: ## make .venv with the locked versions (PYTHON=… picks the interpreter)
	@PYTHON="$(PYTHON)" sh scripts/install.sh core

install-dev: ## the same with what tests, lint and the documentation need
	@PYTHON="$(PYTHON)" sh scripts/install.sh dev

pipeline: install ## run what is out of date, publish the model, show the results
	@$(IN_VENV) dvc repro
	@$(IN_VENV) s2gr publish
	@$(IN_VENV) s2gr summary

test: install-dev ## run the tests
	@$(IN_VENV) pytest

lint: install-dev ## style, types, and whether the documentation builds
	@$(IN_VENV) ruff check
	@$(IN_VENV) ruff format --check
	@$(IN_VENV) mypy
	@$(IN_VENV) mkdocs build --strict --quiet

ui: install ## open Dagster on http://127.0.0.1:3000
	@mkdir -p .dagster && cp orchestration/dagster.yaml .dagster/dagster.yaml
	@exec env $(IN_VENV) DAGSTER_HOME="$(CURDIR)/.dagster" dg dev --host 127.0.0.1 --port 3000

lock: ## resolve pyproject.toml into the lock files anew
	@PYTHON="$(PYTHON)" sh scripts/lock.sh
