import { useEffect, useState } from 'preact/hooks';
import { setClock } from './clock';

// api reads one JSON resource; an error carries the server's own words.
export async function api<T>(path: string, signal?: AbortSignal): Promise<T> {
  return answer<T>(path, await fetch(path, signal ? { signal } : {}));
}

// post sends one JSON body and reads the answer.
export async function post<T>(path: string, body: unknown): Promise<T> {
  const response = await fetch(path, { method: 'POST', headers: { 'Content-Type': 'application/json' }, body: JSON.stringify(body) });
  return answer<T>(path, response);
}

async function answer<T>(path: string, response: Response): Promise<T> {
  setClock(response);
  if (!response.ok) {
    const body = (await response.json().catch(() => ({}))) as { error?: string };
    throw new Error(body.error ?? `${path}: ${response.status}`);
  }
  return (await response.json()) as T;
}

export interface Loaded<T> {
  data: T | null;
  error: string | null;
}

// useApi reads a resource now and every `seconds`; the last good answer stays while a new one fails.
export function useApi<T>(path: string, seconds: number): Loaded<T> {
  const [state, setState] = useState<Loaded<T>>({ data: null, error: null });
  useEffect(() => {
    const abort = new AbortController();
    const load = () =>
      api<T>(path, abort.signal)
        .then((data) => setState({ data, error: null }))
        .catch((e: Error) => {
          if (!abort.signal.aborted) setState((old) => ({ data: old.data, error: e.message }));
        });
    setState({ data: null, error: null });
    void load();
    const timer = setInterval(load, seconds * 1000);
    return () => {
      abort.abort();
      clearInterval(timer);
    };
  }, [path, seconds]);
  return state;
}
