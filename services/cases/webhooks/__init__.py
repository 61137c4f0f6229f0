"""Webhooks: the second way on which a department gets what stands on its own Kafka topic.

    endpoints   where to, as pure decisions: register, remove, replay
    desk        the handler of these commands
    deliveries  one row per message and address: written, claimed, settled; the only SQL on them
    sending     signature, which addresses may be reached, and the loop that delivers
    api         read-only HTTP: a department's own addresses and deliveries

Invariants: a delivery is written in the transaction that writes the message to the outbox, so neither
exists without the other; it goes to addresses of the department that the topic names and to no other;
delivery is at least once, and in order for one case; secrets and bodies rest sealed; a body leaves by
https (or to the loopback address where a setting allows it) to a public address only.
"""
