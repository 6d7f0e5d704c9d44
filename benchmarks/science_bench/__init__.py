"""Synthetic tasks of known truth, on which what each model claims to do can be seen or not."""
