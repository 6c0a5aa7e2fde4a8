"""The storage of one broker node, in Apache Kafka's own on-disk format; `README.md` has the map."""
