"""Participation: activities 代表活动, consultations 意见征集 and logged duties 履职登记.

Owns: activities with who signed up and came; consultations with their answers; logged duties.
Consumes: its commands.
Emits: activity.announced, activity.signed-up, activity.attended, consultation.opened,
consultation.answered, consultation.closed, duty.logged.

Invariants: at every activity check-ins ≤ sign-ups ≤ capacity, and each counter equals its rows; a
deputy signs up, checks in and answers at most once; a duty follows the state machine in `domain`;
what deputies write, and the code of an activity, stand in no event.
"""
