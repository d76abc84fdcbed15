// Pipelines: what is there, and how does each behave?

import { useQuery } from '@tanstack/react-query';
import { Link, useNavigate, useSearch } from '@tanstack/react-router';
import { pipelinesQuery, type PipelineLine } from '../../api/queries';
import { duration } from '../../format/duration';
import { parseTime } from '../../format/time';
import { usual } from '../../model/run';
import { runShown } from '../../model/state';
import { DataTable, type Column } from '../../parts/DataTable';
import { Cut, Empty, Loaded, Page } from '../../parts/Page';
import { RunStrip } from '../../parts/RunStrip';
import { State } from '../../parts/State';
import { Time } from '../../parts/Time';
import { Filter } from '../../parts/Filter';

const nextMs = (line: PipelineLine) => (line.next === undefined || line.paused ? undefined : parseTime(line.next));

const COLUMNS: readonly Column<PipelineLine>[] = [
  {
    id: 'pipeline', title: 'Pipeline', isMain: true, by: (line) => line.pipeline,
    cell: (line) => <Link to="/pipelines/$name" params={{ name: line.pipeline }} search={{}} className="row-link" data-row>{line.pipeline}</Link>,
  },
  { id: 'last', title: 'Last run', by: (line) => line.last?.state, cell: (line) => (line.last ? <State state={runShown(line.recent[0] ?? line.last)} /> : <span className="none">never ran</span>) },
  { id: 'recent', title: 'Last 20 runs', cell: (line) => <RunStrip runs={line.recent} /> },
  {
    id: 'usual', title: 'Usually takes', isNumber: true, by: (line) => usual(line.recent),
    cell: (line) => { const us = usual(line.recent); return us === undefined ? <span className="none">–</span> : duration(us); },
  },
  { id: 'tasks', title: 'Tasks', isNumber: true, by: (line) => line.tasks, cell: (line) => line.tasks },
  { id: 'schedule', title: 'Schedule', by: (line) => line.schedule, cell: (line) => (line.schedule === undefined ? <span className="none">by hand</span> : <code>{line.schedule}</code>) },
  {
    id: 'next', title: 'Next', isNumber: true, by: nextMs,
    cell: (line) => { const at = nextMs(line); return line.paused ? <State state="paused" /> : at === undefined ? <span className="none">–</span> : <Time us={at * 1000} />; },
  },
];

export function Pipelines() {
  const pipelines = useQuery(pipelinesQuery);
  const { find = '' } = useSearch({ from: '/pipelines' });
  const navigate = useNavigate({ from: '/pipelines' });
  return (
    <Page title="Pipelines" command="towpath runs"
      actions={<Filter label="Filter pipelines" value={find} onChange={(text) => void navigate({ search: { find: text }, replace: true })} />}>
      <Loaded query={pipelines} lines={6}>
        {({ pipelines: all, isCut }) => {
          const rows = all.filter((line) => line.pipeline.includes(find.trim()));
          if (all.length === 0) return <Empty command="towpath init --example nycflights">A pipeline is a file in <code>pipelines/</code>; this project has none yet.</Empty>;
          if (rows.length === 0) return <Empty>No pipeline has “{find}” in its name.</Empty>;
          return <><DataTable label="Pipelines" columns={COLUMNS} rows={rows} rowKey={(line) => line.pipeline} />{isCut && <Cut />}</>;
        }}
      </Loaded>
    </Page>
  );
}
