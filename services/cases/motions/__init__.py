"""Motions 议案、建议、批评和意见: what deputies put to the congress, from the draft to the promise that was kept.

Owns: motions with their co-signers, handlers, answers, promises, ratings, deadlines and steps; copies of the
deputies; what became of cases (referrals). A second kind of aggregate beside cases, with a clock of months;
the two are linked and never merged.
Consumes: its commands; replies of departments; deputy.changed.
Emits: motion.invited, motion.cosigned, motion.submitted, motion.assigned, motion.progressed, motion.answered,
motion.rated, case.referred; the dossier, news and refusals to the one department concerned.

Invariants: a motion follows the state machine in `domain`; no limit, count or choice that differs by place
stands in code; a draft is seen by its author and those invited; words leave only in the dossier of a
department that handles the motion and to those allowed to read it.
"""
