"""The operators' command line: topics, groups, settings, the cluster, transactions, producing, consuming, log files.

Each entry point of the group `ottla.commands` is a module with an `app`: `topic.py`, `group.py`, `config.py`,
`cluster.py`, `transaction.py`, `produce.py`, `consume.py`, `log.py`, `profile.py`. Those import nothing that takes
time; what talks to brokers is imported by the command that is run.

    command.py, errors.py, options.py     how a command is run, what ends it, what many commands take
    output.py                             tables on a terminal, tab-separated when piped, JSON on demand
    profiles.py                           named brokers, and which brokers a command means
    connection.py                         what a command reaches brokers by: admin.py (librdkafka), wire_client.py
    topics.py, groups.py, settings.py, offsets.py, transactions.py    what the commands of these names ask
    points.py, positions.py               `start`, `-5`, `@2013-01-01` as text, and as offsets of partitions
    record_format.py, record_json.py      records as text, both ways
    sender.py, reader.py                  what produces and what consumes
    log_files.py, internal_records.py     reading the files of a data directory

The conventions are those of rpk and kcat.
"""
