// Run a pipeline now, with its options; pause and resume its schedule.

import { useState, type FormEvent } from 'react';
import { usePause, useStartRun } from '../../api/actions';
import type { Pipeline } from '../../api/queries';
import type { Schemas } from '../../api/client';
import { useMay } from '../../api/session';
import { parseParams } from '../../model/params';
import { Command } from '../../parts/Command';
import { Dialog } from '../../parts/Dialog';
import { Problem } from '../../parts/Problem';

function optionsOf(form: FormData): Schemas['RunOptions'] {
  const step = String(form.get('step') ?? '');
  const params = parseParams(String(form.get('params') ?? ''));
  return {
    ...(step === '' ? {} : { step }),
    ...(form.get('full') === null ? {} : { full_refresh: true }),
    ...(Object.keys(params).length === 0 ? {} : { params }),
  };
}

/** As a shell reads it: quoted where it has to be. */
function quoted(text: string): string {
  return /^[\w@%+=:,./-]+$/.test(text) ? text : `'${text.replaceAll("'", "'\\''")}'`;
}

function commandOf(pipeline: string, options: Schemas['RunOptions']): string {
  const params = Object.entries(options.params ?? {}).map(([name, value]) => ` --param ${quoted(`${name}=${value}`)}`);
  return `towpath run ${pipeline}${options.step === undefined ? '' : `.${options.step}`}${options.full_refresh ? ' --full-refresh' : ''}${params.join('')}`;
}

function RunDialog({ pipeline, isOpen, onClose }: { pipeline: Pipeline; isOpen: boolean; onClose: () => void }) {
  const start = useStartRun(pipeline.pipeline);
  const [command, setCommand] = useState(`towpath run ${pipeline.pipeline}`);
  const submit = (event: FormEvent<HTMLFormElement>) => {
    event.preventDefault();
    start.mutate(optionsOf(new FormData(event.currentTarget)));
  };
  return (
    <Dialog title={`Run ${pipeline.pipeline}`} isOpen={isOpen} onClose={onClose}>
      <h2>Run {pipeline.pipeline}</h2>
      <form className="form" onSubmit={submit} onChange={(event) => setCommand(commandOf(pipeline.pipeline, optionsOf(new FormData(event.currentTarget))))}>
        <label>Step
          <select name="step">
            <option value="">all</option>
            {pipeline.steps.map((step) => <option key={step}>{step}</option>)}
          </select>
        </label>
        <label>Parameters
          <textarea name="params" rows={2} placeholder="since=2026-01-01" spellCheck={false} aria-describedby="params-help" />
          <small id="params-help">One per line: name=value</small>
        </label>
        <label className="is-check"><input type="checkbox" name="full" /> Read and build everything again</label>
        {start.error && <Problem error={start.error} />}
        <div className="dialog-actions">
          <button type="submit" className="button is-first" disabled={start.isPending}>{start.isPending ? 'Starting' : 'Run'}</button>
          <button type="button" className="button" onClick={onClose}>Close</button>
        </div>
        <Command text={command} />
      </form>
    </Dialog>
  );
}

export function PipelineActions({ pipeline }: { pipeline: Pipeline }) {
  const may = useMay();
  const [isOpen, setOpen] = useState(false);
  const pause = usePause(pipeline.pipeline);
  if (!may.operate) return null;
  return (
    <>
      <button type="button" className="button is-first" onClick={() => setOpen(true)}>Run</button>
      {pipeline.schedule !== undefined && (
        <button type="button" className="button" disabled={pause.isPending} onClick={() => pause.mutate({ isPaused: !pipeline.paused })}>
          {pipeline.paused ? 'Resume schedule' : 'Pause schedule'}
        </button>
      )}
      <RunDialog key={String(isOpen)} pipeline={pipeline} isOpen={isOpen} onClose={() => setOpen(false)} />
      <Dialog title="The schedule did not change" isOpen={pause.error !== null} onClose={() => pause.reset()}>
        {pause.error && <Problem error={pause.error} />}
        <button type="button" className="button" onClick={() => pause.reset()}>Close</button>
      </Dialog>
    </>
  );
}
