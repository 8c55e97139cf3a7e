"""Trains on the districts of prepare.py and writes a prediction for each of the others to predictions.json."""

from __future__ import annotations

import json
from pathlib import Path

from prepare import test_features, train
from xgboost import XGBRegressor

N_ESTIMATORS = 200  # search: 100..1500
MAX_DEPTH = 6  # search: 4..8
LEARNING_RATE = 0.1  # search: 0.02..0.2 log
SUBSAMPLE = 1.0  # search: 0.6..1.0
COLSAMPLE_BYTREE = 1.0  # search: 0.5..1.0
MIN_CHILD_WEIGHT = 1.0  # search: 1.0..10.0 log
REG_LAMBDA = 1.0  # search: 0.1..10.0 log
REG_ALPHA = 0.0  # search: 0.0..1.0
THREADS = 1  # search: fixed


def main() -> None:
    model = XGBRegressor(
        n_estimators=N_ESTIMATORS,
        max_depth=MAX_DEPTH,
        learning_rate=LEARNING_RATE,
        subsample=SUBSAMPLE,
        colsample_bytree=COLSAMPLE_BYTREE,
        min_child_weight=MIN_CHILD_WEIGHT,
        reg_lambda=REG_LAMBDA,
        reg_alpha=REG_ALPHA,
        tree_method="hist",
        random_state=42,
        n_jobs=THREADS,
    )
    features, targets = train()
    model.fit(features, targets)
    Path("predictions.json").write_text(json.dumps({"predictions": model.predict(test_features()).tolist()}))


if __name__ == "__main__":
    main()
