// Home: did it go well, and what needs me?

import { useQuery } from '@tanstack/react-query';
import { Link } from '@tanstack/react-router';
import { newestRunsQuery, pipelinesQuery, quarantineQuery, type PipelineLine, type RunLine } from '../../api/queries';
import { count, counted } from '../../format/number';
import { parseTime } from '../../format/time';
import { headline, needs, sums } from '../../model/attention';
import { left, listedProgress, runId, usual } from '../../model/run';
import { Empty, Page, Section, Skeleton } from '../../parts/Page';
import { Problem } from '../../parts/Problem';
import { State } from '../../parts/State';
import { Away, Time, Took, useNow } from '../../parts/Time';
import { NeedEntry } from './NeedEntry';
import { Timeline } from './Timeline';

const DAY_US = 86_400_000_000;
const MOST_FIRES = 6;

function Running({ runs, pipelines }: { runs: readonly RunLine[]; pipelines: readonly PipelineLine[] }) {
  const nowUs = useNow() * 1000;
  return (
    <ul className="entries">
      {runs.map((run) => {
        const { ended, of } = listedProgress(run);
        const line = pipelines.find((one) => one.pipeline === run.name.pipeline);
        const usualUs = usual(line?.recent ?? []);
        return (
          <li key={runId(run.name)} className="entry">
            <State state="running" />
            <div className="entry-what">
              <Link to="/runs/$id" params={{ id: runId(run.name) }} data-row>{runId(run.name)}</Link>
              <progress max={of} value={ended} aria-label={`${ended} of ${of} tasks have ended`} />
              <span className="soft">{ended} of {counted(of, 'task')}{usualUs === undefined ? '' : ` · ${left(run.started_us, usualUs, nowUs)}`}</span>
            </div>
            <Took startedUs={run.started_us} endedUs={null} />
          </li>
        );
      })}
    </ul>
  );
}

function Upcoming({ pipelines }: { pipelines: readonly PipelineLine[] }) {
  const fires = pipelines.flatMap((line) => {
    const at = line.next === undefined || line.paused ? undefined : parseTime(line.next);
    return at === undefined ? [] : [{ pipeline: line.pipeline, us: at * 1000 }];
  });
  const next = fires.sort((a, b) => a.us - b.us).slice(0, MOST_FIRES);
  if (next.length === 0) {
    return <Empty command="towpath schedule ls">No pipeline has a schedule. Give one a line <code>schedule:</code> in its file.</Empty>;
  }
  return (
    <ul className="fires">
      {next.map((fire) => (
        <li key={fire.pipeline}>
          <Link to="/pipelines/$name" params={{ name: fire.pipeline }} data-row>{fire.pipeline}</Link>
          <span className="number"><Time us={fire.us} /></span>
          <span className="soft"><Away us={fire.us} /></span>
        </li>
      ))}
    </ul>
  );
}

export function Home() {
  const runs = useQuery(newestRunsQuery(200));
  const pipelines = useQuery(pipelinesQuery);
  const quarantine = useQuery(quarantineQuery);
  const nowUs = useNow() * 1000;
  const failed = pipelines.error ?? runs.error;
  // All of it at once, so that nothing moves when the last answer comes.
  if (!pipelines.data || !runs.data || quarantine.isPending) {
    return (
      <Page title="Home" command="towpath runs">
        {failed ? <Problem error={failed} again={() => void Promise.all([pipelines.refetch(), runs.refetch()])} /> : <Skeleton lines={8} />}
      </Page>
    );
  }
  const unknown = failed ?? quarantine.error;
  const lines = pipelines.data.pipelines;
  const found = needs({ pipelines: lines, waiting: runs.data.waiting, quarantine: quarantine.data?.tables ?? [] }, nowUs);
  const day = sums(runs.data.runs, nowUs - DAY_US);
  const running = runs.data.runs.filter((run) => run.state === 'running' && !run.interrupted);
  if (lines.length === 0) {
    return (
      <Page title="Home" command="towpath check">
        <Empty command="towpath init --example nycflights">This project has no pipeline yet. A pipeline is a file in <code>pipelines/</code>.</Empty>
      </Page>
    );
  }
  return (
    <Page title={unknown ? 'Not everything is known' : headline(found, day)} command="towpath runs" facts={<>
      Last 24 hours: {counted(day.runs, 'run')}{day.runs > 0 && <>, {count(day.well)} succeeded{day.bad > 0 && `, ${count(day.bad)} failed`}</>}
      {' · '}{counted(day.loaded, 'row')} loaded{day.rejected > 0 && `, ${count(day.rejected)} rejected`}
    </>}>
      {unknown && <Problem error={unknown} again={() => void Promise.all([pipelines.refetch(), runs.refetch(), quarantine.refetch()])} />}
      {found.length > 0 && (
        <Section title="Needs attention">
          <ul className="entries">{found.map((need) => <NeedEntry key={`${need.kind} ${need.kind === 'rows' ? need.table : need.pipeline}`} need={need} />)}</ul>
        </Section>
      )}
      {running.length > 0 && <Section title="Running now"><Running runs={running} pipelines={lines} /></Section>}
      <Section title="Last 24 hours"><Timeline runs={runs.data.runs} pipelines={lines} nowUs={nowUs} /></Section>
      <Section title="Next"><Upcoming pipelines={lines} /></Section>
    </Page>
  );
}
