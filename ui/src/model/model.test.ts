import { describe, expect, test } from 'vitest';
import type { Event } from '../api/events';
import { headline, needs, sums } from './attention';
import { fold, foldedAtFirst, ordered, pathOf, withoutImplied, type GraphTask } from './graph';
import { lineageTables } from './lineage';
import { filtered, levelOf, matches, withPage } from './log';
import { checksLine, loadSums, outcomeOf } from './outcome';
import { parseParams } from './params';
import { applyEvent, attempts, left, listedProgress, progress, runId, usual } from './run';
import { find, type Found } from './search';
import { runShown, taskShown } from './state';

const name = { pipeline: 'shop', number: 7 };
const event = (kind: string, task: string | null, at_us = 50): Event => ({ run: name, seq: 1, at_us, task, kind, body: null });

describe('states', () => {
  test('a run that only data stopped is not a failure of the machine', () => {
    const run = { state: 'failed' as const, interrupted: false };
    const task = (remedy: string) => ({ state: 'failed' as const, failure: { remedy } });
    expect(runShown({ ...run, tasks: [task('fix_data')] })).toBe('stopped');
    expect(runShown({ ...run, tasks: [task('fix_data'), task('retry')] })).toBe('failed');
    expect(runShown({ ...run, tasks: [{ state: 'failed', remedy: 'fix_data' }] })).toBe('stopped');
    expect(runShown(run)).toBe('failed');
    expect(runShown({ state: 'running', interrupted: true })).toBe('interrupted');
  });

  test('rejected rows are a warning', () => {
    const counts = (rows_rejected: number) => ({ rows_in: 9, rows_loaded: 9 - rows_rejected, rows_rejected });
    expect(runShown({ state: 'succeeded', interrupted: false, counts: counts(1) })).toBe('warned');
    expect(runShown({ state: 'succeeded', interrupted: false, counts: counts(0) })).toBe('succeeded');
  });

  test('ready is waiting', () => expect(taskShown({ state: 'ready' })).toBe('waiting'));
});

describe('runs', () => {
  const task = { id: 'a', state: 'waiting' as const, attempt: 0, started_us: null, ended_us: null };
  const run = { state: 'running' as const, interrupted: false, ended_us: null, tasks: [task, { ...task, id: 'b' }] };

  test('events change the states of tasks and of the run', () => {
    expect(runId(name)).toBe('shop#7');
    const begun = applyEvent(run, event('task_running', 'a', 50));
    expect(begun.tasks[0]).toEqual({ ...task, state: 'running', attempt: 1, started_us: 50 });
    const ended = applyEvent(begun, event('task_failed', 'a', 80));
    expect(ended.tasks[0]).toMatchObject({ state: 'failed', ended_us: 80 });
    expect(ended.tasks[1]).toBe(run.tasks[1]);
    expect(applyEvent(ended, event('run_failed', null, 90))).toMatchObject({ state: 'failed', ended_us: 90 });
    expect(applyEvent(run, event('note', 'a'))).toBe(run);
    // The same events again change nothing.
    expect(applyEvent(begun, event('task_running', 'a', 50)).tasks[0]).toEqual(begun.tasks[0]);
    expect(applyEvent(ended, event('task_running', 'a', 50)).tasks[0]).toEqual(ended.tasks[0]);
    expect(progress(ended.tasks)).toEqual({ ended: 1, of: 2 });
    const listed = { ...run, task_states: { waiting: 101 } };
    const counted = applyEvent(applyEvent(listed, event('task_running', 'a')), event('task_succeeded', 'a'));
    expect(counted.task_states).toEqual({ waiting: 100, running: 0, succeeded: 1 });
    expect(listedProgress(counted)).toEqual({ ended: 1, of: 101 });
  });

  test('what is usual is known from the runs that succeeded', () => {
    const of = (took: number, state: 'succeeded' | 'failed' = 'succeeded') => ({ started_us: 0, ended_us: took, state });
    expect(usual([of(5), of(9), of(1), of(1000, 'failed')])).toBe(5);
    expect(usual([of(5, 'failed')])).toBeUndefined();
    expect(left(0, 60_000_000, 20_000_000)).toBe('about 40 s left');
    expect(left(0, 60_000_000, 72_000_000)).toBe('longer than usual by 12 s');
    expect(left(0, undefined, 5)).toBeUndefined();
  });

  test('attempts are read from the events', () => {
    const at = (kind: string, at_us: number, body: unknown = null) => ({ seq: at_us, at_us, task: 'score', kind, body });
    const failure = { code: 'R0950', message: 'exit code 3' };
    const found = attempts([
      at('task_ready', 1), at('task_running', 2), at('retry_scheduled', 5, { due_us: 9, failure }), at('task_ready', 9),
      at('task_running', 10), at('task_failed', 12, { failure }), { ...at('task_running', 13), task: 'other' },
    ], 'score');
    expect(found).toEqual([
      { number: 1, startedUs: 2, endedUs: 5, state: 'retrying', message: 'exit code 3 (R0950)', dueUs: 9 },
      { number: 2, startedUs: 10, endedUs: 12, state: 'failed', message: 'exit code 3 (R0950)', dueUs: undefined },
    ]);
  });

  test('parameters are one per line', () => {
    expect(parseParams(' since = 2026-01-01\n\nquery=a=b\nflag')).toEqual({ since: '2026-01-01', query: 'a=b', flag: '' });
  });
});

