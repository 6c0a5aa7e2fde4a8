"""`python -m ottla.faust.missing`: what Faust has and the facade has not, as `docs/from-faust-names.md` lists it."""

from __future__ import annotations

from ottla.faust.missing.listing import listing

print(listing(), end="")
