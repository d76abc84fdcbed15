// Runs and their tasks: names, progress, attempts, and what an event changes.

import type { Event } from '../api/events';
import type { Schemas } from '../api/client';
import { duration, median } from '../format/duration';
import { isFinal } from './state';

type TaskState = Schemas['TaskState'];
type RunState = Schemas['RunState'];

/** `shop#212`. */
export function runId(name: Schemas['RunName']): string {
  return `${name.pipeline}#${name.number}`;
}

const TASK_STATES: Record<string, TaskState> = {
  task_waiting: 'waiting', task_ready: 'ready', task_running: 'running', retry_scheduled: 'retrying',
  task_succeeded: 'succeeded', task_unchanged: 'unchanged', task_failed: 'failed', task_skipped: 'skipped',
  task_cancelled: 'cancelled',
};
const RUN_STATES: Record<string, RunState> = {
  run_started: 'running', run_resumed: 'running', run_succeeded: 'succeeded', run_failed: 'failed',
  run_cancelled: 'cancelled', run_superseded: 'superseded',
};

interface LiveTask {
  id: string;
  state: TaskState;
  attempt: number;
  started_us: number | null;
  ended_us: number | null;
}

interface LiveRun {
  state: RunState;
  interrupted: boolean;
  ended_us: number | null;
  tasks: readonly LiveTask[];
  /** Of runs in lists. */
  task_states?: Readonly<Record<string, number>>;
}

function changed(task: LiveTask, state: TaskState, atUs: number): LiveTask {
  // The answer may have had the event already.
  const isOld = isFinal(task.state) ? task.ended_us !== null && atUs <= task.ended_us : atUs <= (task.started_us ?? -1);
  if (isOld) return task;
  if (state === 'running') return { ...task, state, attempt: task.attempt + 1, started_us: atUs, ended_us: null };
  return { ...task, state, ended_us: isFinal(state) ? atUs : task.ended_us };
}

/** The run after an event. What else the event changed is asked for afterwards. */
export function applyEvent<R extends LiveRun>(run: R, event: Event): R {
  if (event.task === null) {
    const state = RUN_STATES[event.kind];
    if (state === undefined || (run.ended_us !== null && event.at_us <= run.ended_us)) return run;
    return { ...run, state, interrupted: false, ended_us: state === 'running' ? null : event.at_us };
  }
  const state = TASK_STATES[event.kind];
  if (state === undefined) return run;
  const tasks = run.tasks.map((task) => (task.id === event.task ? changed(task, state, event.at_us) : task));
  const before = run.tasks.find((task) => task.id === event.task)?.state;
  if (run.task_states === undefined || before === undefined || before === state) return { ...run, tasks };
  const moved = { ...run.task_states };
  moved[before] = (moved[before] ?? 1) - 1;
  moved[state] = (moved[state] ?? 0) + 1;
  return { ...run, tasks, task_states: moved };
}

/** How many of the tasks have ended. */
export function progress(tasks: readonly { state: TaskState }[]): { ended: number; of: number } {
  return { ended: tasks.filter((task) => isFinal(task.state)).length, of: tasks.length };
}

interface ListedRun {
  tasks: readonly { state: TaskState }[];
  task_states?: Readonly<Record<string, number>>;
}

/** The same of a run in a list, which counts all its tasks and may not have all of them. */
export function listedProgress(run: ListedRun): { ended: number; of: number } {
  if (run.task_states === undefined) return progress(run.tasks);
  const counts = Object.entries(run.task_states);
  const sum = (some: [string, number][]) => some.reduce((total, [, found]) => total + found, 0);
  return { ended: sum(counts.filter(([state]) => isFinal(state as TaskState))), of: sum(counts) };
}

interface Timed {
  started_us: number;
  ended_us: number | null;
  state: RunState;
}

/** The usual duration of the runs that succeeded. */
export function usual(runs: readonly Timed[]): number | undefined {
  const ended = runs.filter((run) => run.state === 'succeeded' && run.ended_us !== null);
  return median(ended.map((run) => (run.ended_us ?? 0) - run.started_us));
}

/** `about 40 s left`, `longer than usual by 12 s`; nothing if it is not known what is usual. */
export function left(startedUs: number, usualUs: number | undefined, nowUs: number): string | undefined {
  if (usualUs === undefined) return undefined;
  const rest = startedUs + usualUs - nowUs;
  return rest >= 0 ? `about ${duration(rest)} left` : `longer than usual by ${duration(-rest)}`;
}

export interface Attempt {
  number: number;
  startedUs: number;
  endedUs: number | undefined;
  state: TaskState;
  message: string | undefined;
  /** When the next attempt is due, if one follows. */
  dueUs: number | undefined;
}

type RunEvent = Schemas['RunEvent'];

function details(event: RunEvent): { message: string | undefined; dueUs: number | undefined } {
  const body = (typeof event.body === 'object' && event.body !== null ? event.body : {}) as {
    due_us?: unknown;
    failure?: { message?: unknown; code?: unknown };
  };
  const { message, code } = body.failure ?? {};
  return {
    message: typeof message === 'string' ? `${message}${typeof code === 'string' ? ` (${code})` : ''}` : undefined,
    dueUs: typeof body.due_us === 'number' ? body.due_us : undefined,
  };
}

/** The attempts of a task, from the events of its run. */
export function attempts(events: readonly RunEvent[], task: string): Attempt[] {
  const found: Attempt[] = [];
  for (const event of events) {
    if (event.task !== task) continue;
    const state = TASK_STATES[event.kind];
    const last = found.at(-1);
    if (state === 'running') {
      const number = found.length + 1;
      found.push({ number, startedUs: event.at_us, endedUs: undefined, state, message: undefined, dueUs: undefined });
    } else if (last && last.endedUs === undefined && state !== undefined && (isFinal(state) || state === 'retrying')) {
      found[found.length - 1] = { ...last, ...details(event), state, endedUs: event.at_us };
    }
  }
  return found;
}
