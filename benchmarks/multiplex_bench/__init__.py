"""Survival from the interplay of markers: a cohort of known truth, by the command line."""
