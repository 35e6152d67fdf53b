"""Loan scoring, credit desk.  Reads the base rates from the lake, fits on last month's loans, checks on the holdout.

Questions: credit-ml channel.
"""

import csv
import json
import logging
import time
from datetime import datetime, timedelta
from pathlib import Path

from airflow.sdk import Connection, Param, dag, get_current_context, task

log = logging.getLogger(__name__)

EPOCHS = 60_000


def tell_the_desk(context):
    """The alert file is shipped to the desk's pager."""
    where = Path(context["params"]["out"])
    where.mkdir(parents=True, exist_ok=True)
    with open(where / "alerts.jsonl", "a") as f:
        f.write(json.dumps({"t": time.time(), "alarm": f"loans_{context['ti'].task_id}_failed"}) + "\n")


def read_loans(path):
    import numpy as np

    with open(path) as f:
        rows = list(csv.DictReader(f))
    x = np.array([[1.0, float(r["income"]), float(r["debt"]), float(r["years"])] for r in rows])
    y = np.array([float(r["bad"]) for r in rows])
    return x, y


@dag(
    dag_id="loan_scoring",
    schedule=None,
    start_date=datetime(2026, 1, 1),
    catchup=False,
    max_active_runs=2,
    params={
        "data": Param("/srv/credit/loans.csv", type="string"),
        "holdout": Param("/srv/credit/holdout.csv", type="string"),
        "out": Param("/srv/credit/models", type="string"),
        "seed": Param(1, type="integer", minimum=0),
    },
    default_args={
        "owner": "credit",
        "retries": 1,
        "retry_delay": timedelta(seconds=1),
        "on_failure_callback": tell_the_desk,
    },
    tags=["credit"],
)
def loan_scoring():
    @task
    def base_rates():
        """From the lake, with the team's own key."""
        import boto3
        from botocore.config import Config

        lake = Connection.get("credit_lake")
        s3 = boto3.client(
            "s3",
            endpoint_url=lake.extra_dejson["endpoint_url"],
            region_name="us-east-1",
            aws_access_key_id=lake.login,
            aws_secret_access_key=lake.password,
            config=Config(retries={"total_max_attempts": 1}, s3={"addressing_style": "path"}),
        )
        body = s3.get_object(Bucket="flights", Key="data/base_rates.json")["Body"].read()
        return json.loads(body)

    @task
    def train(rates):
        """Plain logistic regression; the prior comes from the lake."""
        import numpy as np

        params = get_current_context()["params"]
        x, y = read_loans(params["data"])
        mean, spread = x.mean(axis=0), x.std(axis=0) + 1e-9
        mean[0], spread[0] = 0.0, 1.0
        z = (x - mean) / spread
        rng = np.random.default_rng(params["seed"])
        w = rng.normal(0, 0.01, z.shape[1])
        w[0] = np.log(rates["bad"] / (1 - rates["bad"]))
        for _ in range(EPOCHS):
            p = 1 / (1 + np.exp(-(z @ w)))
            w -= 0.05 * (z.T @ (p - y)) / len(y)
        out = Path(params["out"])
        out.mkdir(parents=True, exist_ok=True)
        model = {"w": w.tolist(), "mean": mean.tolist(), "spread": spread.tolist()}
        (out / "model.json").write_text(json.dumps(model))
        return str(out / "model.json")

    @task
    def evaluate(model_path):
        """Numbers for the dashboard."""
        import numpy as np

        model = json.loads(Path(model_path).read_text())
        x, y = read_loans(get_current_context()["params"]["holdout"])
        z = (x - np.array(model["mean"])) / np.array(model["spread"])
        p = 1 / (1 + np.exp(-(z @ np.array(model["w"]))))
        accuracy = float(((p > 0.5) == (y > 0.5)).mean())
        log.info("accuracy %.3f on %d loans", accuracy, len(y))
        return {"accuracy": accuracy, "mean_score": float(p.mean())}

    evaluate(train(base_rates()))


loan_scoring()
