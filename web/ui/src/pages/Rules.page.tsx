import { useApi } from '../data/fetch';

interface Rule {
  id: string;
  kind: string;
  entity: string;
  title: string;
  why?: string;
}

// Rules is the catalog: what can be named, and from what.
export function Rules() {
  const { data, error } = useApi<{ rules: Rule[] }>('api/v1/rules', 300);
  if (error) return <p class="card">{error}</p>;
  if (!data) return <p class="card muted">loading</p>;
  return (
    <>
      {['cause', 'symptom', 'evidence'].map((kind) => (
        <section class="card" key={kind}>
          <h3>{kind === 'evidence' ? 'Evidence' : `${kind[0]!.toUpperCase()}${kind.slice(1)}s`}</h3>
          <table>
            <tbody>
              {data.rules
                .filter((r) => r.kind === kind)
                .map((r) => (
                  <tr key={r.id}>
                    <td>
                      <code>{r.id}</code>
                    </td>
                    <td class="muted">{r.entity}</td>
                    <td>
                      {r.title} <span class="muted">{r.why}</span>
                    </td>
                  </tr>
                ))}
            </tbody>
          </table>
        </section>
      ))}
    </>
  );
}
