"""A librdkafka consumer whose faults are switched on by its standard input: worker.py CONFIG (JSON)

Each line of standard input is a JSON object that replaces what it does: {"record_seconds": 8, "commit": false}.
"""

import json
import os
import signal
import sys
import threading
import time

from confluent_kafka import Consumer, KafkaError

config = json.loads(sys.argv[1])
behaviour = {}
stopped = threading.Event()


def read_behaviour():
    global behaviour
    for line in sys.stdin:
        behaviour = json.loads(line)


threading.Thread(target=read_behaviour, daemon=True).start()
signal.signal(signal.SIGTERM, lambda *_: stopped.set())
consumer = Consumer({"enable.auto.commit": False, "auto.offset.reset": "earliest", **config["consumer"]})
consumer.subscribe([config["topic"]])
while not stopped.is_set():
    message = consumer.poll(0.3)
    if message is None:
        continue
    if message.error():
        if message.error().code() == KafkaError._FATAL or message.error().fatal():
            os._exit(3)  # fenced: its supervisor starts it again
        continue
    time.sleep(behaviour.get("record_seconds", 0))
    if behaviour.get("commit", True):
        consumer.commit(message, asynchronous=True)
consumer.close()