describe('logs', () => {
  const at = (seq: number, kind: string, task: string | null, body: unknown = null) => ({ seq, at_us: seq, task, kind, body });

  test('what a task printed stands before its end', () => {
    const lines = withPage([], {
      events: [at(1, 'task_running', 'a', { from: 'ready', worker: 'x' }), at(2, 'task_failed', 'a', { failure: { code: 'R1', message: 'no', help: ['look'] } })],
      printed: [{ task: 'a', text: 'one\nERROR two\n' }],
    });
    expect(lines.map((line) => [line.number, line.level, line.text])).toEqual([
      [1, 'info', 'running'], [2, 'info', 'one'], [3, 'error', 'ERROR two'], [4, 'error', 'failed: no (R1)'], [5, 'error', '  = look'],
    ]);
    const more = withPage(lines, { events: [], printed: [{ task: 'b', text: 'late' }] });
    expect(more.slice(0, 5)).toEqual(lines);
    expect(more[5]).toMatchObject({ number: 6, text: 'late', isPrinted: true, atUs: undefined });
    expect(filtered(more, { level: 'error', task: undefined }).map((line) => line.number)).toEqual([3, 4, 5]);
    expect(filtered(more, { level: 'info', task: 'b' }).map((line) => line.number)).toEqual([6]);
    expect(matches(more, ' TWO')).toEqual([2]);
    expect(matches(more, ' ')).toEqual([]);
  });

  test('levels are words in capitals', () => {
    expect(levelOf('12:00 WARNING x')).toBe('warn');
    expect(levelOf('no error here')).toBe('info');
    expect(levelOf('ERRORS')).toBe('info');
    expect(levelOf('[FATAL] x')).toBe('error');
  });
});

