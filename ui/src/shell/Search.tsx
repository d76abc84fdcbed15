// Search over pipelines, tables and the newest runs, as one types.

import { useQuery } from '@tanstack/react-query';
import { useNavigate } from '@tanstack/react-router';
import { useState, type KeyboardEvent } from 'react';
import { newestRunsQuery, pipelinesQuery, tablesQuery } from '../api/queries';
import { runId } from '../model/run';
import { find, type Found } from '../model/search';
import { Dialog } from '../parts/Dialog';

const MOST = 12;

function useAll(): Found[] {
  const pipelines = useQuery(pipelinesQuery).data?.pipelines ?? [];
  const tables = useQuery(tablesQuery).data?.tables ?? [];
  const runs = useQuery(newestRunsQuery(50)).data?.runs ?? [];
  return [
    ...pipelines.map((one) => ({ kind: 'pipeline' as const, name: one.pipeline })),
    ...tables.map((one) => ({ kind: 'table' as const, name: one.table })),
    ...runs.map((one) => ({ kind: 'run' as const, name: runId(one.name) })),
  ];
}

function Finder({ onClose }: { onClose: () => void }) {
  const all = useAll();
  const navigate = useNavigate();
  const [text, setText] = useState('');
  const [at, setAt] = useState(0);
  const found = find(all, text, MOST);
  const open = (one: Found | undefined) => {
    if (!one) return;
    onClose();
    if (one.kind === 'pipeline') void navigate({ to: '/pipelines/$name', params: { name: one.name }, search: {} });
    else if (one.kind === 'table') void navigate({ to: '/tables/$name', params: { name: one.name }, search: {} });
    else void navigate({ to: '/runs/$id', params: { id: one.name }, search: {} });
  };
  const onKey = (event: KeyboardEvent) => {
    if (event.key === 'ArrowDown') setAt(Math.min(found.length - 1, at + 1));
    else if (event.key === 'ArrowUp') setAt(Math.max(0, at - 1));
    else if (event.key === 'Enter') open(found[at]);
    else return;
    event.preventDefault();
  };
  return (
    <>
      <input className="finder" type="text" role="combobox" aria-expanded="true" aria-controls="found" aria-label="Search"
        aria-activedescendant={found.length > 0 ? `found-${at}` : undefined} placeholder="Pipeline, table or run (shop#212)"
        autoFocus value={text} onKeyDown={onKey} spellCheck={false} autoComplete="off"
        onChange={(event) => {
          setText(event.target.value);
          setAt(0);
        }} />
      <ul id="found" className="found" role="listbox" aria-label="Found">
        {found.map((one, index) => (
          <li key={`${one.kind} ${one.name}`} id={`found-${index}`} role="option" aria-selected={index === at}
            className={index === at ? 'is-on' : ''} onClick={() => open(one)} onMouseMove={() => setAt(index)}>
            <span className="found-name">{one.name}</span>
            <span className="soft">{one.kind}</span>
          </li>
        ))}
      </ul>
      {found.length === 0 && <p className="soft found-none">Nothing has this name.</p>}
    </>
  );
}

export function Search({ isOpen, onClose }: { isOpen: boolean; onClose: () => void }) {
  return (
    <Dialog title="Search" isOpen={isOpen} onClose={onClose} className="is-search">
      <Finder onClose={onClose} />
    </Dialog>
  );
}
