"""Refusals of evaluation, each with its stable code. A rubric's own flaws: `rubric_file.RubricInvalid`."""

from __future__ import annotations

from datetime import date

from shared.refusals import Refusal


def topic_not_taken_in(topic: str) -> Refusal:
    """A rewind names a topic that evaluation does not read."""
    return Refusal("topic-not-taken-in", f"Evaluation takes in no topic {topic}.", "invalid")


def rubric_not_from_new_year() -> Refusal:
    """A rubric cannot begin within a year."""
    return Refusal(
        "rubric-not-from-new-year",
        "A rubric counts for whole calendar years: effective_from must be a 1 January.",
        "invalid",
    )


def rubric_touches_scored_period(last_year: int) -> Refusal:
    """Facts that the rubric looks at have been scored in or after its first year."""
    return Refusal(
        "rubric-touches-scored-period",
        f"Facts of {last_year} are scored already; the rubric can begin on {last_year + 1}-01-01.",
    )


def rubric_version_taken(version: int) -> Refusal:
    """A version of the same rubric that is not lower has been adopted."""
    return Refusal(
        "rubric-version-taken",
        f"Version {version} of this rubric is adopted; the next must have a higher number.",
    )


def rubric_date_taken() -> Refusal:
    """Two rubrics of different names cannot begin together."""
    return Refusal("rubric-date-taken", "Another rubric begins on that day.")


def rubric_outside_its_dates() -> Refusal:
    """The day of adoption is not among those that the rubric itself states."""
    return Refusal(
        "rubric-outside-its-dates",
        "effective_from lies outside the dates that the rubric states for itself.",
        "invalid",
    )


def rubric_dates_overlap(name: str, until: date) -> Refusal:
    """Another rubric states that it counts on that day."""
    return Refusal(
        "rubric-dates-overlap",
        f"Rubric {name} is adopted until {until}; the next can begin on the day after.",
    )


def rubric_item_redefined(item: str) -> Refusal:
    """A key names one kind of fact for ever."""
    return Refusal(
        "rubric-item-redefined",
        f"Item {item} of an adopted rubric has another event, evidence or deputy; give it a new key.",
    )


def rubric_unknown() -> Refusal:
    """No such rubric, or no such version of it, was adopted."""
    return Refusal("rubric-unknown", "No such rubric was adopted.", "not-found")


def not_your_score() -> Refusal:
    """Scores and archives are for the deputy and for staff."""
    return Refusal("not-your-score", "You can see only your own score and archive.", "forbidden")


def not_your_area() -> Refusal:
    """A deputy of another congress than that of the staff who ask, and of none below it."""
    return Refusal(
        "not-your-area",
        "This deputy lies outside the area of your congress; ask the congress above it, or an operator.",
        "forbidden",
    )


def deputy_unknown() -> Refusal:
    """Nobody told of this deputy and no fact names them."""
    return Refusal("deputy-unknown", "There is no deputy with this id.", "not-found")


def no_rubric(year: int) -> Refusal:
    """No rubric counts in that year."""
    return Refusal("no-rubric", f"No rubric counts in {year}.", "not-found")


def period_wrong() -> Refusal:
    """A period that ends before it begins, or is longer than a term."""
    return Refusal(
        "period-wrong", "A period ends after it begins and spans at most 10 calendar years.", "invalid"
    )


def simulation_running() -> Refusal:
    """One simulation at a time: each reads the whole log."""
    return Refusal("simulation-running", "Another simulation is running; try again when it is done.")


def appeal_unknown() -> Refusal:
    """No appeal has this id, or it is somebody else's."""
    return Refusal("appeal-unknown", "There is no appeal of yours with this id.", "not-found")


def appeal_exists() -> Refusal:
    """An appeal with this id has been filed."""
    return Refusal("appeal-exists", "An appeal with this id has been filed already.")


def appeal_open() -> Refusal:
    """The row has an open appeal."""
    return Refusal("appeal-open", "This row has an appeal that is not decided yet.")


def appeal_closed() -> Refusal:
    """The appeal is decided or withdrawn."""
    return Refusal("appeal-closed", "This appeal is decided or withdrawn; file another one.")


def appeal_row_unknown() -> Refusal:
    """The ledger has no such row of this deputy."""
    return Refusal(
        "appeal-row-unknown", "Your ledger has no such row; take item and evidence from the explanation."
    )


def appeal_item_unknown() -> Refusal:
    """The rubric of that year has no such item."""
    return Refusal("appeal-item-unknown", "The rubric of that year has no such item.", "invalid")


def appeal_in_the_future() -> Refusal:
    """What is said to be missing has not happened yet."""
    return Refusal("appeal-in-the-future", "happened_on lies in the future.", "invalid")


def appeal_too_late(last: date) -> Refusal:
    """The rubric's time for contesting rows of that year is over."""
    return Refusal("appeal-too-late", f"Rows of that year could be contested until {last.isoformat()}.")


def appeal_points_wrong() -> Refusal:
    """An upheld appeal names points, a dismissed one none."""
    return Refusal("appeal-points-wrong", "Name points when you uphold an appeal, and only then.", "invalid")


def appeal_points_absurd() -> Refusal:
    """More points than any row can have."""
    return Refusal("appeal-points-absurd", "No single row can have so many points.", "invalid")


def appeal_evidence_not_asked() -> Refusal:
    """Only an upheld appeal about a missing row needs the name of its fact; another row has its own."""
    return Refusal(
        "appeal-evidence-not-asked",
        "Name evidence only when you uphold an appeal about a missing row; another row keeps its own.",
        "invalid",
    )


def appeal_evidence_not_of_the_item(named_by: str) -> Refusal:
    """Facts of the item are known by other fields."""
    return Refusal(
        "appeal-evidence-not-of-the-item",
        f"Name the fact as the item does: {named_by}, with the appeal's own year.",
        "invalid",
    )


def not_a_deputy() -> Refusal:
    """Appeals are filed by deputies about their own ledger."""
    return Refusal("not-a-deputy", "Only a deputy can appeal.", "forbidden")


def note_exists() -> Refusal:
    """Another note has this id."""
    return Refusal("note-exists", "There is a note with this id already.")


def note_unknown() -> Refusal:
    """There is no such note."""
    return Refusal("note-unknown", "There is no note with this id.", "not-found")


def note_struck() -> Refusal:
    """The note was struck before."""
    return Refusal("note-struck", "The note is struck already.")


def note_in_the_future() -> Refusal:
    """The day of a note has not come."""
    return Refusal("note-in-the-future", "A note is of a day that has come.", "invalid")


def note_ballots_wrong() -> Refusal:
    """Ballots that cannot be."""
    return Refusal(
        "note-ballots-wrong",
        "Ballots belong to a report, come with those that approve, and no more can approve than were cast.",
        "invalid",
    )
