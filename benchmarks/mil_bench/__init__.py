"""Multiple-instance learning on the sets the literature shares, beside its published figures."""
