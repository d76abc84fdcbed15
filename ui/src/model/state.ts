// The states that people see. Each has one word, one shape (`parts/State.tsx`) and one colour (`styles/state.css`).

import type { Schemas } from '../api/client';

export type Shown =
  | 'succeeded' | 'unchanged' | 'warned' | 'running' | 'waiting' | 'retrying' | 'failed' | 'stopped' | 'skipped'
  | 'cancelled' | 'interrupted' | 'superseded' | 'paused';

export const WORDS: Record<Shown, string> = {
  succeeded: 'succeeded',
  unchanged: 'unchanged',
  warned: 'succeeded with warnings',
  running: 'running',
  waiting: 'waiting',
  retrying: 'waiting to retry',
  failed: 'failed',
  stopped: 'stopped by data',
  skipped: 'skipped',
  cancelled: 'cancelled',
  interrupted: 'interrupted',
  superseded: 'superseded',
  paused: 'paused',
};

interface AnyTask {
  state: Schemas['TaskState'];
  remedy?: string;
  failure?: { remedy: string } | null;
}

interface AnyRun {
  state: Schemas['RunState'];
  interrupted: boolean;
  tasks?: readonly AnyTask[];
  counts?: Schemas['Counts'];
}

const isData = (task: AnyTask) => (task.failure?.remedy ?? task.remedy) === 'fix_data';

export function taskShown(task: AnyTask): Shown {
  if (task.state === 'ready') return 'waiting';
  return task.state === 'failed' && isData(task) ? 'stopped' : task.state;
}

export function runShown(run: AnyRun): Shown {
  if (run.interrupted) return 'interrupted';
  if (run.state === 'failed') {
    const failed = (run.tasks ?? []).filter((task) => task.state === 'failed');
    return failed.length > 0 && failed.every(isData) ? 'stopped' : 'failed';
  }
  if (run.state === 'succeeded' && (run.counts?.rows_rejected ?? 0) > 0) return 'warned';
  return run.state;
}

/** Whether somebody must look. */
export function isBad(shown: Shown): boolean {
  return shown === 'failed' || shown === 'stopped' || shown === 'interrupted';
}

const FINAL = new Set<Schemas['TaskState']>(['succeeded', 'unchanged', 'failed', 'skipped', 'cancelled']);

export function isFinal(state: Schemas['TaskState']): boolean {
  return FINAL.has(state);
}
