"""What the programs' options have in common."""

import argparse


def at_least(least, kind):
    """A number that is not less."""

    def parse(text):
        value = kind(text)
        if value < least:
            raise argparse.ArgumentTypeError(f"at least {least}")
        return value

    return parse
