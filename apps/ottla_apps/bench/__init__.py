"""Measures Ottla, beside its peers where they do the same job: `ottla bench`."""
