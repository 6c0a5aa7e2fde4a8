"""`ottla bench broker`: what the broker promises, measured beside Apache Kafka where that is asked for.

`rows` lists what is measured and `contenders` who takes part; every other module measures one kind of thing, with the
same requests for everybody. They come from our own wire client with ready-made frames: a real client library spends
more processor time on a record than any broker, and would be what is measured.
"""
