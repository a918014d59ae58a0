"""Test cases that every plug-in must pass: subclass them, and give one fixture.

They need pytest, which proxyhpo itself does not.
"""

import pytest

# A failed assert then shows its values, though it stands in no test file.
pytest.register_assert_rewrite(
    *(
        f"{__name__}.{kind}"
        for kind in (
            "evaluators",
            "executors",
            "operator_rules",
            "pruners",
            "searchers",
            "stoppers",
            "transfers",
        )
    )
)
