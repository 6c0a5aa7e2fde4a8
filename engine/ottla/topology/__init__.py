"""The graph of an app: while it is declared, and when it is fixed."""
