// The lines of a log: events of the run, and what its programs printed, each with its level.

import type { Schemas } from '../api/client';

export type Level = 'info' | 'warn' | 'error';

export interface LogLine {
  /** Its place in the log, from 1; links name it. */
  number: number;
  level: Level;
  /** Missing for what a program printed: its time is not known. */
  atUs: number | undefined;
  task: string | undefined;
  text: string;
  isPrinted: boolean;
}

type Page = Pick<Schemas['Logs'], 'events' | 'printed'>;

const BAD = new Set(['task_failed', 'run_failed']);
const WARN = new Set(['retry_scheduled', 'stop_requested', 'run_cancelled', 'task_cancelled', 'task_skipped', 'run_resumed']);

/** The level that a printed line says itself: a word in capitals, near its beginning. */
export function levelOf(text: string): Level {
  const head = text.slice(0, 80);
  if (/\b(ERROR|FATAL|CRITICAL)\b/.test(head)) return 'error';
  return /\bWARN(ING)?\b/.test(head) ? 'warn' : 'info';
}

/** `retry scheduled`, and what the event says beyond. */
function words(event: Schemas['RunEvent']): string {
  const kind = event.kind.replace(/^task_/, '').replaceAll('_', ' ');
  const body = (typeof event.body === 'object' && event.body !== null ? event.body : {}) as Record<string, unknown>;
  const failure = body['failure'] as { code?: string; message?: string; help?: string[] } | undefined;
  if (failure?.message !== undefined) {
    const help = (failure.help ?? []).map((line) => `\n  = ${line}`).join('');
    return `${kind}: ${failure.message}${failure.code === undefined ? '' : ` (${failure.code})`}${help}`;
  }
  const known = new Set(['from', 'worker', 'due_us']);
  const rest = Object.entries(body).filter(([name]) => !known.has(name));
  return rest.length === 0 ? kind : `${kind}: ${rest.map(([name, value]) => `${name} ${JSON.stringify(value)}`).join(', ')}`;
}

type Unnumbered = Omit<LogLine, 'number'>;

const FINAL = new Set(['retry_scheduled', 'task_succeeded', 'task_unchanged', 'task_failed', 'task_skipped', 'task_cancelled']);

function printedLines(printed: Page['printed'][number]): Unnumbered[] {
  const lines = printed.text.replace(/\n$/, '').split('\n');
  return lines.map((text) => ({ level: levelOf(text), atUs: undefined, task: printed.task, text, isPrinted: true }));
}

/** The lines of a page. What a task printed stands before its end, if that is on the page, else at the end. */
function linesOf(page: Page): Unnumbered[] {
  const left = new Map<string, Unnumbered[]>();
  for (const printed of page.printed) {
    left.set(printed.task, [...(left.get(printed.task) ?? []), ...printedLines(printed)]);
  }
  const lines: Unnumbered[] = [];
  for (const event of page.events) {
    const own = event.task !== null && FINAL.has(event.kind) ? left.get(event.task) : undefined;
    if (own && event.task !== null) {
      lines.push(...own);
      left.delete(event.task);
    }
    const level = BAD.has(event.kind) ? 'error' : WARN.has(event.kind) ? 'warn' : 'info';
    for (const [index, text] of words(event).split('\n').entries()) {
      lines.push({
        level, atUs: index === 0 ? event.at_us : undefined, task: event.task ?? undefined, text, isPrinted: false,
      });
    }
  }
  return [...lines, ...[...left.values()].flat()];
}

/** The lines so far and those of a further page. Lines that are there keep their numbers. */
export function withPage(lines: readonly LogLine[], page: Page): LogLine[] {
  const more = linesOf(page).map((line, index) => ({ ...line, number: lines.length + index + 1 }));
  return [...lines, ...more];
}

export interface LogFilter {
  level: Level;
  task: string | undefined;
}

const RANK: Record<Level, number> = { info: 0, warn: 1, error: 2 };

export function filtered(lines: readonly LogLine[], filter: LogFilter): readonly LogLine[] {
  if (filter.level === 'info' && filter.task === undefined) return lines;
  return lines.filter(
    (line) => RANK[line.level] >= RANK[filter.level] && (filter.task === undefined || line.task === filter.task),
  );
}

/** The places of the lines that have the words. */
export function matches(lines: readonly LogLine[], words: string): number[] {
  const wanted = words.trim().toLowerCase();
  if (wanted === '') return [];
  return lines.flatMap((line, index) => (line.text.toLowerCase().includes(wanted) ? [index] : []));
}
