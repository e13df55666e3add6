import { useEffect, useState } from 'preact/hooks';
import { api } from './fetch';
import type { Report, Reports } from './types';

export interface Live {
  reports: Report[] | null; // null until the first answer
  waiting?: string | undefined; // why the server has no report yet
  connected: boolean;
}

// retry is how long to wait, in ms, where the browser itself gives up: on an answer that is no stream.
const retry = 3000;

// useReports follows the live stream and reconnects for ever; the page says while it is cut.
export function useReports(): Live {
  const [live, setLive] = useState<Live>({ reports: null, connected: false });
  useEffect(() => {
    let source: EventSource;
    let timer: ReturnType<typeof setTimeout> | undefined;
    const open = () => {
      source = new EventSource('api/v1/stream');
      source.addEventListener('reports', (e) => {
        const body = JSON.parse((e as MessageEvent<string>).data) as Reports;
        setLive({ reports: body.reports, waiting: body.waiting, connected: true });
      });
      source.onerror = () => {
        setLive((old) => ({ ...old, connected: false }));
        if (source.readyState === EventSource.CLOSED) timer = setTimeout(open, retry);
      };
    };
    open();
    void api('api/v1/version').catch(() => {}); // for the server's clock only
    return () => {
      source.close();
      clearTimeout(timer);
    };
  }, []);
  return live;
}
