"""What a user can mend: one clear line that names the file or value and the remedy."""


class UserError(Exception):
    """Bad input. The command line prints the message without a traceback and exits with code 2."""


class DataError(UserError):
    """An image, a folder of images or a model file that cannot be used as it is."""
