"""Agents: what users write, what it becomes in a task, and how agents are asked."""
