"""How one message is handled: at-least-once delivery, exactly-once effect.

One batch is one transaction: claim the ids in the inbox, decide, write state, outgoing messages,
outcomes and dead letters, commit; then the offsets. `runner` holds the order of these steps.
Only `subscriber` knows FastStream.
"""
