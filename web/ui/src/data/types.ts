// The shapes of streamkeeper.reports/v1 and streamkeeper.incident/v1. Unknown numbers are null, never zero.

export type Severity = 'critical' | 'warning' | 'info';
export type Verdict = 'root_cause' | 'probable' | 'one_of' | 'benign' | 'other';

export interface Entity {
  kind: string;
  name: string;
  cluster: string;
}

export interface Evidence {
  id: string;
  bearing: 'supports' | 'refutes' | 'missing';
  text: string;
  value: number | null;
  weight: number;
  group?: string;
  needs?: string;
}

export interface Advice {
  do: string;
  why: string;
  risk: string;
  command?: string;
  verify?: { clears: string; within_seconds: number; text: string };
}

export interface Finding {
  id: string;
  cause: string;
  causes?: string[];
  title: string;
  summary?: string;
  entity: Entity;
  owner?: string;
  locus: { kind: string; name: string }[] | null;
  trigger?: { kind: string; text: string; at: string };
  verdict: Verdict;
  confidence: number;
  assessed: number;
  assessable?: number;
  severity: Severity;
  since: string;
  standing?: boolean;
  explains: string[] | null;
  evidence: Evidence[] | null;
  alternatives: { cause: string; confidence: number; why_not: string }[] | null;
  consequence_of?: string;
  incident?: string;
  ask_next?: { evidence: string; text: string; gain: number };
  advice: Advice[] | null;
  scale?: { do: string; why: string };
}

export interface Symptom {
  id: string;
  entity: Entity;
  since: string;
  value: number | null;
  text: string;
  severity: Severity;
  standing?: boolean;
}

export interface Source {
  name: string;
  kind: string;
  fresh_seconds: number | null;
  stale?: boolean;
  error?: string;
}

export interface Recommendation {
  kind: string;
  entity: Entity;
  from: number | null;
  to: number | null;
  why: string;
  bounded_by?: string;
}

export interface Change {
  at: string;
  kind: string;
  text: string;
  risky?: boolean;
}

export interface Report {
  cluster: { name: string; id: string; kind: string };
  generated_at: string;
  tick_seconds: number;
  headline: string;
  health: { score: number | null; state: 'healthy' | 'degraded' | 'critical' | 'unknown' };
  findings: Finding[] | null;
  symptoms: Symptom[] | null;
  unexplained: string[] | null;
  not_judged: { what: string; needs: string }[] | null;
  sources: Source[] | null;
  recommendations: Recommendation[] | null;
  changes?: Change[] | null;
  ignored?: number;
  first_day?: { since: string; until: string; standing: number };
}

export interface Reports {
  schema: string;
  reports: Report[];
  waiting?: string; // why there is no report yet
}

export interface Incident {
  id: string;
  state: 'open' | 'updated' | 'resolved';
  opened_at: string;
  updated_at: string;
  resolved_at: string | null;
  severity: Severity;
  impact: { text: string; since: string } | null;
  headline: string;
  root: Finding;
  consequences: Finding[] | null;
  symptoms: Symptom[] | null;
  changes: Change[] | null;
  cluster: string;
  owner?: string;
  owners?: string[];
  standing?: boolean;
  untold?: 'budget' | 'standing' | 'silence';
  feedback?: Feedback[];
}

export interface Feedback {
  id: string;
  said: string[];
  was: string;
  wrong: boolean;
  note?: string;
  by?: string;
  at: string;
}

export interface Group {
  name: string;
  state: string;
  protocol: string;
  topics?: string[];
  members?: { key: string }[];
}

export interface Inventory {
  cluster: { name: string };
  groups?: Group[];
  topics?: { name: string; partitions: number; internal?: boolean }[];
  brokers?: { id: number; address: string }[];
  stores?: { name: string; url: string }[];
}
