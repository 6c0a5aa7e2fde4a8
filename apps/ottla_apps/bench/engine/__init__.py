"""`ottla bench engine`: a worker beside its peers at the same jobs, what its state costs, and how soon a result is out.

`jobs` are done by Ottla and by every peer that can do them, each a program in `contenders` in an environment of its
own; `state` and `latency` are Ottla's alone. `topics` is the input of all of them.
"""
