"""Cases 代表督事: a resident's problem from filing to rating.

Owns: cases and their steps; what residents submit, and who read their contact data; webhooks of departments and what is delivered there; a copy of the departments.
Consumes: its commands; replies of departments; department.changed.
Emits: case.filed, case.routed, case.progressed, case.closed, case.rated; the dossier and refusals to
the one department concerned.

Invariants: a case follows the state machine in `domain`; only the department that holds a case can
act on it; words of residents leave this service only in the dossier and to those allowed to read the
case; time of one case never runs backwards.
"""
