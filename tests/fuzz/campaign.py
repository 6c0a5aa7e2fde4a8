"""How long is searched, and how a finding is repeated.

By default a campaign is a fixed few hundred inputs, so that the default tests say the same every time. `make fuzz`
searches for OTTLA_FUZZ_SECONDS with inputs that nobody has tried before. A failure names its seed and number:

    OTTLA_FUZZ_SEED=4711 OTTLA_FUZZ_AT=8086 pytest tests/fuzz -k NAME

repeats it.
"""

import os
import random
import time
from collections.abc import Callable, Iterator
from typing import TypeVar

SECONDS = float(os.environ.get("OTTLA_FUZZ_SECONDS", "0"))
SEED = os.environ.get("OTTLA_FUZZ_SEED") or (str(random.SystemRandom().getrandbits(32)) if SECONDS else "1")
AT = os.environ.get("OTTLA_FUZZ_AT")

T = TypeVar("T")


def numbers(count: int) -> Iterator[int]:
    """The numbers of the inputs to try: `count` of them, as many as fit into the time that is given, or the one that is
    to be repeated.
    """
    if AT is not None:
        yield int(AT)
        return
    deadline = time.monotonic() + SECONDS
    number = 0
    while number < count or time.monotonic() < deadline:
        yield number
        number += 1


def chance_of(name: str, number: int) -> random.Random:
    """What decides about an input of a campaign."""
    return random.Random(f"{SEED}/{name}/{number}")


def campaign(name: str, count: int, make: Callable[[random.Random], T], survives: Callable[[T], None]) -> None:
    """Try inputs; whatever `survives` raises is a finding."""
    tried = 0
    for number in numbers(count):
        given = make(chance_of(name, number))
        try:
            survives(given)
        except Exception as failure:
            raise AssertionError(
                f"{finding(name, number)}: {type(failure).__name__}: {failure}\ninput: {given!r:.4000}"
            ) from failure
        tried += 1
    print(f"{name}: {tried} inputs of seed {SEED}")


def finding(name: str, number: int) -> str:
    """How to repeat an input."""
    return f"OTTLA_FUZZ_SEED={SEED} OTTLA_FUZZ_AT={number} ({name})"
