"""The Kafka wire protocol: messages, record batches and framing, both sides."""
