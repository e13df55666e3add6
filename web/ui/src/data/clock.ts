import { useEffect, useState } from 'preact/hooks';

// Ages on the page compare the server's times with now. A laptop whose clock is off must not make a fresh
// report look stale, so now is the server's: every answer carries a Date, to the second.
let ahead = 0; // how far this machine's clock is ahead of the server's, in ms

// setClock learns from an answer; differences below two seconds are rounding and delay, not skew.
export function setClock(response: Response) {
  const date = Date.parse(response.headers.get('Date') ?? '');
  if (Number.isNaN(date)) return;
  const difference = Date.now() - date;
  ahead = Math.abs(difference) < 2000 ? 0 : difference;
}

// serverNow is the server's time, in ms.
export const serverNow = () => Date.now() - ahead;

// useNow ticks once a second, so that ages on the page are true without new data.
export function useNow(): number {
  const [now, setNow] = useState(serverNow());
  useEffect(() => {
    const timer = setInterval(() => setNow(serverNow()), 1000);
    return () => clearInterval(timer);
  }, []);
  return now;
}
