"""python3-confluent-kafka (librdkafka): confluent.py BROKERS CODEC RECORDS"""

import sys
import time
import uuid

from confluent_kafka import Consumer, Producer, TopicPartition
from confluent_kafka.admin import AdminClient, NewTopic

brokers, codec, records = sys.argv[1], sys.argv[2], int(sys.argv[3])
topic = f"confluent-{codec}-{uuid.uuid4().hex[:8]}"
admin = AdminClient({"bootstrap.servers": brokers})
for f in admin.create_topics([NewTopic(topic, num_partitions=4, replication_factor=1)]).values():
    f.result(10)

failed = []
producer = Producer({"bootstrap.servers": brokers, "compression.type": codec, "enable.idempotence": True, "linger.ms": 5})
for i in range(records):
    while True:
        try:
            producer.produce(topic, key=str(i), value=f"record-{i}", on_delivery=lambda e, m: failed.append(e) if e else None)
            break
        except BufferError:
            producer.poll(0.1)
    producer.poll(0)
assert producer.flush(30) == 0, "not all records were delivered"
assert not failed, failed[:3]


def consume(want, timeout):
    consumer = Consumer({
        "bootstrap.servers": brokers, "group.id": "g-" + topic, "auto.offset.reset": "earliest",
        "enable.auto.commit": False, "session.timeout.ms": 6000,
    })
    consumer.subscribe([topic])
    seen, end = set(), time.time() + timeout
    while len(seen) < want and time.time() < end:
        for m in consumer.consume(500, 1.0):
            assert not m.error(), m.error()
            seen.add(m.value().decode())
    if seen:
        consumer.commit(asynchronous=False)
        done = consumer.committed([TopicPartition(topic, p) for p in range(4)], timeout=10)
        assert sum(max(p.offset, 0) for p in done) == records, done
    consumer.close()
    return seen


seen = consume(records, 60)
assert seen == {f"record-{i}" for i in range(records)}, f"{len(seen)} of {records}"
again = consume(1, 6)
assert not again, f"{len(again)} records were read again: offsets were not committed"
