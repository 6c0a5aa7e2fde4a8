"""`faust.utils`, of which apps use one."""

from uuid import uuid4


def uuid() -> str:
    """A random id."""
    return str(uuid4())
