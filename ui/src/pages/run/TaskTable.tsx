// The tasks of a run: their states live, when each ran, what it read, loaded and rejected. One of them opens below.

import { Link } from '@tanstack/react-router';
import type { ReactNode } from 'react';
import type { Run, Task } from '../../api/queries';
import { count } from '../../format/number';
import { checksLine, outcomeOf } from '../../model/outcome';
import { taskShown, type Shown } from '../../model/state';
import { DataTable, type Column } from '../../parts/DataTable';
import { Name } from '../../parts/Name';
import { State } from '../../parts/State';
import { Took, useNow } from '../../parts/Time';

/** When a task ran, on the axis of the whole run. */
function Bar({ run, task, shown, endUs }: { run: Run; task: Task; shown: Shown; endUs: number }) {
  if (task.started_us === null) return null;
  const whole = Math.max(1, endUs - run.started_us);
  const at = (task.started_us - run.started_us) / whole;
  const width = ((task.ended_us ?? endUs) - task.started_us) / whole;
  return (
    <span className="gantt">
      <span className={`gantt-bar s-${shown}`} style={{ left: `${Math.min(99, at * 100)}%`, width: `max(3px, ${Math.min(1 - at, width) * 100}%)` }} />
    </span>
  );
}

/** The bar of a run that goes on. */
function LiveBar({ run, task, shown }: { run: Run; task: Task; shown: Shown }) {
  const nowUs = useNow() * 1000;
  return <Bar run={run} task={task} shown={shown} endUs={Math.max(nowUs, run.started_us + 1)} />;
}

const NONE = <span className="none">–</span>;

function columns(run: Run, opened: string | undefined): Column<Task>[] {
  // The process of an interrupted run is dead: nothing goes on.
  const endUs = run.interrupted ? run.started_us + run.duration_us : run.ended_us;
  const rows = (of: (outcome: NonNullable<ReturnType<typeof outcomeOf>>) => number) => (task: Task) => {
    const outcome = outcomeOf(task.outcome);
    return outcome ? of(outcome) : undefined;
  };
  const number = (of: (task: Task) => number | undefined) => (task: Task): ReactNode => {
    const value = of(task);
    return value === undefined ? NONE : count(value);
  };
  const hasRows = run.tasks.some((task) => outcomeOf(task.outcome));
  const [read, loaded, rejected] = [rows((one) => one.rows_read), rows((one) => one.rows_loaded), rows((one) => one.rows_rejected)];
  const all: Column<Task>[] = [
    {
      id: 'task', title: 'Task', isMain: true, by: (task) => task.id,
      cell: (task) => (
        <Link to="/runs/$id" params={{ id: `${run.name.pipeline}#${run.name.number}` }} resetScroll={false} replace data-row className="row-link"
          search={(old) => ({ ...old, task: task.id === opened ? undefined : task.id }) as never}
          aria-expanded={task.id === opened} activeProps={{}}>
          <Name text={task.id} />
        </Link>
      ),
    },
    { id: 'state', title: 'State', by: (task) => taskShown(task), cell: (task) => <><State state={taskShown(task)} />{task.attempt > 1 && <span className="soft"> attempt {task.attempt}</span>}</> },
    { id: 'when', title: 'When', by: (task) => task.started_us, cell: (task) => (endUs === null ? <LiveBar run={run} task={task} shown={taskShown(task)} /> : <Bar run={run} task={task} shown={taskShown(task)} endUs={endUs} />) },
    { id: 'took', title: 'Took', isNumber: true, by: (task) => (task.ended_us ?? 0) - (task.started_us ?? 0), cell: (task) => <Took startedUs={task.started_us} endedUs={task.ended_us ?? endUs} /> },
    { id: 'read', title: 'Rows read', isNumber: true, by: read, cell: number(read) },
    { id: 'loaded', title: 'Loaded', isNumber: true, by: loaded, cell: number(loaded) },
    { id: 'rejected', title: 'Rejected', isNumber: true, by: rejected, cell: number(rejected) },
    { id: 'checks', title: 'Checks', cell: (task) => { const line = checksLine(outcomeOf(task.outcome)?.checks ?? []); return line === '' ? NONE : line; } },
  ];
  return hasRows ? all : all.slice(0, 4);
}

export function TaskTable({ run, opened, detail }: { run: Run; opened: string | undefined; detail: (task: Task) => ReactNode }) {
  return (
    <DataTable label="Tasks" columns={columns(run, opened)} rows={run.tasks} rowKey={(task) => task.id}
      detail={(task) => (task.id === opened ? detail(task) : undefined)} />
  );
}
