// The last runs of a pipeline as a row of shapes, the newest at the right.

import { Link } from '@tanstack/react-router';
import type { Schemas } from '../api/client';
import { duration } from '../format/duration';
import { time } from '../format/time';
import { runId } from '../model/run';
import { runShown, WORDS } from '../model/state';

export function RunStrip({ runs }: { runs: readonly Schemas['RunSummary'][] }) {
  const longest = Math.max(1, ...runs.map((run) => (run.ended_us ?? run.started_us) - run.started_us));
  return (
    <span className="strip">
      {[...runs].reverse().map((run) => {
        const shown = runShown(run);
        const took = run.ended_us === null ? undefined : run.ended_us - run.started_us;
        const words = [runId(run.name), WORDS[shown], time(run.started_us / 1000, Date.now()).short, took === undefined ? '' : duration(took)];
        const height = took === undefined ? 100 : Math.max(22, (100 * took) / longest);
        return (
          <Link key={run.name.number} to="/runs/$id" params={{ id: runId(run.name) }} className={`strip-run s-${shown}`}
            title={words.filter(Boolean).join(', ')} aria-label={words.filter(Boolean).join(', ')} tabIndex={-1}>
            <span className="strip-bar" style={{ height: `${height}%` }} />
          </Link>
        );
      })}
    </span>
  );
}
