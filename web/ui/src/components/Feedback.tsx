import { useState } from 'preact/hooks';
import { post, useApi } from '../data/fetch';
import type { Feedback, Incident } from '../data/types';
import { moment } from '../lib/format';

// FeedbackCard is what people said of an incident, and where to say it.
export function FeedbackCard({ incident: i, now }: { incident: Incident; now: number }) {
  const [mine, setMine] = useState<Feedback[]>([]);
  const known = i.feedback ?? [];
  const all = [...known, ...mine.filter((m) => !known.some((k) => k.id === m.id))];
  return (
    <section class="card feedback">
      <h3>What it was</h3>
      {all.length > 0 ? (
        <ul class="plain">
          {all.map((f) => (
            <li key={f.id}>
              <span class="muted">
                {moment(f.at, now)} {f.by ?? ''}
              </span>{' '}
              {f.wrong ? 'wrong, it was' : 'right, it was'} <code>{f.was}</code> {f.note ? <span class="muted">{f.note}</span> : null}
            </li>
          ))}
        </ul>
      ) : null}
      <Form incident={i} done={(f) => setMine([...mine, f])} />
    </section>
  );
}

function Form({ incident: i, done }: { incident: Incident; done: (f: Feedback) => void }) {
  const { data } = useApi<{ rules: { id: string; kind: string }[] }>('api/v1/rules', 300);
  const [was, setWas] = useState('');
  const [note, setNote] = useState('');
  const [error, setError] = useState<string | null>(null);
  const causes = [...(data?.rules ?? []).filter((r) => r.kind === 'cause').map((r) => r.id), 'other'];
  const send = (e: Event) => {
    e.preventDefault();
    post<Feedback>(`api/v1/incidents/${encodeURIComponent(i.id)}/feedback`, { was, note })
      .then((f) => {
        setWas('');
        setNote('');
        setError(null);
        done(f);
      })
      .catch((err: Error) => setError(err.message));
  };
  return (
    <form onSubmit={send}>
      <label>
        Wrong? It was{' '}
        <select value={was} onChange={(e) => setWas(e.currentTarget.value)}>
          <option value="">choose a cause</option>
          {causes.map((c) => (
            <option key={c} value={c}>
              {c}
            </option>
          ))}
        </select>
      </label>{' '}
      <input type="text" aria-label="How you know" placeholder="How you know" maxLength={4000} value={note} onInput={(e) => setNote(e.currentTarget.value)} />{' '}
      <button type="submit" disabled={was === ''}>
        Keep
      </button>
      {error ? <p class="bad">{error}</p> : null}
    </form>
  );
}
