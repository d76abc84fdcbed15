// Brings events into what the pages show: states of tasks at once, everything else by asking again, at most once a
// second.

import type { QueryClient } from '@tanstack/react-query';
import { applyEvent, runId } from '../model/run';
import { onEvent, onGap, onLive, type Event } from './events';
import type { Run, RunLine } from './queries';

const WAIT_MS = 900;
const POLL_MS = 15_000;

interface ListOfRuns {
  runs: RunLine[];
}

/** Changes the run of an event in everything that holds it. */
function patch(queries: QueryClient, event: Event): void {
  const id = runId(event.run);
  queries.setQueryData<Run>(['run', id], (run) => run && applyEvent(run, event));
  const inList = (page: ListOfRuns): ListOfRuns => ({
    ...page,
    runs: page.runs.map((run) => (runId(run.name) === id ? applyEvent(run, event) : run)),
  });
  queries.setQueriesData<ListOfRuns>({ queryKey: ['runs', 'newest'] }, (page) => page && inList(page));
  queries.setQueriesData<{ pages: ListOfRuns[]; pageParams: unknown[] }>(
    { queryKey: ['runs', 'pages'] },
    (all) => all && { ...all, pages: all.pages.map(inList) },
  );
}

export function bringEvents(queries: QueryClient): void {
  const runs = new Set<string>();
  let isList = false;
  let isEnd = false;
  let timer: ReturnType<typeof setTimeout> | undefined;

  const ask = () => {
    timer = undefined;
    const again = (...queryKey: string[]) => void queries.invalidateQueries({ queryKey }, { cancelRefetch: false });
    for (const id of runs) {
      again('run', id);
      again('logs', id);
    }
    if (isList) for (const key of ['runs', 'pipelines', 'pipeline', 'schedules', 'backfills']) again(key);
    again('why');
    if (isEnd) for (const key of ['tables', 'table', 'quarantine', 'checks']) again(key);
    runs.clear();
    isList = false;
    isEnd = false;
  };

  onEvent((event) => {
    patch(queries, event);
    runs.add(runId(event.run));
    if (event.task === null) isList = true;
    if (event.task === null && event.kind !== 'run_started') isEnd = true;
    timer ??= setTimeout(ask, WAIT_MS);
  });
  onGap(() => void queries.invalidateQueries());
  // Without the stream, what is shown is asked for again from time to time.
  let poll: ReturnType<typeof setInterval> | undefined;
  onLive((state) => {
    clearInterval(poll);
    poll = state === 'lost' ? setInterval(() => void queries.invalidateQueries(), POLL_MS) : undefined;
  });
}
