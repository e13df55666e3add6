import { useEffect, useState } from 'preact/hooks';
import type { Report, Reports } from './types';

export interface Live {
  reports: Report[] | null; // null until the first answer
  connected: boolean;
  at: number; // when the newest report came, in ms
}

// useReports follows the live stream; the browser reconnects by itself, and the page says while it is cut.
export function useReports(): Live {
  const [live, setLive] = useState<Live>({ reports: null, connected: false, at: 0 });
  useEffect(() => {
    const source = new EventSource('api/v1/stream');
    source.addEventListener('reports', (e) => {
      const body = JSON.parse((e as MessageEvent<string>).data) as Reports;
      setLive({ reports: body.reports, connected: true, at: Date.now() });
    });
    source.onerror = () => setLive((old) => ({ ...old, connected: false }));
    return () => source.close();
  }, []);
  return live;
}
