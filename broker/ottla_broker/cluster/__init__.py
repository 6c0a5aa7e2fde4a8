"""Cluster metadata: the controller decides records, the metadata log keeps them, the image replays them."""
