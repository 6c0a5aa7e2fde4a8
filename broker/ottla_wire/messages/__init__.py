"""The messages of the Kafka protocol: a module per API, with its request and response."""
