"""A small clinic that we know completely: a knowledge base of look-alike conditions, and cases generated from it."""
