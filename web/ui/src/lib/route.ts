import { useEffect, useState } from 'preact/hooks';

// The URL is the page's state: a link is what one sees. Routes live in the hash, so that the page works
// under any path: #/, #/incidents, #/incidents/ID, #/rules; the cluster and the window are parameters.
export interface Route {
  page: string;
  id: string;
  params: URLSearchParams;
}

export function parseRoute(hash: string): Route {
  const [path = '', query = ''] = hash.replace(/^#\/?/, '').split('?');
  const [page = '', id = ''] = path.split('/').map(decodeURIComponent);
  return { page: page === '' ? 'overview' : page, id, params: new URLSearchParams(query) };
}

export function useRoute(): Route {
  const [route, setRoute] = useState(() => parseRoute(location.hash));
  useEffect(() => {
    const changed = () => setRoute(parseRoute(location.hash));
    addEventListener('hashchange', changed);
    return () => removeEventListener('hashchange', changed);
  }, []);
  return route;
}

// withParam is the same page with one parameter set.
export function withParam(route: Route, key: string, value: string): string {
  const params = new URLSearchParams(route.params);
  params.set(key, value);
  const id = route.id === '' ? '' : `/${encodeURIComponent(route.id)}`;
  return `#/${route.page}${id}?${params}`;
}