describe('graphs', () => {
  const task = (id: string, step: string, ...after: string[]): GraphTask => ({ id, step, after });
  const tasks = [task('a', 'load'), task('b', 'load'), task('c', 'build', 'a'), task('d', 'build', 'c'), task('e', 'send', 'b', 'd')];

  test('a path is all above and all below', () => {
    expect([...pathOf(tasks, 'c')].sort()).toEqual(['a', 'c', 'd', 'e']);
    expect([...pathOf(tasks, 'b')].sort()).toEqual(['b', 'e']);
    const circle = [task('x', 's', 'y'), task('y', 's', 'x')];
    expect(pathOf(circle, 'x').size).toBe(2);
  });

  test('a folded step is one node with the edges of its tasks', () => {
    const folded = fold(tasks, new Set(['build', 'send']));
    expect(folded.nodes.map((node) => node.id)).toEqual(['a', 'b', 'step:build', 'e']);
    expect(folded.edges).toEqual([{ from: 'a', to: 'step:build' }, { from: 'b', to: 'e' }, { from: 'step:build', to: 'e' }]);
    expect(folded.nodes[2]?.tasks).toEqual(['c', 'd']);
  });

  test('an edge that a longer path says is left out, and nothing is cut off', () => {
    const edge = (text: string) => ({ from: text[0] ?? '', to: text[1] ?? '' });
    const kept = (...texts: string[]) => withoutImplied(texts.map(edge)).map(({ from, to }) => from + to);
    expect(kept('ab', 'bc', 'ac', 'cd', 'ad')).toEqual(['ab', 'bc', 'cd']);
    expect(kept('ab', 'ac')).toEqual(['ab', 'ac']);
    // In a circle one of the two ways stays.
    expect(kept('ab', 'ba', 'bc', 'ac')).toEqual(['ab', 'ba', 'ac']);
  });

  test('only large graphs are folded at first', () => {
    expect(foldedAtFirst(tasks).size).toBe(0);
    const many = [...Array.from({ length: 500 }, (_, index) => task(`t${index}`, 'load')), task('end', 'send', 't1')];
    expect([...foldedAtFirst(many)]).toEqual(['load']);
  });

  test('tasks are in the order in which they can run', () => {
    expect(ordered([...tasks].reverse()).map((one) => one.id)).toEqual(['a', 'b', 'c', 'd', 'e']);
    const long = Array.from({ length: 500 }, (_, index) => task(`t${index}`, `s${index}`, ...(index > 0 ? [`t${index - 1}`] : [])));
    expect(ordered([...long].reverse()).map((one) => one.id)).toEqual(long.map((one) => one.id));
  });
});

describe('outcomes', () => {
  test('a free form is read, and another one is nothing', () => {
    const found = outcomeOf({
      table: 'raw.a', rows_read: 3, rows_loaded: 2, rows_rejected: 1, checks: [{ name: 'x', outcome: 'warn', value: 2 }],
      receipt: { committed: { token: { position: { 'data/a.csv': {} } }, version: 'version 4' } },
    });
    expect(found).toMatchObject({ rows_read: 3, rows_dropped: 0, version: 'version 4', isLoad: true });
    expect(outcomeOf({ exit: 0 })).toBeUndefined();
    expect(outcomeOf(null)).toBeUndefined();
    expect(checksLine(found?.checks ?? [])).toBe('1 warn');
  });
});

describe('the rows of a run', () => {
  const outcome = (kind: string, rows_read: number, rows_rejected = 0, rows_filtered = 0) => ({
    outcome: {
      table: 't', rows_read, rows_rejected, rows_filtered, rows_loaded: rows_read - rows_rejected - rows_filtered,
      receipt: { committed: { token: { position: { [kind]: {} } } } },
    },
  });

  test('only loads read them', () => {
    const tasks = [outcome('data/a.csv', 10, 1, 2), outcome('data/b.csv', 5), outcome('model', 3), outcome('lake', 3), { outcome: null }];
    expect(loadSums(tasks)).toEqual({ read: 15, loaded: 12, rejected: 1, leftOut: 2 });
  });
});

