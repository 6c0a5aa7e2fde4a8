"""The HTTP side of a worker: pages of Ottla's and of the app's, health, metrics, and queries of tables."""
