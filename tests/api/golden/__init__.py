"""Golden files: each a request to one of the contracts, the state it needs, and the answer to the letter.

{
  "scenario": a function of `scenarios`, which makes the rows; "nothing" where none are needed,
  "while": a key of `replaying.CIRCUMSTANCES`, where something else is going on,
  "now": what the clock says; `replaying.NOW` where it is not said,
  "request": {"method", "path", and where needed "key", "headers", "times", and "body" or "text"},
  "answer": {"status", and where needed "headers", "body"}
}

The answer's body is compared with what came as text: keys in their order, numbers and times in their form.
A string of `replaying.GAPS` stands for what nobody can know beforehand. In a request, `<x times 1000>` stands
for so many of that character. Of a request sent several `times` the last answer counts.
"""

import pytest

# It compares on behalf of tests, and is to show what differs.
pytest.register_assert_rewrite(f"{__name__}.replaying")
