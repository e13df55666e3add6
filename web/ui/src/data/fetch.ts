import { useEffect, useState } from 'preact/hooks';
import { setClock } from './clock';

// api reads one JSON resource; an error carries the server's own words.
export async function api<T>(path: string, signal?: AbortSignal): Promise<T> {
  const response = await fetch(path, signal ? { signal } : {});
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
