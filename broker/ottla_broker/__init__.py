"""The Ottla broker: one process, one node, Kafka on the wire and on disk."""
