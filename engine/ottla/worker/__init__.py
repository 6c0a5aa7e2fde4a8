"""The driver of an app: poll, tasks, produce, commit; and all that a worker is put together from."""
