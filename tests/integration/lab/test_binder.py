"""An instance that is stopped through the control plane stops a real training."""

from __future__ import annotations

import signal
import subprocess
import sys
from pathlib import Path

from chaos_tasks.lab import instances, moto_server, processes
from chaos_tasks.lab.instances import register
from chaos_tasks.lab.moto_server import MotoServer
from chaos_tasks.lab.waiting import wait_until
from tests.servers import aws_client

TRAINING = """
import signal, subprocess, sys
subprocess.Popen([sys.executable, "-c", "import signal; signal.pause()"])
print("up", flush=True)
signal.pause()
"""


def test_stopping_the_instance_ends_the_registered_group(moto_ec2: MotoServer, short_folder: Path) -> None:
    instance = moto_server.ensure_instance(moto_ec2)
    assert moto_server.ensure_instance(moto_ec2) == instance
    binder = instances.start(short_folder, moto_ec2.endpoint)
    ec2 = aws_client(moto_ec2, "ec2")
    with subprocess.Popen([sys.executable, "-c", TRAINING], stdout=subprocess.PIPE, start_new_session=True) as training:
        assert training.stdout is not None
        assert training.stdout.readline()
        registration = register(short_folder / "instances" / f"{instance}.json", training.pid)
        assert len(processes.group_members(registration.leader())) == 2
        ec2.stop_instances(InstanceIds=[instance])
        waited = wait_until(lambda: training.poll() is not None, what="end of the training", timeout_s=30)
        assert training.returncode == -signal.SIGTERM
        wait_until(lambda: not processes.group_members(registration.leader()), what="end of its child")
    assert waited < 20
    wait_until((short_folder / "instances" / f"{instance}.ended").exists, what="note of the binder")
    ec2.start_instances(InstanceIds=[instance])
    processes.stop(binder)
    assert not binder.is_alive()
