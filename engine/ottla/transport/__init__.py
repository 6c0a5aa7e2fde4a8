"""How the engine meets a broker: the contract (`contract.py`), Kafka (`kafka.py`), memory for tests (`memory.py`)."""
