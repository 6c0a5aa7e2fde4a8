"""One module per API: its handler, registered with `ottla_broker.dispatch.handles`.

Each module opens with the versions it serves, what it does, and what changed per version.
`dispatch.load_handlers` imports every module that lies in this package; there is no second list to keep.
"""
