"""Secrets and personal data to be planted where such really are, and a workload that gives away what it is given."""

from __future__ import annotations

IN_ENVIRONMENT = "canary-environment-7f3a9c"
IN_CREDENTIALS = "canary-credentials-51e0bd"
IN_ADDRESS = "canary-address-c84d02"
IN_HOOK = "canary-hook-path-93b7aa10"
IN_ANSWER = "canary-answer-6a6e55"
IN_ROW = "canary-row-88412937"
PERSON = "Philomena Canarybird"
PRINTED_KEY = "eyJhbGciOiJIUzI1NiJ9.eyJjYW5hcnkiOiJwcmludGVkIn0.canaryprintedcanaryprinted"

CANARIES = {
    "environment": IN_ENVIRONMENT,
    "credentials file": IN_CREDENTIALS,
    "connection string": IN_ADDRESS,
    "address of a webhook": IN_HOOK,
    "answer of a probe": IN_ANSWER,
    "row": IN_ROW,
    "person": PERSON,
    "printed token": PRINTED_KEY,
}

SPILT = {
    "DB_PASSWORD": IN_ENVIRONMENT,
    "STREAM_URL": f"redis://:{IN_ADDRESS}@127.0.0.1:1/0",
    "PRINTED_TOKEN": PRINTED_KEY,
}
"""Variables of the environment that the workload is given."""

ROWS = f"id,name,note\n1,{PERSON},{IN_ROW}\n"

TRAIN = '''\
"""Prints what it should not, and dies quoting it where a file says so."""
import argparse, json, os, pathlib, sys, threading
parser = argparse.ArgumentParser()
parser.add_argument("--seed", type=int); parser.add_argument("--data"); parser.add_argument("--out")
options = parser.parse_args()
data, out = pathlib.Path(options.data), pathlib.Path(options.out)
rows = data.read_text().splitlines()
mark = data.with_name(".tiny-mark")
behaviour = pathlib.Path(__file__).with_name("behaviour").read_text() if mark.exists() else "well"
print("password is", os.environ["DB_PASSWORD"], "at", os.environ["STREAM"], flush=True)
assert os.environ["DB_PASSWORD"].startswith("canary") and "canary" in os.environ["STREAM"], "not given to the workload"
print("token", os.environ["PRINTED"], file=sys.stderr, flush=True)
for step in range(1, 6):
    print(f"step {step}", flush=True)
    threading.Event().wait(0.3 if mark.exists() else 0.02)
if behaviour == "crash":
    raise RuntimeError("login as " + os.environ["DB_PASSWORD"] + " failed")
if behaviour == "stuck":
    mark.unlink()
    (mark / "something").mkdir(parents=True)
out.mkdir(parents=True, exist_ok=True)
(out / "metrics.json").write_text(json.dumps({"auc": 0.9}))
'''

WORKLOAD_ENVIRONMENT = """\
  timeout: 60s
  environment:
    DB_PASSWORD: "${DB_PASSWORD}"
    STREAM: "${STREAM_URL}"
    PRINTED: "${PRINTED_TOKEN}"
"""


def found_in(content: bytes) -> list[str]:
    """Names of the canaries that are in some bytes."""
    return [name for name, canary in CANARIES.items() if canary.encode() in content]
