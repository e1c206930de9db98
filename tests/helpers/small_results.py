"""The smallest `metrics.json`, of one model on choice questions."""

SHARE = {"value": 0.5, "low": 0.25, "high": 0.75, "count": 8}
CHOICES = {
    "about": {
        "data": "quiz.csv",
        "fingerprint": "f",
        "inventory": "none",
        "keys": {"base": "k"},
        "rows_quarantined": {},
    },
    "kind": "choices",
    "counts": {"passages": 4, "mentions": 8, "choice": 8, "dropped": 0, "cut": 1, "passages_in_training_data": None},
    "baselines": {"chance": {"accuracy": SHARE}},
    "models": {
        "base": {
            "accuracy": SHARE,
            "macro_f1": SHARE,
            "nll": 0.7,
            "calibration_error": 0.1,
            "reliability": [{"confidence": 0.6, "accuracy": 0.5, "count": 8}],
            "risk_coverage": {"coverage": [0.5, 1], "risk": [0, 0.5]},
            "area_under_risk_coverage": 0.2,
        }
    },
    "slices": {"all": {"count": 8, "base": SHARE, "chance": SHARE}},
    "labels": {"yes": {"count": 8, "base": {"answered": 4, "right": 2, "f1": 0.5}}},
}
