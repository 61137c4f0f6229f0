"""Routing 派单: which department a case goes to, and why.

    choosing   the decision on one case, as a pure function that explains itself
    text       a message as words, the same for a whole text and a list of words
    features   words as numbers
    model      a trained classifier; answers without scikit-learn
    training   makes one from messages whose category is known; only the command line and learning need it
    near       which messages are the same or nearly
    judging    how good a classifier is on messages that it never saw
    files      messages and models as files

Invariants: the same case, catalogue and model give the same route; no reason repeats the case's words.
"""
