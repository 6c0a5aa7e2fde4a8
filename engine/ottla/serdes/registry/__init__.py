"""Serdes whose schemas are in a Confluent schema registry, which Karapace, Apicurio and Redpanda are as well."""

from ottla.serdes.registry.client import SchemaRegistry
from ottla.serdes.registry.subjects import SubjectName, record_name, topic_name, topic_record_name

__all__ = ["SchemaRegistry", "SubjectName", "record_name", "topic_name", "topic_record_name"]
