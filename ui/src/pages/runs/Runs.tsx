// Runs: newest first, by pipeline and state.

import { useInfiniteQuery, useQuery } from '@tanstack/react-query';
import { Link, useNavigate, useSearch } from '@tanstack/react-router';
import { pipelinesQuery, runsQuery, type RunLine, type RunState } from '../../api/queries';
import { count } from '../../format/number';
import { listedProgress, runId } from '../../model/run';
import { runShown } from '../../model/state';
import { DataTable, type Column } from '../../parts/DataTable';
import { Empty, Page, Section, Skeleton } from '../../parts/Page';
import { Problem } from '../../parts/Problem';
import { State } from '../../parts/State';
import { Time, Took } from '../../parts/Time';

const STATES: readonly RunState[] = ['running', 'succeeded', 'failed', 'cancelled', 'superseded'];
const isState = (text: string | undefined): text is RunState => STATES.some((state) => state === text);

function Tasks({ run }: { run: RunLine }) {
  const { ended, of } = listedProgress(run);
  return <>{run.state === 'running' ? `${ended} of ${of}` : count(of)}</>;
}

const rows = (value: number) => (value === 0 ? <span className="none">–</span> : count(value));

const COLUMNS: readonly Column<RunLine>[] = [
  {
    id: 'run', title: 'Run', isMain: true,
    cell: (run) => <Link to="/runs/$id" params={{ id: runId(run.name) }} search={{}} className="row-link" data-row>{runId(run.name)}</Link>,
  },
  { id: 'state', title: 'State', cell: (run) => <State state={runShown(run)} /> },
  { id: 'started', title: 'Started', isNumber: true, cell: (run) => <Time us={run.started_us} /> },
  { id: 'took', title: 'Took', isNumber: true, cell: (run) => <Took startedUs={run.started_us} endedUs={run.interrupted ? run.started_us + run.duration_us : run.ended_us} /> },
  { id: 'tasks', title: 'Tasks', isNumber: true, cell: (run) => <Tasks run={run} /> },
  { id: 'loaded', title: 'Rows loaded', isNumber: true, cell: (run) => rows(run.counts.rows_loaded) },
  { id: 'rejected', title: 'Rejected', isNumber: true, cell: (run) => rows(run.counts.rows_rejected) },
];

export function Runs() {
  const search = useSearch({ from: '/runs' });
  const navigate = useNavigate({ from: '/runs' });
  const state = isState(search.state) ? search.state : undefined;
  const query = useInfiniteQuery(runsQuery({ pipeline: search.pipeline, state }));
  const names = useQuery(pipelinesQuery).data?.pipelines.map((line) => line.pipeline) ?? [];
  const all = query.data?.pages.flatMap((page) => page.runs) ?? [];
  const waiting = query.data?.pages[0]?.waiting ?? [];
  const change = (part: { pipeline?: string; state?: string }) => void navigate({ search: { ...search, ...part }, replace: true });
  const command = `towpath runs${search.pipeline === undefined ? '' : ` ${search.pipeline}`}`;
  return (
    <Page title="Runs" command={command} actions={<>
      <label className="pick">Pipeline{' '}
        <select value={search.pipeline ?? ''} onChange={(event) => change({ pipeline: event.target.value })}>
          <option value="">all</option>
          {names.map((name) => <option key={name}>{name}</option>)}
        </select>
      </label>
      <label className="pick">State{' '}
        <select value={state ?? ''} onChange={(event) => change({ state: event.target.value })}>
          <option value="">all</option>
          {STATES.map((one) => <option key={one}>{one}</option>)}
        </select>
      </label>
    </>}>
      {waiting.length > 0 && (
        <Section title="Waiting">
          <ul className="entries">
            {waiting.map((one) => (
              <li key={`${one.pipeline} ${one.start_us}`} className="entry">
                <State state="waiting" />
                <div className="entry-what">
                  <Link to="/pipelines/$name" params={{ name: one.pipeline }} search={{}}>{one.pipeline}</Link>
                  <p className="entry-why soft">{one.because}</p>
                </div>
                <span className="soft"><Time us={one.start_us} /></span>
              </li>
            ))}
          </ul>
        </Section>
      )}
      {query.error && !query.data && <Problem error={query.error} again={() => void query.refetch()} />}
      {query.isPending && <Skeleton lines={10} />}
      {query.data && all.length === 0 && <Empty command={search.pipeline === undefined ? 'towpath run' : `towpath run ${search.pipeline}`}>
        {state === undefined ? 'Nothing has run yet.' : `No run is in the state ${state}.`}
      </Empty>}
      {all.length > 0 && <DataTable label="Runs" columns={COLUMNS} rows={all} rowKey={(run) => runId(run.name)} />}
      {query.hasNextPage && (
        <button type="button" className="button more" disabled={query.isFetchingNextPage} onClick={() => void query.fetchNextPage()}>Older runs</button>
      )}
    </Page>
  );
}
