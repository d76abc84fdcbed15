// The last 24 hours, and the next ones: a row for each pipeline, a mark for each run.

import { Link } from '@tanstack/react-router';
import type { PipelineLine, RunLine } from '../../api/queries';
import { duration } from '../../format/duration';
import { parseTime, time } from '../../format/time';
import { runId } from '../../model/run';
import { runShown, WORDS } from '../../model/state';
import { StateShape } from '../../parts/State';

const HOUR_US = 3_600_000_000;
const BACK_US = 24 * HOUR_US;
const AHEAD_US = 4 * HOUR_US;
const SPAN_US = BACK_US + AHEAD_US;
/** Marks nearer than this share of the axis are one mark. */
const NEAR = 0.012;

interface Mark {
  at: number;
  width: number;
  runs: RunLine[];
}

/** The marks of a row; runs that would lie on each other are one mark, which links the worst of them. */
function marks(runs: readonly RunLine[], fromUs: number, nowUs: number): Mark[] {
  const found: Mark[] = [];
  for (const run of [...runs].reverse()) {
    const at = (run.started_us - fromUs) / SPAN_US;
    const width = ((run.ended_us ?? nowUs) - run.started_us) / SPAN_US;
    if (at + width < 0) continue;
    const last = found.at(-1);
    if (last && at - (last.at + last.width) < NEAR) {
      last.runs.push(run);
      last.width = Math.max(last.width, at + width - last.at);
    } else found.push({ at: Math.max(0, at), width, runs: [run] });
  }
  return found;
}

const WORST = ['failed', 'stopped', 'interrupted', 'running', 'cancelled', 'warned'];
const badness = (run: RunLine) => {
  const at = WORST.indexOf(runShown(run));
  return at < 0 ? WORST.length : at;
};

function RunMark({ mark }: { mark: Mark }) {
  const worst = [...mark.runs].sort((a, b) => badness(a) - badness(b))[0];
  if (!worst) return null;
  const shown = runShown(worst);
  const took = worst.ended_us === null ? '' : `, ${duration(worst.ended_us - worst.started_us)}`;
  const more = mark.runs.length > 1 ? `, and ${mark.runs.length - 1} more near it` : '';
  const words = `${runId(worst.name)} ${WORDS[shown]}, ${time(worst.started_us / 1000, Date.now()).short}${took}${more}`;
  const style = { left: `${mark.at * 100}%`, width: `max(16px, ${mark.width * 100}%)` };
  return (
    <Link to="/runs/$id" params={{ id: runId(worst.name) }} search={{}} className={`mark-run s-${shown}`} style={style} title={words} tabIndex={-1}>
      <StateShape state={shown} label={words} />
      {mark.runs.length > 1 && <span className="mark-count" aria-hidden="true">×{mark.runs.length}</span>}
    </Link>
  );
}

/** Whole hours on the axis, every four hours. */
function hours(fromUs: number): { at: number; label: string }[] {
  const first = new Date(fromUs / 1000);
  first.setMinutes(0, 0, 0);
  first.setHours(Math.ceil((first.getHours() + 1) / 4) * 4);
  const found = [];
  for (let ms = first.getTime(); ms * 1000 < fromUs + SPAN_US; ms += 4 * 3_600_000) {
    const at = (ms * 1000 - fromUs) / SPAN_US;
    const isNearNow = Math.abs(at - BACK_US / SPAN_US) < 0.06;
    if (at > 0.02 && at < 0.97 && !isNearNow) found.push({ at, label: `${String(new Date(ms).getHours()).padStart(2, '0')}:00` });
  }
  return found;
}

interface TimelineProps {
  runs: readonly RunLine[];
  pipelines: readonly PipelineLine[];
  nowUs: number;
}

export function Timeline({ runs, pipelines, nowUs }: TimelineProps) {
  const fromUs = nowUs - BACK_US;
  const ticks = hours(fromUs);
  const oldest = runs.at(-1);
  const isCut = runs.length === 200 && oldest !== undefined && oldest.started_us > fromUs;
  return (
    <>
      <div className="timeline" role="list" aria-label="Runs of the last 24 hours">
        {pipelines.map((line) => {
          const nextMs = line.next === undefined || line.paused ? undefined : parseTime(line.next);
          const next = nextMs === undefined ? undefined : (nextMs * 1000 - fromUs) / SPAN_US;
          const own = runs.filter((run) => run.name.pipeline === line.pipeline && (run.ended_us ?? nowUs) >= fromUs);
          return (
            <div key={line.pipeline} className="timeline-row" role="listitem">
              <Link to="/pipelines/$name" params={{ name: line.pipeline }} search={{}} className="timeline-name" data-row>{line.pipeline}</Link>
              <div className="timeline-line">
                {ticks.map((tick) => <span key={tick.at} className="timeline-grid" style={{ left: `${tick.at * 100}%` }} />)}
                <span className="timeline-now" style={{ left: `${(BACK_US / SPAN_US) * 100}%` }} />
                {marks(own, fromUs, nowUs).map((mark) => <RunMark key={mark.at} mark={mark} />)}
                {next !== undefined && next < 1 && next > 0 && (
                  <span className="timeline-next" style={{ left: `${next * 100}%` }} title={`next: ${time(nextMs ?? 0, Date.now()).short}`} />
                )}
              </div>
            </div>
          );
        })}
        <div className="timeline-row is-axis" aria-hidden="true">
          <span className="timeline-name" />
          <div className="timeline-line">
            {ticks.map((tick) => <span key={tick.at} className="timeline-tick" style={{ left: `${tick.at * 100}%` }}>{tick.label}</span>)}
            <span className="timeline-tick is-now" style={{ left: `${(BACK_US / SPAN_US) * 100}%` }}>now</span>
          </div>
        </div>
      </div>
      {isCut && <p className="soft">Only the newest 200 runs are shown. <Link to="/runs" search={{}}>All runs</Link></p>}
    </>
  );
}
