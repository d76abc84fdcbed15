// A pipeline: how does it behave?

import { useQueries, useQuery } from '@tanstack/react-query';
import { Link, useNavigate, useParams, useSearch } from '@tanstack/react-router';
import { lazy, Suspense } from 'react';
import { newestRunsQuery, pipelineQuery, runQuery, type Pipeline as PipelineData, type RunLine } from '../../api/queries';
import { duration } from '../../format/duration';
import { counted } from '../../format/number';
import { parseTime } from '../../format/time';
import { runId, usual } from '../../model/run';
import { runShown } from '../../model/state';
import { Empty, Page, Skeleton } from '../../parts/Page';
import { Problem } from '../../parts/Problem';
import { State } from '../../parts/State';
import { Tabs } from '../../parts/Tabs';
import { Away, Time } from '../../parts/Time';
import { Grid, type GridRun } from './Grid';
import { PipelineActions } from './PipelineActions';

const Graph = lazy(() => import('./Graph').then((module) => ({ default: module.Graph })));
const Schedule = lazy(() => import('./Schedule').then((module) => ({ default: module.Schedule })));
const Trends = lazy(() => import('./Trends').then((module) => ({ default: module.Trends })));
const RUNS = 40;
const LISTED_TASKS = 100;
const WHOLE_RUNS = 10;
const VIEWS = [['runs', 'Runs'], ['graph', 'Graph'], ['trends', 'Trends']] as const;

/** The server writes it as text, in UTC. */
function Since({ text }: { text: string }) {
  const ms = parseTime(text);
  return ms === undefined ? <>{text}</> : <Time us={ms * 1000} />;
}

function Facts({ pipeline }: { pipeline: PipelineData }) {
  const runs = useQuery(newestRunsQuery(RUNS, { pipeline: pipeline.pipeline })).data?.runs ?? [];
  const nextMs = pipeline.next === undefined ? undefined : parseTime(pipeline.next);
  const usualUs = usual(runs);
  return (
    <>
      {counted(pipeline.tasks, 'task')} in {counted(pipeline.steps.length, 'step')}
      {usualUs !== undefined && <> · usually takes {duration(usualUs)}</>}
      {pipeline.schedule === undefined ? ' · runs by hand' : <> · runs at <code>{pipeline.schedule}</code></>}
      {pipeline.paused ? <> · <State state="paused" /> since <Since text={pipeline.paused.since} /> by {pipeline.paused.by}{pipeline.paused.reason && `: ${pipeline.paused.reason}`}</>
        : nextMs !== undefined && <> · next <Time us={nextMs * 1000} /> <Away us={nextMs * 1000} /></>}
    </>
  );
}

/** Lists have the first 100 tasks of a run; of larger pipelines a few runs are asked for as a whole. */
function useWhole(pipeline: PipelineData, listed: readonly RunLine[]): readonly GridRun[] {
  const isLarge = pipeline.tasks > LISTED_TASKS;
  const few = isLarge ? listed.slice(0, WHOLE_RUNS) : [];
  const whole = useQueries({ queries: few.map((run) => runQuery(runId(run.name))) });
  return isLarge ? few.map((run, index) => whole[index]?.data ?? run) : listed;
}

function Views({ pipeline }: { pipeline: PipelineData }) {
  const { view = 'runs', task } = useSearch({ from: '/pipelines/$name' });
  const navigate = useNavigate({ from: '/pipelines/$name' });
  const runs = useQuery(newestRunsQuery(RUNS, { pipeline: pipeline.pipeline }));
  const own = runs.data?.runs.filter((run) => run.name.pipeline === pipeline.pipeline) ?? [];
  const gridRuns = useWhole(pipeline, own);
  const select = (next: string | undefined) => void navigate({ search: { view, ...(next === undefined ? {} : { task: next }) }, replace: true, resetScroll: false });
  const never = <Empty command={`towpath run ${pipeline.pipeline}`}>This pipeline has not run yet.</Empty>;
  return (
    <>
      <Tabs label="Views of the pipeline" current={view} tabs={pipeline.schedule === undefined ? VIEWS : [...VIEWS, ['schedule', 'Schedule']]} />
      {runs.error && !runs.data && <Problem error={runs.error} again={() => void runs.refetch()} />}
      {runs.isPending && <Skeleton lines={8} />}
      <Suspense fallback={<Skeleton lines={8} />}>
        {view === 'schedule' && <Schedule pipeline={pipeline} />}
        {view === 'graph' && <Graph pipeline={pipeline} run={gridRuns[0]} selected={task} onSelect={select} />}
        {view === 'runs' && runs.data && (own.length === 0 ? never : <>
          <Grid pipeline={pipeline} runs={gridRuns} />
          <p className="soft">The last {gridRuns.length === 1 ? 'run' : `${gridRuns.length} runs`}, the newest at the right. <Link to="/runs" search={{ pipeline: pipeline.pipeline }}>All runs</Link></p>
        </>)}
        {view === 'trends' && runs.data && (own.length === 0 ? never : <Trends runs={own} />)}
      </Suspense>
    </>
  );
}

export function Pipeline() {
  const { name } = useParams({ from: '/pipelines/$name' });
  const query = useQuery(pipelineQuery(name));
  const pipeline = query.data;
  const last = pipeline?.last;
  return (
    <Page title={name} above={<Link to="/pipelines" search={{}}>Pipelines</Link>} command={`towpath run ${name}`}
      {...(last ? { state: <State state={runShown(last)} /> } : {})}
      {...(pipeline ? { facts: <Facts pipeline={pipeline} />, actions: <PipelineActions pipeline={pipeline} /> } : {})}>
      {pipeline ? <Views pipeline={pipeline} /> : query.error ? <Problem error={query.error} again={() => void query.refetch()} /> : <Skeleton lines={8} />}
    </Page>
  );
}
