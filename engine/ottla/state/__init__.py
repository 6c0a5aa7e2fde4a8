"""What tasks remember: stores (`memory.py`, `rocks.py`), their write-back cache (`cache.py`), their changelogs."""
