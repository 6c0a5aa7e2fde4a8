"""The same jobs, written for Ottla and for each peer as its own documentation would write them.

Each module runs as a program, in the peer's own environment where it has one:

    python JOBS.py JOB BROKER TOPIC COUNT SECONDS

It processes TOPIC from its start until COUNT events or SECONDS have passed since the first one, and prints
`{"events": N, "seconds": S}`. JOB is

- `agent`: consume into an agent that adds up one field;
- `table`: count by key in a table with a changelog;
- `produce`: consume, change one field, produce to TOPIC-out;
- `windowed`: count by key in tumbling windows of five minutes of event time, with a changelog; closed windows go to
  TOPIC-out;
- `join`: each payment with its account, from the table that the topic `accounts` holds.
"""
