// kafkajs: kafkajs.mjs BROKERS CODEC RECORDS
import assert from 'node:assert';
import { randomUUID } from 'node:crypto';
import kafkajs from 'kafkajs';

const { Kafka, CompressionTypes, CompressionCodecs, logLevel } = kafkajs;
const [brokers, codec, count] = process.argv.slice(2);
const records = Number(count);
if (codec === 'snappy') CompressionCodecs[CompressionTypes.Snappy] = (await import('kafkajs-snappy')).default;
if (codec === 'lz4') {
  const lz4 = (await import('lz4js')).default;
  CompressionCodecs[CompressionTypes.LZ4] = () => ({
    compress: async (encoder) => Buffer.from(lz4.compress(encoder.buffer)),
    decompress: async (buffer) => Buffer.from(lz4.decompress(buffer)),
  });
}
if (codec === 'zstd') {
  const { ZstdCodec } = (await import('zstd-codec')).default;
  const zstd = await new Promise((resolve) => ZstdCodec.run((binding) => resolve(new binding.Simple())));
  CompressionCodecs[CompressionTypes.ZSTD] = () => ({
    compress: async (encoder) => Buffer.from(zstd.compress(encoder.buffer)),
    decompress: async (buffer) => Buffer.from(zstd.decompress(buffer)),
  });
}
const type = { gzip: CompressionTypes.GZIP, snappy: CompressionTypes.Snappy, lz4: CompressionTypes.LZ4, zstd: CompressionTypes.ZSTD }[codec];
const kafka = new Kafka({ clientId: 'kafkajs-test', brokers: brokers.split(','), logLevel: logLevel.ERROR });
const topic = `kafkajs-${codec}-${randomUUID().slice(0, 8)}`;
const admin = kafka.admin();
await admin.connect();
await admin.createTopics({ topics: [{ topic, numPartitions: 4 }], waitForLeaders: true });

const producer = kafka.producer({ idempotent: true });
await producer.connect();
for (let i = 0; i < records; i += 500) {
  const messages = Array.from({ length: Math.min(500, records - i) }, (_, j) => ({ key: String(i + j), value: `record-${i + j}` }));
  await producer.send({ topic, compression: type, acks: -1, messages });
}
await producer.disconnect();

async function consume(want, timeout) {
  const consumer = kafka.consumer({ groupId: `g-${topic}`, sessionTimeout: 10000 });
  await consumer.connect();
  await consumer.subscribe({ topic, fromBeginning: true });
  const seen = new Set();
  let finished;
  const done = new Promise((resolve) => (finished = resolve));
  const timer = setTimeout(finished, timeout);
  await consumer.run({
    eachBatch: async ({ batch, resolveOffset, heartbeat, commitOffsetsIfNecessary }) => {
      for (const m of batch.messages) {
        seen.add(m.value.toString());
        resolveOffset(m.offset);
      }
      await heartbeat();
      await commitOffsetsIfNecessary({ topics: [{ topic, partitions: [{ partition: batch.partition, offset: String(Number(batch.lastOffset()) + 1) }] }] });
      if (seen.size >= want) finished();
    },
  });
  await done;
  clearTimeout(timer);
  await consumer.disconnect();
  return seen;
}

const seen = await consume(records, 60000);
assert.equal(seen.size, records);
const offsets = await admin.fetchOffsets({ groupId: `g-${topic}`, topics: [topic] });
const total = offsets[0].partitions.reduce((sum, p) => sum + Math.max(0, Number(p.offset)), 0);
assert.equal(total, records, 'committed offsets');
const again = await consume(1, 5000);
assert.equal(again.size, 0, 'records were read again: offsets were not committed');
await admin.disconnect();
