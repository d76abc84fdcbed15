// A run: what happened, and why?

import { useQuery } from '@tanstack/react-query';
import { Link, useParams, useSearch } from '@tanstack/react-router';
import { newestRunsQuery, runQuery, type Run as RunData } from '../../api/queries';
import { count } from '../../format/number';
import { loadSums, outcomeOf } from '../../model/outcome';
import { left, progress, runId, usual } from '../../model/run';
import { runShown, taskShown, WORDS } from '../../model/state';
import { Empty, Page, Skeleton } from '../../parts/Page';
import { FailureBox, Problem } from '../../parts/Problem';
import { State } from '../../parts/State';
import { Tabs } from '../../parts/Tabs';
import { Time, Took, useNow } from '../../parts/Time';
import { Checks } from './Checks';
import { LogView } from './LogView';
import { RunActions } from './RunActions';
import { TaskDetail } from './TaskDetail';
import { TaskTable } from './TaskTable';

function Facts({ run }: { run: RunData }) {
  const { ended, of } = progress(run.tasks);
  const nowUs = useNow() * 1000;
  const others = useQuery(newestRunsQuery(20, { pipeline: run.name.pipeline })).data?.runs ?? [];
  const isRunning = run.state === 'running' && !run.interrupted;
  const rest = isRunning ? left(run.started_us, usual(others), nowUs) : undefined;
  return (
    <dl className="figures">
      <div><dt>Started</dt><dd><Time us={run.started_us} /></dd></div>
      <div><dt>{isRunning ? 'Runs for' : 'Took'}</dt><dd><Took startedUs={run.started_us} endedUs={run.interrupted ? run.started_us + run.duration_us : run.ended_us} />{rest !== undefined && <small>{rest}</small>}</dd></div>
      <div><dt>Tasks</dt><dd className="number">{isRunning ? <>{ended} <small>of {of} have ended</small></> : <TaskCounts run={run} />}</dd></div>
      <Rows run={run} />
    </dl>
  );
}

/** `2 succeeded, 1 failed, 1 skipped` */
function TaskCounts({ run }: { run: RunData }) {
  const counts = new Map<string, number>();
  for (const task of run.tasks) {
    const word = WORDS[taskShown(task)];
    counts.set(word, (counts.get(word) ?? 0) + 1);
  }
  return <>{[...counts].map(([word, found], index) => <span key={word}>{index > 0 && ', '}{count(found)} <small>{word}</small></span>)}</>;
}

function Rows({ run }: { run: RunData }) {
  const { read, loaded, rejected, leftOut } = loadSums(run.tasks);
  if (read === 0) return null;
  const balances = read === loaded + rejected + leftOut;
  const sign = (word: string) => <span className="soft">{balances ? word : '·'}</span>;
  return (
    <div>
      <dt>Rows read</dt>
      <dd className="number">
        {count(read)} {sign('=')} {count(loaded)}<small>loaded</small>{' '}
        {sign('+')} {count(rejected)}<small>rejected</small>
        {leftOut > 0 && <> {sign('+')} {count(leftOut)}<small>left out</small></>}
      </dd>
    </div>
  );
}

/** The failures, except that of the task that is open below. */
function Failures({ run, opened }: { run: RunData; opened: string | undefined }) {
  const failed = run.tasks.filter((task) => task.failure !== null && task.state === 'failed' && task.id !== opened);
  if (failed.length === 0) return null;
  return (
    <div className="failures">
      {failed.slice(0, 5).map((task) => task.failure && (
        <FailureBox key={task.id} code={task.failure.code} message={task.failure.message} help={task.failure.help ?? []}
          isData={taskShown(task) === 'stopped'}
          title={<><State state={taskShown(task)} /> <Link to="/runs/$id" params={{ id: runId(run.name) }} search={{ task: task.id }}>{task.id}</Link></>} />
      ))}
      {failed.length > 5 && <p className="soft">and {failed.length - 5} more, below</p>}
    </div>
  );
}

function Loaded({ run }: { run: RunData }) {
  const id = runId(run.name);
  const { view = 'tasks', task } = useSearch({ from: '/runs/$id' });
  const checks = run.tasks.flatMap((one) => outcomeOf(one.outcome)?.checks ?? []);
  return (
    <>
      <Facts run={run} />
      {run.interrupted && (
        <FailureBox title="Interrupted" message="The process of this run has ended before the run. No partial result is visible."
          help={[`go on: towpath run ${run.name.pipeline}`]} />
      )}
      {view !== 'log' && <Failures run={run} opened={view === 'tasks' ? task : undefined} />}
      <Tabs label="Views of the run" current={view} tabs={[['tasks', 'Tasks'], ['checks', `Checks ${checks.length > 0 ? checks.length : ''}`.trim()], ['log', 'Log']]} />
      {view === 'tasks' && <TaskTable run={run} opened={task} detail={(one) => <TaskDetail run={run} task={one} />} />}
      {view === 'checks' && (checks.length > 0 ? <Checks checks={checks} hasTable />
        : <Empty command={`towpath quality`}>No check was made in this run. A check is a line below <code>checks:</code> of a table.</Empty>)}
      {view === 'log' && <LogView id={id} tasks={run.tasks.map((one) => one.id)} />}
    </>
  );
}

export function Run() {
  const { id } = useParams({ from: '/runs/$id' });
  const { view } = useSearch({ from: '/runs/$id' });
  const query = useQuery(runQuery(id));
  const run = query.data;
  const pipeline = id.split('#')[0] ?? id;
  return (
    <Page title={id} command={view === 'log' && run?.state === 'running' ? `towpath logs ${id} --follow` : `towpath logs ${id}`}
      above={<Link to="/pipelines/$name" params={{ name: pipeline }} search={{}}>{pipeline}</Link>}
      {...(run ? { state: <State state={runShown(run)} />, actions: <RunActions run={run} /> } : {})}>
      {run ? <Loaded run={run} /> : query.error ? <Problem error={query.error} again={() => void query.refetch()} /> : <Skeleton lines={8} />}
    </Page>
  );
}
