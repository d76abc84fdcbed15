// One thing that needs somebody: what, why, since when, and one way on.

import { useQuery } from '@tanstack/react-query';
import { Link } from '@tanstack/react-router';
import { runQuery } from '../../api/queries';
import { reason, type Need } from '../../model/attention';
import { taskShown } from '../../model/state';
import { Ticks } from '../../parts/Problem';
import { State } from '../../parts/State';
import { Away, Time } from '../../parts/Time';

/** The first failure of a run, in its own words. */
function FirstFailure({ run }: { run: string }) {
  const { data } = useQuery(runQuery(run));
  const failed = data?.tasks.filter((task) => task.failure !== null) ?? [];
  const first = failed[0];
  if (!data) return <p className="entry-why soft"> </p>;
  if (!first?.failure) return <p className="entry-why soft">{data.interrupted ? 'Its process ended before the run; the next run goes on with it.' : 'No task failed.'}</p>;
  return (
    <p className="entry-why soft">
      <Ticks text={first.failure.message} />{failed.length > 1 && `, and ${failed.length - 1} more`}
    </p>
  );
}

function RunEntry({ need }: { need: Extract<Need, { kind: 'run' }> }) {
  const { data } = useQuery(runQuery(need.run));
  // The run itself knows whether data stopped it.
  const failed = data?.tasks.filter((task) => task.state === 'failed') ?? [];
  const isData = failed.length > 0 && failed.every((task) => taskShown(task) === 'stopped');
  return (
    <li className="entry">
      <State state={need.state === 'failed' && isData ? 'stopped' : need.state} />
      <div className="entry-what">
        <Link to="/runs/$id" params={{ id: need.run }} data-row>{need.run}</Link>
        <FirstFailure run={need.run} />
      </div>
      <span className="soft"><Away us={need.atUs} /></span>
      <Link to="/runs/$id" params={{ id: need.run }} search={{}} className="button" tabIndex={-1}>Open</Link>
    </li>
  );
}

export function NeedEntry({ need }: { need: Need }) {
  switch (need.kind) {
    case 'run':
      return <RunEntry need={need} />;
    case 'rows':
      return (
        <li className="entry">
          <span className="state s-stopped-rows">rejected rows</span>
          <div className="entry-what">
            <Link to="/quarantine/$name" params={{ name: need.table }} search={{}} data-row>{need.table}</Link>
            <p className="entry-why soft">{reason(need)}</p>
          </div>
          <span />
          <Link to="/quarantine/$name" params={{ name: need.table }} search={{}} className="button" tabIndex={-1}>Open</Link>
        </li>
      );
    case 'slow':
      return (
        <li className="entry">
          <State state="running" />
          <div className="entry-what">
            <Link to="/runs/$id" params={{ id: need.run }} search={{}} data-row>{need.run}</Link>
            <p className="entry-why soft">{reason(need)}</p>
          </div>
          <span className="soft"><Away us={need.atUs} /></span>
          <Link to="/runs/$id" params={{ id: need.run }} search={{}} className="button" tabIndex={-1}>Open</Link>
        </li>
      );
    default:
      return (
        <li className="entry">
          <State state="waiting" />
          <div className="entry-what">
            <Link to="/pipelines/$name" params={{ name: need.pipeline }} search={{}} data-row>{need.pipeline}</Link>
            <p className="entry-why soft">
              {need.kind === 'late' ? <>was due at <Time us={need.dueUs} /> and has not begun</> : reason(need)}
            </p>
          </div>
          <span className="soft"><Away us={need.kind === 'late' ? need.dueUs : need.startUs} /></span>
          <Link to="/pipelines/$name" params={{ name: need.pipeline }} search={{}} className="button" tabIndex={-1}>Open</Link>
        </li>
      );
  }
}
