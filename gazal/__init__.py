"""The library every room shares: what a case, a prompt and a reasoned answer are, defined once.

Importing `gazal` imports nothing heavy; torch and transformers are touched only inside the functions that need them.
"""

__version__ = "0.1.0"
