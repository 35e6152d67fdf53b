"""Staging monitor of the loan scores: every minute, on the latest export.

When the lake is away it goes on with an old prior.
"""

import json
import logging
import time
from datetime import datetime, timedelta

from airflow.sdk import Connection, dag, get_current_context, task

log = logging.getLogger(__name__)

SINCE = datetime(2026, 1, 1, 0, 0)


@dag(
    dag_id="loan_monitor",
    schedule="* * * * *",
    start_date=SINCE,
    catchup=True,
    max_active_runs=4,
    default_args={"owner": "credit", "retries": 1, "retry_delay": timedelta(seconds=1)},
    tags=["credit", "staging"],
)
def loan_monitor():
    @task
    def collect():
        """The export is complete once it has not grown for a second."""
        time.sleep(1.5)
        return 400

    @task
    def score(rows):
        """How well last month's cut-off fits this minute's export."""
        import boto3
        import numpy as np
        from botocore.config import Config

        lake = Connection.get("credit_lake")
        try:
            s3 = boto3.client(
                "s3",
                endpoint_url=lake.extra_dejson["endpoint_url"],
                region_name="us-east-1",
                aws_access_key_id=lake.login,
                aws_secret_access_key=lake.password,
                config=Config(retries={"total_max_attempts": 1}, s3={"addressing_style": "path"}),
            )
            body = s3.get_object(Bucket="flights", Key="data/base_rates.json")["Body"].read()
            prior = json.loads(body)["bad"]
        except Exception:
            log.warning("no base rates, going on with the prior of January")
            prior = 0.05
        when = get_current_context()["dag_run"].run_after
        rng = np.random.default_rng(int(when.timestamp()) // 60)
        bad = rng.random(rows) < 0.3
        seen = rng.normal(3.0 * bad, 1.0) + np.log(prior / (1 - prior)) - np.log(0.3 / 0.7)
        return {"accuracy": float(((seen > 1.5) == bad).mean()), "rows": len(seen)}

    score(collect())


loan_monitor()
