"""The one error that is the user's to mend: a command or a file it names is wrong."""


class UserError(ValueError):
    """Bad input. The commands print its single sentence on stderr and exit with status 2."""
