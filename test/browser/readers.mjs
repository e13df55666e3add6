import assert from 'node:assert';

// readers opens n streams and waits until each has had the snapshot and two ticks after it; every reader must
// get them within the same few seconds.
export async function readers(url, n) {
  const abort = new AbortController();
  const timer = setTimeout(() => abort.abort(new Error('two ticks did not reach every reader within 20 s')), 20_000);
  try {
    const seen = await Promise.all(Array.from({ length: n }, () => ticks(url, 3, abort.signal)));
    assert.deepEqual([...new Set(seen)], [3]);
  } finally {
    clearTimeout(timer);
    abort.abort();
  }
}

// ticks reads a stream until it has had `want` reports.
async function ticks(url, want, signal) {
  const response = await fetch(url, { signal });
  assert.equal(response.headers.get('content-type'), 'text/event-stream');
  let got = 0;
  let rest = '';
  for await (const chunk of response.body.pipeThrough(new TextDecoderStream())) {
    const lines = (rest + chunk).split('\n');
    rest = lines.pop();
    got += lines.filter((line) => line === 'event: reports').length;
    if (got >= want) return want;
  }
  throw new Error(`the stream ended after ${got} reports`);
}
