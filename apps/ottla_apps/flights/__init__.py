"""The demo: real flights through the broker, counted and joined exactly once, into a database."""
