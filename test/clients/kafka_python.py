"""python3-kafka: kafka_python.py BROKERS CODEC RECORDS"""

import sys
import uuid

from kafka import KafkaConsumer, KafkaProducer, TopicPartition
from kafka.admin import KafkaAdminClient, NewTopic

brokers, codec, records = sys.argv[1], sys.argv[2], int(sys.argv[3])
topic = f"kafka-python-{codec}-{uuid.uuid4().hex[:8]}"
admin = KafkaAdminClient(bootstrap_servers=brokers)
admin.create_topics([NewTopic(topic, num_partitions=4, replication_factor=1)])

producer = KafkaProducer(bootstrap_servers=brokers, compression_type=codec, acks="all", linger_ms=5)
futures = [producer.send(topic, key=str(i).encode(), value=f"record-{i}".encode()) for i in range(records)]
producer.flush(60)
for f in futures:
    f.get(10)
producer.close()


def consume(want, timeout_ms):
    consumer = KafkaConsumer(
        topic, bootstrap_servers=brokers, group_id="g-" + topic, auto_offset_reset="earliest",
        enable_auto_commit=False, consumer_timeout_ms=timeout_ms,
    )
    seen = set()
    for m in consumer:
        seen.add(m.value.decode())
        if len(seen) >= want:
            break
    if seen:
        consumer.commit()
        total = sum(consumer.committed(TopicPartition(topic, p)) or 0 for p in range(4))
        assert total == records, f"committed {total} of {records}"
    consumer.close()
    return seen


seen = consume(records, 30000)
assert seen == {f"record-{i}" for i in range(records)}, f"{len(seen)} of {records}"
again = consume(1, 5000)
assert not again, f"{len(again)} records were read again: offsets were not committed"
