// The grid of runs and tasks: a column for each run, the newest at the right; above it how long the run took.

import { Link } from '@tanstack/react-router';
import { useVirtualizer } from '@tanstack/react-virtual';
import { useRef, type KeyboardEvent } from 'react';
import type { Pipeline, Run, RunLine } from '../../api/queries';
import { duration } from '../../format/duration';
import { time } from '../../format/time';
import { ordered } from '../../model/graph';
import { runId } from '../../model/run';
import { runShown, taskShown, WORDS } from '../../model/state';
import { StateShape } from '../../parts/State';

/** A run of the list, or a whole one. */
export type GridRun = RunLine | Run;

const ROW = 26;

/** The arrow keys go from cell to cell. */
function onArrow(event: KeyboardEvent<HTMLElement>): void {
  const moves: Record<string, [number, number]> = { ArrowLeft: [0, -1], ArrowRight: [0, 1], ArrowUp: [-1, 0], ArrowDown: [1, 0] };
  const move = moves[event.key];
  const cell = (event.target as HTMLElement).closest<HTMLElement>('[data-at]');
  if (!move) return;
  if (!cell) {
    // The first arrow goes to the newest cell.
    event.preventDefault();
    [...event.currentTarget.querySelectorAll<HTMLElement>('[data-at^="0,"]')].at(-1)?.focus();
    return;
  }
  const [row = 0, column = 0] = (cell.dataset['at'] ?? '').split(',').map(Number);
  const next = event.currentTarget.querySelector<HTMLElement>(`[data-at="${row + move[0]},${column + move[1]}"]`);
  if (!next) return;
  event.preventDefault();
  next.focus();
}

function Head({ runs }: { runs: readonly GridRun[] }) {
  const took = runs.map((run) => run.duration_us);
  const longest = Math.max(1, ...took);
  return (
    <div className="grid-row is-head" role="row">
      <span className="grid-name" role="columnheader">
        <span className="soft">longest {duration(longest)}</span>
      </span>
      {runs.map((run, index) => {
        const shown = runShown(run);
        const words = `${runId(run.name)} ${WORDS[shown]}, ${duration(run.duration_us)}, ${time(run.started_us / 1000, Date.now()).short}`;
        return (
          <span key={run.name.number} role="columnheader" className="grid-cell is-head">
            <Link to="/runs/$id" params={{ id: runId(run.name) }} search={{}} className={`grid-bar s-${shown}`} title={words} aria-label={words}
              tabIndex={-1} data-at={`-1,${index}`}>
              <span style={{ height: `${Math.max(6, (100 * run.duration_us) / longest)}%` }} />
            </Link>
            <span className="grid-number" aria-hidden="true">{index % 5 === runs.length % 5 || index === runs.length - 1 ? run.name.number : ''}</span>
          </span>
        );
      })}
    </div>
  );
}

export function Grid({ pipeline, runs: newest }: { pipeline: Pipeline; runs: readonly GridRun[] }) {
  const runs = [...newest].reverse();
  const tasks = ordered(pipeline.graph);
  const states = runs.map((run) => new Map<string, GridRun['tasks'][number]>(run.tasks.map((task) => [task.id, task])));
  const ref = useRef<HTMLDivElement>(null);
  const virtual = useVirtualizer({ count: tasks.length, getScrollElement: () => ref.current, estimateSize: () => ROW, overscan: 30 });
  return (
    <div className="grid-box" ref={ref} onKeyDown={onArrow} tabIndex={0} role="group" aria-label="Runs and tasks">
      <div className="grid" role="table" aria-label={`Tasks of ${pipeline.pipeline} in its last runs`} aria-rowcount={tasks.length + 1}>
        <div role="rowgroup"><Head runs={runs} /></div>
        <div role="rowgroup" style={{ height: virtual.getTotalSize() }} className="grid-body">
          {virtual.getVirtualItems().map((item) => {
            const task = tasks[item.index];
            if (!task) return null;
            return (
              <div key={task.id} className="grid-row" role="row" aria-rowindex={item.index + 2} style={{ transform: `translateY(${item.start}px)` }}>
                <span className="grid-name" role="rowheader" title={task.id}>{task.id}</span>
                {runs.map((run, column) => {
                  const found = states[column]?.get(task.id);
                  const shown = found && taskShown(found);
                  const took = found?.started_us != null && found.ended_us !== null ? `, ${duration(found.ended_us - found.started_us)}` : '';
                  const words = shown && `${task.id} in ${runId(run.name)}: ${WORDS[shown]}${took}`;
                  return (
                    <span key={run.name.number} role="cell" className="grid-cell">
                      {shown && (
                        <Link to="/runs/$id" params={{ id: runId(run.name) }} search={{ task: task.id }} title={words} tabIndex={-1}
                          data-at={`${item.index},${column}`}>
                          <StateShape state={shown} label={words ?? ''} />
                        </Link>
                      )}
                    </span>
                  );
                })}
              </div>
            );
          })}
        </div>
      </div>
    </div>
  );
}
