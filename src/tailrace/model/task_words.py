"""Which tasks a person means by one word: a task, all tasks in a group, or all whose ids fit a pattern."""

import re
from collections.abc import Collection, Mapping

#: For any characters, and for one. (A bracket is none: it stands around the index of a mapped task.)
_WILD = {"*": ".*", "?": "."}


def tasks_meant(word: str, known: Collection[str], groups: Mapping[str, Collection[str]]) -> tuple[str, ...]:
    """Of the known task ids those that are meant, in their order; nothing where there are none."""
    if word in known:
        return (word,)
    if word in groups:
        return tuple(each for each in known if each in groups[word])
    if not any(each in word for each in _WILD):
        return ()
    pattern = re.compile("".join(_WILD.get(each) or re.escape(each) for each in word), re.DOTALL)
    return tuple(filter(pattern.fullmatch, known))
