"""The runtime that drives sources and sinks against a broker."""
