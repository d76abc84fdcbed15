// One task of a run: why it waits, its failure, its attempts, its rows, rules and checks.

import { useQuery } from '@tanstack/react-query';
import { Link } from '@tanstack/react-router';
import { pipelineQuery, taskLogsQuery, type Run, type Task } from '../../api/queries';
import { duration } from '../../format/duration';
import { count, counted } from '../../format/number';
import { outcomeOf, type Outcome } from '../../model/outcome';
import { attempts, type Attempt } from '../../model/run';
import { isFinal, taskShown } from '../../model/state';
import { Command } from '../../parts/Command';
import { FailureBox, Ticks } from '../../parts/Problem';
import { State } from '../../parts/State';
import { Time } from '../../parts/Time';
import { Checks } from './Checks';

/** `26,115 read = 26,114 loaded + 1 rejected` */
export function RowsLine({ outcome }: { outcome: Outcome }) {
  const parts: [number, string][] = [
    [outcome.rows_loaded, 'loaded'], [outcome.rows_rejected, 'rejected'], [outcome.rows_dropped, 'dropped'],
    [outcome.rows_filtered, 'left out by where'], [outcome.rows_deduplicated, 'left out by dedup'],
  ];
  const sum = parts.reduce((total, [rows]) => total + rows, 0);
  const shown = parts.filter(([rows], index) => index === 0 || rows > 0).map(([rows, word]) => `${count(rows)} ${word}`);
  const sign = sum === outcome.rows_read ? ' = ' : ', ';
  return <span className="number">{count(outcome.rows_read)} read{sign}{shown.join(sum === outcome.rows_read ? ' + ' : ', ')}</span>;
}

function Attempts({ found }: { found: readonly Attempt[] }) {
  return (
    <ol className="attempts">
      {found.map((one) => (
        <li key={one.number}>
          <span className="number">{one.number}</span> <Time us={one.startedUs} />{' '}
          <State state={one.state === 'retrying' ? 'failed' : taskShown({ state: one.state })} />
          {one.endedUs !== undefined && <> after {duration(one.endedUs - one.startedUs)}</>}
          {one.message !== undefined && <p className="soft"><Ticks text={one.message} /></p>}
          {one.dueUs !== undefined && one.endedUs !== undefined && <p className="soft">next attempt after {duration(one.dueUs - one.endedUs)}</p>}
        </li>
      ))}
    </ol>
  );
}

export function TaskDetail({ run, task }: { run: Run; task: Task }) {
  const id = `${run.name.pipeline}#${run.name.number}`;
  const events = useQuery(taskLogsQuery(id, task.id)).data?.events ?? [];
  const node = useQuery(pipelineQuery(run.name.pipeline)).data?.graph.find((one) => one.id === task.id);
  const outcome = outcomeOf(task.outcome);
  const tried = attempts(events, task.id);
  const waits = run.waits.find((one) => one.task === task.id)?.because ?? [];
  const shown = taskShown(task);
  return (
    <div className="task-detail">
      {waits.length > 0 && (
        <div>
          <h2 className="small-head">{isFinal(task.state) ? 'Because' : 'Why it waits'}</h2>
          <ul>{waits.map((one) => <li key={one}><Ticks text={one} /></li>)}</ul>
        </div>
      )}
      {task.failure !== null && (
        <FailureBox code={task.failure.code} message={task.failure.message} help={task.failure.help ?? []} isData={shown === 'stopped'} />
      )}
      {outcome && (
        <div>
          <h2 className="small-head">Rows</h2>
          <p><RowsLine outcome={outcome} />{outcome.version !== undefined && <span className="soft"> · now at {outcome.version}</span>}</p>
          {outcome.rules.map((rule) => (
            <p key={`${rule.column} ${rule.code} ${rule.message}`} className="soft">
              {counted(rule.rows, 'row')} rejected by <code>{rule.code}</code>{rule.column !== null && <> of <code>{rule.column}</code></>}: {rule.message}
            </p>
          ))}
          {outcome.notes.map((note) => <p key={note} className="soft"><Ticks text={note} /></p>)}
        </div>
      )}
      {tried.length > 1 && <div><h2 className="small-head">Attempts</h2><Attempts found={tried} /></div>}
      {outcome && outcome.checks.length > 0 && <div><h2 className="small-head">Checks</h2><Checks checks={outcome.checks} /></div>}
      <p className="task-links">
        <Link to="/runs/$id" params={{ id }} search={{ view: 'log', task: task.id }} className="button">Log of {task.id}</Link>
        {node?.tables.map((table) => <Link key={table} to="/tables/$name" params={{ name: table }} search={{}} className="button">{table}</Link>)}
        {outcome && outcome.rows_rejected > 0 && <Link to="/quarantine/$name" params={{ name: outcome.table }} search={{}} className="button">Rejected rows</Link>}
        <Command text={`towpath why ${task.id}`} />
      </p>
    </div>
  );
}
