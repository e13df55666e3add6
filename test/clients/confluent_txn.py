"""Transactions with python3-confluent-kafka (librdkafka): confluent_txn.py BROKERS CODEC RECORDS

Copies a topic in transactions, with the group's offsets, aborting every third try; a reader of committed records must see
each record once."""

import sys
import time
import uuid

from confluent_kafka import Consumer, KafkaException, Producer, TopicPartition
from confluent_kafka.admin import AdminClient, NewTopic

brokers, codec, records = sys.argv[1], sys.argv[2], int(sys.argv[3])
name = f"confluent-txn-{codec}-{uuid.uuid4().hex[:8]}"
source, target = name + "-in", name + "-out"
admin = AdminClient({"bootstrap.servers": brokers})
for f in admin.create_topics([NewTopic(t, num_partitions=3, replication_factor=1) for t in (source, target)]).values():
    f.result(10)


def consumer(group, **more):
    return Consumer({
        "bootstrap.servers": brokers, "group.id": group, "auto.offset.reset": "earliest", "enable.auto.commit": False,
        "session.timeout.ms": 6000, "isolation.level": "read_committed", **more,
    })


def transactional():
    p = Producer({
        "bootstrap.servers": brokers, "transactional.id": name, "compression.type": codec, "linger.ms": 5,
        "transaction.timeout.ms": 30000,
    })
    p.init_transactions(20)
    return p


first = Producer({"bootstrap.servers": brokers, "compression.type": codec})
for i in range(records):
    first.produce(source, key=str(i), value=f"record-{i}", partition=i % 3)
    first.poll(0)
assert first.flush(30) == 0


def copy():
    """Copies until nothing is left; the third try of each three is aborted and read again."""
    reader, writer, tries, copied = consumer(name), transactional(), 0, 0
    reader.subscribe([source])
    end = time.time() + 100
    while copied < records and time.time() < end:
        batch = reader.consume(max(records // 9, 1), 1.0)
        if not batch:
            continue
        tries += 1
        writer.begin_transaction()
        for m in batch:
            assert not m.error(), m.error()
            writer.produce(target, key=m.key(), value=m.value())
            writer.poll(0)
        writer.send_offsets_to_transaction(reader.position(reader.assignment()), reader.consumer_group_metadata(), 20)
        if tries % 3 == 0:
            writer.flush(20)
            writer.abort_transaction(20)
            for p in reader.committed(reader.assignment(), 10):
                reader.seek(TopicPartition(p.topic, p.partition, max(p.offset, 0)))
            continue
        writer.commit_transaction(20)
        copied += len(batch)
    reader.close()
    return writer


writer = copy()


def read_all(isolation, want):
    reader = consumer("all-" + uuid.uuid4().hex, **{"isolation.level": isolation})
    reader.assign([TopicPartition(target, p, 0) for p in range(3)])
    seen, quiet = [], 0
    while len(seen) < want or quiet < 2:
        batch = reader.consume(500, 1.0)
        quiet = 0 if batch else quiet + 1
        if quiet > 15:
            break
        seen += [m.value().decode() for m in batch if not m.error()]
    ends = [reader.get_watermark_offsets(TopicPartition(target, p))[1] for p in range(3)]
    reader.close()
    return seen, ends


seen, _ = read_all("read_committed", records)
assert sorted(seen) == sorted(f"record-{i}" for i in range(records)), f"{len(seen)} records, {len(set(seen))} different, of {records}"
dirty, _ = read_all("read_uncommitted", records)
assert len(dirty) > len(seen), "no aborted record is there at all"

# An open transaction hides what lies behind it; another instance fences this one.
writer.begin_transaction()
writer.produce(target, value="never", partition=0)
writer.flush(20)
first.produce(target, value="behind", partition=0)
assert first.flush(20) == 0
seen, _ = read_all("read_committed", records)
assert len(seen) == records, f"{len(seen)} records past an open transaction"
other = transactional()
try:
    writer.commit_transaction(20)
    raise SystemExit("a fenced producer committed")
except KafkaException as e:
    assert e.args[0].fatal(), e
seen, _ = read_all("read_committed", records + 1)
assert len(seen) == records + 1 and seen.count("behind") == 1, f"{len(seen)} records after the abort"
