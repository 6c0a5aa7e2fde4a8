"""A task: one partition of one sub-topology, a batch in, outputs and state writes out; and the steps it is made of."""
