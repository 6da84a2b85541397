"""Hypothesis strategies for what user code may hand over: texts of the whole of Unicode, and values like JSON's."""

from typing import Any

from hypothesis import strategies as st

#: Whole Unicode, halves of characters and NUL included, with those more often that somebody trips over.
characters = st.one_of(
    st.characters(exclude_categories=()),
    st.sampled_from("\0\x1b\n\r\x85\u2028\u202e\ud800\udbff\udc00\udce9\udfff'\"\\/. \U0001f600"),
)
texts = st.text(alphabet=characters)

scalars = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(),
    st.integers(min_value=10**639, max_value=10**641),
    st.floats(allow_nan=False, allow_infinity=False),
    texts,
)


def _in_one_another(children: st.SearchStrategy[Any]) -> st.SearchStrategy[Any]:
    return st.lists(children, max_size=5) | st.dictionaries(texts, children, max_size=5)


#: What JSON can hold; but for a text with both halves of one character apart, all of it is kept.
json_values = st.recursive(scalars, _in_one_another, max_leaves=20)


def _nearly(children: st.SearchStrategy[Any]) -> st.SearchStrategy[Any]:
    keys = st.one_of(texts, st.integers(), st.booleans(), st.none(), st.floats())
    return st.one_of(
        st.lists(children, max_size=4),
        st.tuples(children, children),
        st.dictionaries(keys, children, max_size=4),
        st.sets(st.integers(), max_size=3),
    )


too_long = st.none().map(lambda _: 10**4300)  # made late: nobody can print it

#: What a function may return by mistake.
nearly_json = st.recursive(
    st.one_of(scalars, st.floats(), st.binary(max_size=3), st.dates(), st.datetimes(), too_long),
    _nearly,
    max_leaves=15,
)


def nested(depth: int, value: Any = None) -> Any:
    """A value so deep in lists and dicts, by turns."""
    for level in range(depth):
        value = [value] if level % 2 else {"k": value}
    return value
