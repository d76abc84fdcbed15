// What can be done with a run: cancel it while it runs, run it again when it has ended.

import * as Menu from '@radix-ui/react-dropdown-menu';
import { useQuery } from '@tanstack/react-query';
import { useState } from 'react';
import { useCancel, useRerun } from '../../api/actions';
import { pipelineQuery, type Run } from '../../api/queries';
import { useMay } from '../../api/session';
import { runId } from '../../model/run';
import { Command } from '../../parts/Command';
import { Dialog } from '../../parts/Dialog';
import { Problem } from '../../parts/Problem';

function Cancel({ run }: { run: Run }) {
  const id = runId(run.name);
  const [isAsking, setAsking] = useState(false);
  const cancel = useCancel(id);
  const isStopping = run.stop !== undefined;
  return (
    <>
      <button type="button" className="button" disabled={isStopping} onClick={() => setAsking(true)}>{isStopping ? 'Stopping' : 'Cancel'}</button>
      <Dialog title={`Cancel ${id}`} isOpen={isAsking} onClose={() => setAsking(false)}>
        <h2>Cancel {id}?</h2>
        <p>Its tasks stop. What is committed stays, nothing else becomes visible, and the next run goes on from there.</p>
        {cancel.error && <Problem error={cancel.error} />}
        <div className="dialog-actions">
          <button type="button" className="button is-first" disabled={cancel.isPending}
            onClick={() => cancel.mutate(undefined, { onSuccess: () => setAsking(false) })}>Cancel the run</button>
          <button type="button" className="button" onClick={() => setAsking(false)}>Let it run</button>
        </div>
        <Command text={`towpath cancel ${id}`} />
      </Dialog>
    </>
  );
}

function Rerun({ run }: { run: Run }) {
  const id = runId(run.name);
  const rerun = useRerun(id);
  const pipeline = useQuery(pipelineQuery(run.name.pipeline)).data;
  const hasFailed = run.tasks.some((task) => task.state !== 'succeeded' && task.state !== 'unchanged');
  const rest = run.state === 'failed' ? 'Rerun failed tasks' : 'Rerun what is left';
  return (
    <>
      {hasFailed && (
        <button type="button" className="button is-first" disabled={rerun.isPending} onClick={() => rerun.mutate({ failed: true })}>{rest}</button>
      )}
      <Menu.Root modal={false}>
        <Menu.Trigger className="button" disabled={rerun.isPending}>Rerun <span aria-hidden="true">▾</span></Menu.Trigger>
        <Menu.Content className="menu" align="end" sideOffset={4}>
          <Menu.Item className="menu-item" onSelect={() => rerun.mutate({})}>All tasks</Menu.Item>
          {hasFailed && <Menu.Item className="menu-item" onSelect={() => rerun.mutate({ failed: true })}>Tasks that did not succeed, and what depends on them</Menu.Item>}
          {pipeline && pipeline.steps.length > 1 && <Menu.Label className="menu-label">From a step on</Menu.Label>}
          {pipeline && pipeline.steps.length > 1 && pipeline.steps.map((step) => (
            <Menu.Item key={step} className="menu-item" onSelect={() => rerun.mutate({ from: step })}>{step}</Menu.Item>
          ))}
        </Menu.Content>
      </Menu.Root>
      <Dialog title="The run did not begin" isOpen={rerun.error !== null} onClose={() => rerun.reset()}>
        {rerun.error && <Problem error={rerun.error} />}
        <button type="button" className="button" onClick={() => rerun.reset()}>Close</button>
      </Dialog>
    </>
  );
}

export function RunActions({ run }: { run: Run }) {
  const may = useMay();
  if (!may.operate || run.kind === 'copy' || run.kind === 'lock') return null;
  return run.state === 'running' && !run.interrupted ? <Cancel run={run} /> : <Rerun run={run} />;
}
