"""Notify 消息: an in-app inbox per person from the events that concern them.

Owns: notices and what each person has read of them; level, county and term of the deputies.
Consumes: its commands; deputy.changed; case.filed, case.routed, case.progressed, case.closed, case.rated;
activity.announced; consultation.opened, consultation.closed; course.published, course.completed;
duty.logged.
Emits: nothing but outcomes.

What is for many (an activity, a consultation, a course, a case back in triage) is one row with an
audience, joined with the reader when read; what is for one person names that person.
Not told: one's own acts (a case filed, except to staff where no rule could route it; activity.signed-up,
activity.attended, consultation.answered, a duty declared or withdrawn), and score.changed, which follows
every fact and would bury the rest.

Invariants: a notice's id follows from its event and addressee, so that an event makes its notices
once, in whatever order events arrive; a notice holds no words of residents; one reads and marks only
what is in one's own inbox.
"""
