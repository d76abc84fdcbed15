// The log of a run, page by page; of a run that goes on, also what comes. It asks when an event says so, and every
// five seconds for what programs print.

import { useEffect, useState } from 'react';
import { client, dataOf } from '../../api/client';
import { onEvent } from '../../api/events';
import { withPage, type LogLine } from '../../model/log';
import { runId } from '../../model/run';

const WAIT_MS = 5_000;

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

async function readAll(id: string, signal: AbortSignal, show: (log: Log) => void): Promise<void> {
  let lines: readonly LogLine[] = [];
  let cursor: string | undefined;
  while (!signal.aborted) {
    const query = cursor === undefined ? {} : { cursor };
    const page = await dataOf(client.GET('/api/v1/runs/{id}/logs', { params: { path: { id }, query }, signal }));
    lines = withPage(lines, page);
    show({ lines, isWhole: page.next === undefined, isElsewhere: page.output_is_elsewhere === true, error: undefined });
    if (page.next === undefined) return;
    cursor = page.next;
    if (page.events.length === 0 && page.printed.length === 0) await nextEvent(id, signal);
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
