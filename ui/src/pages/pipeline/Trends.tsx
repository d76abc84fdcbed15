// How the pipeline behaves over its runs: how long they take, and how many rows they load.

import { useNavigate } from '@tanstack/react-router';
import type { RunLine } from '../../api/queries';
import { duration } from '../../format/duration';
import { count } from '../../format/number';
import { runId } from '../../model/run';
import { isBad, runShown } from '../../model/state';
import { Plot, type Point } from '../../parts/Plot';

export function Trends({ runs: newest }: { runs: readonly RunLine[] }) {
  const runs = [...newest].reverse();
  const navigate = useNavigate();
  const open = (index: number) => {
    const run = runs[index];
    if (run) void navigate({ to: '/runs/$id', params: { id: runId(run.name) }, search: {} });
  };
  const points = (value: (run: RunLine) => number | null): Point[] =>
    runs.map((run) => ({ name: `#${run.name.number}`, value: value(run), isBad: isBad(runShown(run)) }));
  const rejected = runs.some((run) => run.counts.rows_rejected > 0);
  const loaded = runs.some((run) => run.counts.rows_loaded > 0);
  return (
    <div className="plots">
      <Plot title="Duration of the runs" points={points((run) => (run.state === 'running' ? null : run.duration_us))} say={duration} onOpen={open} />
      {loaded && <Plot title="Rows loaded" points={points((run) => run.counts.rows_loaded)} say={count} onOpen={open} />}
      {rejected && <Plot title="Rows rejected" points={points((run) => run.counts.rows_rejected)} say={count} onOpen={open} />}
    </div>
  );
}
