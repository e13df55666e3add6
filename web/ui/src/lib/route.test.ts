import { expect, test } from 'vitest';
import { parseRoute, withParam } from './route';

test('the hash is the state', () => {
  expect(parseRoute('').page).toBe('overview');
  const route = parseRoute('#/incidents/01J%2F2?cluster=local');
  expect([route.page, route.id, route.params.get('cluster')]).toEqual(['incidents', '01J/2', 'local']);
});

test('a parameter changes and the rest stays', () => {
  expect(withParam(parseRoute('#/overview?minutes=15'), 'cluster', 'a b')).toBe('#/overview?minutes=15&cluster=a+b');
});
