"""Pickle, for those who ask for it by its name. Never chosen by type, and nothing of Ottla's own uses it."""

from __future__ import annotations

import pickle
from typing import Any

from ottla.serdes.codec import Codec

UNSAFE_PICKLE: Codec[Any] = Codec("unsafe-pickle", pickle.dumps, pickle.loads)
"""Python's pickle. Unpickling runs code that the message names: whoever may write to such a topic runs code in its
readers. For topics that only trusted apps can write, and that only Python reads."""
