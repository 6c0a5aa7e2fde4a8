"""`faust.utils`: random ids, and by what names Faust knows what an app declares."""

from __future__ import annotations

import sys
from itertools import takewhile
from pathlib import Path
from typing import Any
from uuid import uuid4


def uuid() -> str:
    """A random id."""
    return str(uuid4())


def module_of(declared: Any) -> str:
    """The module of a class or function, by the name that it is imported under where it is the script that runs."""
    name = str(declared.__module__)
    if name != "__main__" or (file := getattr(sys.modules["__main__"], "__file__", None)) is None:
        return name
    path = Path(file).absolute()
    packages = takewhile(lambda folder: (folder / "__init__.py").exists(), path.parents)
    return ".".join([*reversed([folder.name for folder in packages]), path.stem])
