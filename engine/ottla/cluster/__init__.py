"""Workers of one app together: who runs which task, who keeps a copy of its state, and who answers for it."""
