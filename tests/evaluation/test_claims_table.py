import pytest

from medalist.evaluation.claims_table import verdict


@pytest.mark.parametrize(
    ("low", "high", "better", "expected"),
    [
        (0.01, 0.2, "higher", "better"),
        (-0.2, -0.01, "higher", "worse"),
        (-0.01, 0.2, "higher", "not shown"),
        (0.0, 0.2, "higher", "not shown"),
        (-0.2, -0.01, "lower", "better"),
        (0.01, 0.2, "lower", "worse"),
        (-0.2, 0.0, "lower", "not shown"),
    ],
)
def test_a_verdict_needs_an_interval_without_zero(low, high, better, expected):
    assert verdict({"low": low, "high": high}, better) == expected
