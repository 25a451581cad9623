"""The commands of a page, as a shell would take them."""

import shlex


def commands_of(block: str) -> list[list[str]]:
    """The words of each command of a block, without remarks behind `#`. A command goes on behind a backslash, and to the
    end of a quotation.

    >>> commands_of("urt score \\\\\\n  --json # prints\\ncurl -d '{\\n}'")
    [['urt', 'score', '--json'], ['curl', '-d', '{\\n}']]
    """
    found, begun = [], ""
    for line in block.replace("\\\n", " ").splitlines():
        begun += line
        try:
            words = shlex.split(begun, comments=True)
        except ValueError:  # a quotation is open
            begun += "\n"
            continue
        begun = ""
        if words:
            found.append(words)
    assert not begun, f"no end of a quotation: {begun}"
    return found
