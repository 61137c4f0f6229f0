"""Learning: the online school 网上学堂, its courses and each deputy's way through them.

Owns: courses; one enrolment per course and deputy.
Consumes: its commands.
Emits: course.published, course.completed.

Invariants: a course never changes once it is published, so it is read without a lock and thousands
can complete it at once; the quiz's right answers never leave this service; an enrolment is completed
once, with all lessons done and the quiz passed, and is final then.
"""
