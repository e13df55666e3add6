// quote makes a name safe inside a PromQL string.
export const quote = (name: string) => name.replace(/\\/g, '\\\\').replace(/"/g, '\\"');

// labels writes a selector's braces.
export function labels(of: Record<string, string>): string {
  return `{${Object.entries(of)
    .map(([k, v]) => `${k}="${quote(v)}"`)
    .join(',')}}`;
}

// top keeps the few series that were largest over the window, the same ones at every step: a cluster may have
// thousands of groups, a chart has eight colours. rank is an instant query with the same labels.
export function top(query: string, by: string, rank: string): string {
  return `${query} and on (${by}) topk(8, ${rank})`;
}
