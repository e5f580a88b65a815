# One gate for people, pre-commit and CI.
.PHONY: check lint types test slow vllm

check: lint types test

lint:
	ruff check .
	ruff format --check .

types:
	mypy

test:
	pytest --cov=datagen --cov-fail-under=80

slow:
	pytest -m slow

vllm:
	pytest -m vllm
