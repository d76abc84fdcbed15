// The log of a run, page by page; of a run that goes on, also what comes. It asks when an event says so, and every
// five seconds for what programs print.

import { useEffect, useState } from 'react';
import { client, dataOf, type Schemas } from '../../api/client';
import { onEvent } from '../../api/events';
import { ApiProblem } from '../../api/problem';
import { withPage, type LogLine } from '../../model/log';
import { runId } from '../../model/run';

const WAIT_MS = 5_000;
/** A page with fewer events and fewer letters than this has all that there is. */
const FULL_EVENTS = 1_000;
const FULL_TEXT = 900_000;

export interface Log {
  lines: readonly LogLine[];
  /** True when no more lines follow. */
  isWhole: boolean;
  /** True when programs ran on another machine, which has what they printed. */
  isElsewhere: boolean;
  error: unknown;
}

const NONE: Log = { lines: [], isWhole: false, isElsewhere: false, error: undefined };

/** Waits for an event of the run, and not longer than some seconds. */
function nextEvent(id: string, signal: AbortSignal): Promise<void> {
  return new Promise((resolve) => {
    const end = () => {
      clearTimeout(timer);
      off();
      resolve();
    };
    const timer = setTimeout(end, WAIT_MS);
    const off = onEvent((event) => {
      if (runId(event.run) === id) end();
    });
    signal.addEventListener('abort', end);
  });
}

type Page = Schemas['Logs'];

function isFull(page: Page): boolean {
  const letters = page.printed.reduce((sum, printed) => sum + printed.text.length, 0);
  return page.events.length >= FULL_EVENTS || letters >= FULL_TEXT;
}

/** Whether asking again may help: no answer, or a server that is busy or begins anew. */
const mayPass = (error: unknown) => error instanceof ApiProblem && (error.status === 0 || error.status >= 500);

async function readAll(id: string, signal: AbortSignal, show: (log: Log) => void): Promise<void> {
  let log = NONE;
  let cursor: string | undefined;
  while (!signal.aborted) {
    const query = cursor === undefined ? {} : { cursor };
    const asked = dataOf(client.GET('/api/v1/runs/{id}/logs', { params: { path: { id }, query }, signal }));
    const page = await asked.catch((error: unknown) => {
      show({ ...log, error });
      if (!mayPass(error)) throw error;
      return undefined;
    });
    if (page === undefined) {
      await nextEvent(id, signal);
      continue;
    }
    log = {
      lines: withPage(log.lines, page), isWhole: page.next === undefined,
      isElsewhere: page.output_is_elsewhere === true, error: undefined,
    };
    show(log);
    if (page.next === undefined) return;
    cursor = page.next;
    if (!isFull(page)) await nextEvent(id, signal);
  }
}

export function useLogs(id: string): Log {
  const [log, setLog] = useState<Log>(NONE);
  useEffect(() => {
    const abort = new AbortController();
    const show = (next: Log) => {
      if (!abort.signal.aborted) setLog(next);
    };
    show(NONE);
    readAll(id, abort.signal, show).catch((error: unknown) => {
      if (!abort.signal.aborted) setLog((old) => ({ ...old, error }));
    });
    return () => abort.abort();
  }, [id]);
  return log;
}
