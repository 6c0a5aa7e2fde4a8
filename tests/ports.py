"""Ports for servers that are told theirs, or that are killed and started again where they were."""

import random
import socket
from pathlib import Path

_LOWEST = 10_000
_GIVEN_AWAY = Path("/proc/sys/net/ipv4/ip_local_port_range")


def free_ports(number: int) -> list[int]:
    """So many ports of 127.0.0.1 that nobody listens on.

    They are below those that the system gives to whoever connects to something or listens on port 0, which could take
    one in the moments in which its server is not there.
    """
    first_given_away = max(int(_GIVEN_AWAY.read_text().split()[0]), 2 * _LOWEST)
    draw = random.SystemRandom()  # examples and their seeds have no part in it
    found: list[int] = []
    while len(found) < number:
        port = draw.randrange(_LOWEST, first_given_away)
        if port not in found and _is_free(port):
            found.append(port)
    return found


def _is_free(port: int) -> bool:
    try:
        socket.create_server(("127.0.0.1", port)).close()
    except OSError:
        return False
    return True
