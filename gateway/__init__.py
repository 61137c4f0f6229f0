"""The gateway: the suite's one HTTP door for people and other front ends.

Owns nothing. Publishes commands to `<service>.commands` and waits for their outcome; hands questions
to the services' read-only HTTP; sends live hints over SSE.

Invariants: whoever writes is authenticated and has a role that the command's contract names; the wait
for an outcome is registered before the command is published; only the simulation may choose a time;
what residents write and passwords leave here sealed; no path, query, body or token is logged.
"""
