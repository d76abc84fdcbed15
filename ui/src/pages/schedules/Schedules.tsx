// Schedules: when does what run next? And the backfills.

import { useQuery } from '@tanstack/react-query';
import { Link } from '@tanstack/react-router';
import type { Schemas } from '../../api/client';
import { backfillsQuery, schedulesQuery } from '../../api/queries';
import { count } from '../../format/number';
import { parseTime } from '../../format/time';
import { DataTable, type Column } from '../../parts/DataTable';
import { Empty, Loaded, Page, Section } from '../../parts/Page';
import { State } from '../../parts/State';
import { Away, Time } from '../../parts/Time';

type Schedule = Schemas['Schedules']['schedules'][number];
type Backfill = Schemas['Backfills']['backfills'][number];
const NONE = <span className="none">–</span>;

interface Plan {
  recurrence?: Record<string, unknown>;
  timezone?: string;
  catchup?: string;
}

const planOf = (one: Schedule) => one.schedule as Plan;
const nextMs = (one: Schedule) => (one.next === null ? undefined : parseTime(one.next));

/** `cron 15 * * * *` */
function recurrence(one: Schedule): string {
  return Object.entries(planOf(one).recurrence ?? {}).map(([kind, value]) => (kind === 'cron' ? String(value) : `${kind} ${typeof value === 'string' || typeof value === 'number' ? value : JSON.stringify(value)}`)).join(', ');
}

const SCHEDULES: readonly Column<Schedule>[] = [
  { id: 'pipeline', title: 'Pipeline', isMain: true, by: (one) => one.pipeline, cell: (one) => <Link to="/pipelines/$name" params={{ name: one.pipeline }} search={{}} className="row-link" data-row>{one.pipeline}</Link> },
  { id: 'when', title: 'Runs at', cell: (one) => <><code>{recurrence(one)}</code> <span className="soft">{planOf(one).timezone}</span></> },
  { id: 'next', title: 'Next', by: nextMs, isNumber: true, cell: (one) => { const ms = nextMs(one); return one.paused ? <State state="paused" /> : ms === undefined ? NONE : <><Time us={ms * 1000} /> <span className="soft"><Away us={ms * 1000} /></span></>; } },
  { id: 'waiting', title: 'Waiting', isNumber: true, by: (one) => one.waiting, cell: (one) => (one.waiting === 0 ? NONE : count(one.waiting)) },
  {
    id: 'last', title: 'Last fire', cell: (one) => {
      if (!one.last) return NONE;
      const { state, run, start_us } = one.last;
      return <><State state={state} /> {run ? <Link to="/runs/$id" params={{ id: `${run.pipeline}#${run.number}` }} search={{}} className="over">{run.pipeline}#{run.number}</Link> : <Time us={start_us} />}{one.last.reason !== undefined && <span className="soft"> {one.last.reason}</span>}</>;
    },
  },
  { id: 'catchup', title: 'After a pause', cell: (one) => planOf(one).catchup ?? NONE },
];

const number = (id: 'waiting' | 'running' | 'succeeded' | 'failed' | 'skipped', title: string): Column<Backfill> => ({
  id, title, isNumber: true, by: (one) => one[id], cell: (one) => (one[id] === 0 ? NONE : count(one[id])),
});
const BACKFILLS: readonly Column<Backfill>[] = [
  { id: 'number', title: 'Backfill', isMain: true, by: (one) => one.number, cell: (one) => <strong>{one.number}</strong> },
  { id: 'pipeline', title: 'Pipeline', by: (one) => one.pipeline, cell: (one) => <Link to="/pipelines/$name" params={{ name: one.pipeline }} search={{}}>{one.pipeline}</Link> },
  { id: 'state', title: 'State', by: (one) => one.state, cell: (one) => one.state },
  { id: 'created', title: 'Created', isNumber: true, by: (one) => one.created_us, cell: (one) => <Time us={one.created_us} /> },
  number('waiting', 'Waiting'), number('running', 'Running'), number('succeeded', 'Succeeded'), number('failed', 'Failed'), number('skipped', 'Skipped'),
];

export function Schedules() {
  const schedules = useQuery(schedulesQuery);
  const backfills = useQuery(backfillsQuery);
  return (
    <Page title="Schedules" command="towpath schedule ls">
      <Loaded query={schedules} lines={4}>
        {({ schedules: all }) => (all.length === 0
          ? <Empty command="towpath schedule preview">No pipeline has a schedule. Write one into its file: <code>{'schedule: { cron: 0 2 * * * }'}</code></Empty>
          : <DataTable label="Schedules" columns={SCHEDULES} rows={all} rowKey={(one) => one.pipeline} />)}
      </Loaded>
      <Section title="Backfills">
        <Loaded query={backfills}>
          {({ backfills: all }) => (all.length === 0
            ? <Empty command="towpath backfill --help">There are no backfills. One runs past intervals of a pipeline again.</Empty>
            : <DataTable label="Backfills" columns={BACKFILLS} rows={all} rowKey={(one) => String(one.number)} />)}
        </Loaded>
      </Section>
    </Page>
  );
}
