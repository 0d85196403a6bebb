"""The FastAPI service in front of vLLM: `python -m server`, or `create_app` for another host."""
