// What a task did, read from the free form that the API has for it. A form that is not known is nothing.

export interface Check {
  table: string;
  name: string;
  kind: string;
  outcome: string;
  value: number | null;
  threshold: string;
  message: string;
  samples: readonly string[];
  elapsed_ms: number;
}

export interface RuleCount {
  column: string | null;
  code: string;
  message: string;
  rows: number;
}

export interface Outcome {
  table: string;
  rows_read: number;
  rows_filtered: number;
  rows_deduplicated: number;
  rows_rejected: number;
  rows_dropped: number;
  rows_loaded: number;
  checks: readonly Check[];
  rules: readonly RuleCount[];
  notes: readonly string[];
  /** `version 3`, if something was committed. */
  version: string | undefined;
  /** True if the rows come from an outside system: those that are read = loaded + rejected of the run. */
  isLoad: boolean;
}

type Json = Record<string, unknown>;

const object = (value: unknown): Json | undefined =>
  typeof value === 'object' && value !== null && !Array.isArray(value) ? (value as Json) : undefined;
const list = (value: unknown): unknown[] => (Array.isArray(value) ? value : []);
const number = (value: unknown): number => (typeof value === 'number' ? value : 0);
const text = (value: unknown): string => (typeof value === 'string' ? value : '');
const texts = (value: unknown): string[] => list(value).map((one) => (typeof one === 'string' ? one : JSON.stringify(one)));

function check(value: unknown): Check {
  const one = object(value) ?? {};
  return {
    table: text(one['table']),
    name: text(one['name']),
    kind: text(one['kind']),
    outcome: text(one['outcome']),
    value: typeof one['value'] === 'number' ? one['value'] : null,
    threshold: text(one['threshold']),
    message: text(one['message']),
    samples: texts(one['samples']),
    elapsed_ms: number(one['elapsed_ms']),
  };
}

function rule(value: unknown): RuleCount {
  const one = object(value) ?? {};
  const column = one['column'];
  return {
    column: typeof column === 'string' ? column : null,
    code: text(one['code']),
    message: text(one['message']),
    rows: number(one['rows']),
  };
}

export function outcomeOf(value: unknown): Outcome | undefined {
  const found = object(value);
  if (!found || typeof found['table'] !== 'string') return undefined;
  const committed = object(object(found['receipt'])?.['committed']);
  const position = Object.keys(object(object(committed?.['token'])?.['position']) ?? {});
  return {
    table: found['table'],
    rows_read: number(found['rows_read']),
    rows_filtered: number(found['rows_filtered']),
    rows_deduplicated: number(found['rows_deduplicated']),
    rows_rejected: number(found['rows_rejected']),
    rows_dropped: number(found['rows_dropped']),
    rows_loaded: number(found['rows_loaded']),
    checks: list(found['checks']).map(check),
    rules: list(found['rules']).map(rule),
    notes: texts(found['notes']),
    version: typeof committed?.['version'] === 'string' ? committed['version'] : undefined,
    isLoad: position.length > 0 && !position.includes('model') && !position.includes('lake'),
  };
}

export interface RowSums {
  read: number;
  loaded: number;
  rejected: number;
  /** Dropped, and left out by `where` and `dedup`. */
  leftOut: number;
}

/** The rows that the loads of a run read, and what became of them; what models and publishes write is not in it. */
export function loadSums(tasks: readonly { outcome?: unknown }[]): RowSums {
  const sums: RowSums = { read: 0, loaded: 0, rejected: 0, leftOut: 0 };
  for (const task of tasks) {
    const outcome = outcomeOf(task.outcome);
    if (!outcome?.isLoad) continue;
    sums.read += outcome.rows_read;
    sums.loaded += outcome.rows_loaded;
    sums.rejected += outcome.rows_rejected;
    sums.leftOut += outcome.rows_dropped + outcome.rows_filtered + outcome.rows_deduplicated;
  }
  return sums;
}

/** `3 ok, 1 warn`, as the terminal says it. */
export function checksLine(checks: readonly Check[]): string {
  const words: [string, string][] = [['pass', 'ok'], ['warn', 'warn'], ['fail', 'failed']];
  const known = words.map(([outcome]) => outcome);
  const counted = words.map(([outcome, word]) => [checks.filter((one) => one.outcome === outcome).length, word] as const);
  const other = checks.filter((one) => !known.includes(one.outcome)).length;
  return [...counted, [other, 'other'] as const]
    .filter(([found]) => found > 0)
    .map(([found, word]) => `${found} ${word}`)
    .join(', ');
}
