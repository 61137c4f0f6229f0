"""Learning: the online school 网上学堂, its courses and each deputy's way through them.

Owns: courses and the texts of their lessons; one enrolment per course and deputy.
Consumes: its commands.
Emits: course.published, course.completed.

Invariants: of a course that is published only the words of its lessons change, so it is read without a
lock and thousands can complete it at once; of a published course the quiz's right answers never leave this
service; an enrolment is completed once, with all lessons done and the quiz passed, and is final then.
"""
