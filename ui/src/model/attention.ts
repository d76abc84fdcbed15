// What needs somebody: computed from what the server says, the worst first.

import type { Schemas } from '../api/client';
import { duration } from '../format/duration';
import { counted } from '../format/number';
import { parseTime } from '../format/time';
import { runId, usual } from './run';
import { isBad, runShown, WORDS, type Shown } from './state';

export type Need =
  | { kind: 'run'; state: Shown; run: string; pipeline: string; atUs: number }
  | { kind: 'late'; pipeline: string; dueUs: number }
  | { kind: 'waiting'; pipeline: string; because: string; startUs: number }
  | { kind: 'slow'; run: string; pipeline: string; why: string; atUs: number }
  | { kind: 'rows'; table: string; why: string };

interface Known {
  pipelines: readonly Schemas['PipelineLine'][];
  waiting: readonly Schemas['WaitingInterval'][];
  quarantine: readonly { table: string; held: number }[];
}

/** A fire may be this late before it counts. */
const LATE_US = 120_000_000;

function ofPipeline(line: Schemas['PipelineLine'], nowUs: number): Need[] {
  const { pipeline, last } = line;
  const needs: Need[] = [];
  if (last) {
    const state = runShown(line.recent.find((run) => run.name.number === last.name.number) ?? last);
    if (isBad(state)) needs.push({ kind: 'run', state, run: runId(last.name), pipeline, atUs: last.ended_us ?? last.started_us });
    const usualUs = usual(line.recent);
    const soFar = nowUs - last.started_us;
    if (state === 'running' && usualUs !== undefined && soFar > 2 * usualUs + 10_000_000) {
      const why = `running for ${duration(soFar)}, usually ${duration(usualUs)}`;
      needs.push({ kind: 'slow', run: runId(last.name), pipeline, why, atUs: last.started_us });
    }
  }
  const dueMs = line.next === undefined || line.paused ? undefined : parseTime(line.next);
  if (dueMs !== undefined && dueMs * 1000 < nowUs - LATE_US) needs.push({ kind: 'late', pipeline, dueUs: dueMs * 1000 });
  return needs;
}

const ORDER: readonly Need['kind'][] = ['run', 'late', 'waiting', 'slow', 'rows'];

export function needs({ pipelines, waiting, quarantine }: Known, nowUs: number): Need[] {
  const found = pipelines.flatMap((line) => ofPipeline(line, nowUs));
  for (const one of waiting) {
    found.push({ kind: 'waiting', pipeline: one.pipeline, because: one.because, startUs: one.start_us });
  }
  for (const { table, held } of quarantine) {
    if (held > 0) found.push({ kind: 'rows', table, why: `${counted(held, 'rejected row')} in the quarantine` });
  }
  return found.sort((a, b) => ORDER.indexOf(a.kind) - ORDER.indexOf(b.kind));
}

interface Summed {
  state: Schemas['RunState'];
  interrupted: boolean;
  started_us: number;
  counts: Schemas['Counts'];
  tasks: readonly { state: Schemas['TaskState'] }[];
}

export interface Sums {
  runs: number;
  running: number;
  well: number;
  bad: number;
  loaded: number;
  rejected: number;
}

/** The runs since a time, summed. */
export function sums(runs: readonly Summed[], sinceUs: number): Sums {
  const some = runs.filter((run) => run.started_us >= sinceUs);
  const shown = some.map(runShown);
  const rows = (of: (counts: Schemas['Counts']) => number) => some.reduce((sum, run) => sum + of(run.counts), 0);
  return {
    runs: some.length,
    running: shown.filter((state) => state === 'running').length,
    well: shown.filter((state) => state === 'succeeded' || state === 'warned').length,
    bad: shown.filter(isBad).length,
    loaded: rows((counts) => counts.rows_loaded),
    rejected: rows((counts) => counts.rows_rejected),
  };
}

/** The answer in one sentence: did it go well, and does anything need me? */
export function headline(found: readonly Need[], runs: Sums): string {
  const bad = found.length;
  if (bad > 0) return bad === 1 ? 'One thing needs you' : `${bad} things need you`;
  if (runs.runs === 0) return 'Nothing ran in the last 24 hours';
  if (runs.well + runs.running === runs.runs) return runs.running > 0 ? 'All is well so far' : 'All is well';
  return 'Nothing needs you now';
}

/** The words of a need. */
export function reason(need: Need): string {
  switch (need.kind) {
    case 'run': return WORDS[need.state];
    case 'late': return 'late';
    case 'waiting': return need.because;
    case 'slow': return need.why;
    case 'rows': return need.why;
  }
}
