"""The one exception whose text is meant for the user."""


class StudyError(Exception):
    """Something the user can put right: one line that says what is wrong, where, and what would be right."""
