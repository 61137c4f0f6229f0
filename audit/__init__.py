"""A second opinion on every score: reads the event log and the rubric, and does its own sums.

It shares no code with the suite and knows only what is public: the CloudEvents on the topics, the
rubric's file format and the gateway's HTTP API, which it asks only to compare. Whoever doubts a score
can run it, or write another.
"""
