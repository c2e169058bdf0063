"""Tasks of Celery that do nothing; its worker imports this, in Celery's environment."""

from __future__ import annotations

import os

from celery import Celery
from starts import started

app = Celery("bench", broker=os.environ["BENCH_BROKER"])
app.conf.update(
    task_ignore_result=True,
    worker_prefetch_multiplier=4,  # its default
    broker_connection_retry_on_startup=True,
)


@app.task(name="noop")
def noop(sent: str) -> None:
    """Do nothing but say when."""
    started(sent)
