"""Coordination: consumer groups, committed offsets and transactions, each a pure state machine over a log."""