describe('what needs somebody', () => {
  const summary = (state: 'succeeded' | 'failed' | 'running', started_us = 0, ended_us: number | null = 10) =>
    ({ name, state, interrupted: false, started_us, ended_us });
  const line = (last: ReturnType<typeof summary>, next?: string) =>
    ({ pipeline: 'shop', steps: [], tasks: 1, last, recent: [last], ...(next === undefined ? {} : { next }) });
  const none = { waiting: [], quarantine: [] };
  const noon = Date.parse('2026-11-30T12:00:00Z') * 1000;

  test('failures first, then what is late, then rejected rows', () => {
    const found = needs({ ...none, pipelines: [line(summary('failed'), '2026-11-30 11:00 +00:00')], quarantine: [{ table: 'raw.a', held: 2 }, { table: 'raw.b', held: 0 }] }, noon);
    expect(found.map((need) => need.kind)).toEqual(['run', 'late', 'rows']);
    expect(needs({ ...none, pipelines: [line(summary('succeeded'), '2026-11-30 11:59 +00:00')] }, noon)).toEqual([]);
  });

  test('a run is slow when it takes twice as long as usual', () => {
    const past = Array.from({ length: 3 }, () => summary('succeeded', 0, 60_000_000));
    const running = summary('running', noon - 200_000_000, null);
    const slow = { ...line(running), recent: [running, ...past] };
    expect(needs({ ...none, pipelines: [slow] }, noon)).toMatchObject([{ kind: 'slow', why: 'running for 3 m 20 s, usually 1 m 00 s' }]);
  });

  test('one sentence says it', () => {
    const counts = { rows_in: 1, rows_loaded: 1, rows_rejected: 0 };
    const day = sums([{ ...summary('succeeded', 5), counts, tasks: [] }, { ...summary('failed', 5), counts, tasks: [] }, { ...summary('succeeded', 1), counts, tasks: [] }], 3);
    expect(day).toMatchObject({ runs: 2, well: 1, bad: 1, loaded: 2 });
    expect(headline([], day)).toBe('Nothing needs you now');
    expect(headline([], { ...day, bad: 0, runs: 1 })).toBe('All is well');
    expect(headline([{ kind: 'rows', table: 'a', why: '' }], day)).toBe('One thing needs you');
  });
});

describe('lineage', () => {
  const edge = (from: string, to: string, influence = 'IDENTITY') => {
    const column = (text: string) => ({ table: text.split('.')[0] ?? '', column: text.split('.')[1] ?? '' });
    return { from: column(from), to: column(to), influence };
  };

  test('tables by distance, with the columns of neighbours', () => {
    const edges = [edge('raw.a', 'stg.a'), edge('raw.b', 'stg.c', 'TRANSFORMATION'), edge('stg.a', 'mart.a'), edge('mart.a', 'raw.a')];
    const down = lineageTables(edges, 'raw', 'down');
    expect(down.map((one) => [one.table, one.distance])).toEqual([['stg', 0], ['mart', 1]]);
    expect(down[0]?.columns).toEqual([
      { column: 'a', touches: [{ column: 'a', influence: 'IDENTITY' }] },
      { column: 'c', touches: [{ column: 'b', influence: 'TRANSFORMATION' }] },
    ]);
    expect(lineageTables(edges, 'stg', 'up').map((one) => one.table)).toEqual(['raw', 'mart']);
  });
});

describe('search', () => {
  const all: Found[] = [
    { kind: 'table', name: 'marts.customer_scores' }, { kind: 'table', name: 'raw.customers' }, { kind: 'pipeline', name: 'score' },
    { kind: 'run', name: 'score#3' },
  ];
  const names = (text: string) => find(all, text, 3).map((one) => one.name);

  test('whole names, then beginnings of parts', () => {
    expect(names('score')).toEqual(['score', 'score#3', 'marts.customer_scores']);
    expect(names('cust raw')).toEqual(['raw.customers']);
    expect(names('')).toHaveLength(3);
    expect(names('nothing')).toEqual([]);
  });

  test('a run is found by its name, also an old one', () => {
    expect(find(all, 'shop#212', 3)).toEqual([{ kind: 'run', name: 'shop#212' }]);
    expect(names('score#3')).toEqual(['score#3']);
  });
});
