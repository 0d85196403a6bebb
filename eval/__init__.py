"""Benchmarks of a running server: lm-eval tasks, and the command that runs them (`python -m eval run`)."""
