"""The clinician demo: a page where a model's reasoning can be read step by step and checked.

It reaches a server over HTTP only, or shows recorded answers without any. Start it with `python -m ui`.
"""
