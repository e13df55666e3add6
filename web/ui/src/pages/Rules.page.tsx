import { useApi } from '../data/fetch';
import { plain } from '../lib/format';
import type { Route } from '../lib/route';
import { withParam } from '../lib/route';

interface Rule {
  id: string;
  kind: string;
  entity: string;
  title: string;
  why?: string;
}

const kinds: [kind: string, title: string][] = [
  ['cause', 'Causes'],
  ['symptom', 'Symptoms'],
  ['evidence', 'Evidence'],
];

// Rules is the catalog: what can be named, and from what.
export function Rules({ route }: { route: Route }) {
  const { data, error } = useApi<{ rules: Rule[] }>('api/v1/rules', 300);
  if (!data) return <p class="card muted">{error ?? 'loading'}</p>;
  const words = (route.params.get('q') ?? '').toLowerCase();
  const found = data.rules.filter((r) => `${r.id} ${r.entity} ${r.title} ${r.why ?? ''}`.toLowerCase().includes(words));
  // Typing replaces the place in the history: going back leaves the page rather than undoing letters.
  const search = (text: string) => location.replace(withParam(route, 'q', text));
  return (
    <>
      <h1>Rules</h1>
      <input type="search" aria-label="Find a rule" placeholder="Find a rule" value={route.params.get('q') ?? ''} onInput={(e) => search(e.currentTarget.value)} />
      {found.length === 0 ? <p class="card muted">No rule says that.</p> : null}
      {kinds.map(([kind, title]) => (
        <Kind key={kind} title={title} rules={found.filter((r) => r.kind === kind)} />
      ))}
    </>
  );
}

function Kind({ title, rules }: { title: string; rules: Rule[] }) {
  if (rules.length === 0) return null;
  return (
    <section class="card">
      <h3>
        {title} ({rules.length})
      </h3>
      <ul class="plain rules">
        {rules.map((r) => (
          <li key={r.id}>
            <span>
              <code>{r.id}</code> <span class="muted">{r.entity}</span>
            </span>
            <span>
              {plain(r.title)} {r.why ? <span class="muted">{plain(r.why)}</span> : null}
            </span>
          </li>
        ))}
      </ul>
    </section>
  );
}
