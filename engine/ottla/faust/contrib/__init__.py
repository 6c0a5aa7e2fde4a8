"""`faust.contrib`: a worker in the process of a web framework (`asgi`, and `fastapi`, which is the same)."""
