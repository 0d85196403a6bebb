"""Routers by concern: OpenAI-compatible, clinical, health."""
