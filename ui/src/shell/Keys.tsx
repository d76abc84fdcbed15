// The keys: `/` search, `g` and a letter for a page, `j` and `k` for rows, `?` for all of them.

import { useNavigate } from '@tanstack/react-router';
import { useEffect, useRef } from 'react';
import { Dialog } from '../parts/Dialog';

const PLACES = {
  h: ['/', 'Home'], p: ['/pipelines', 'Pipelines'], r: ['/runs', 'Runs'], t: ['/tables', 'Tables'],
  q: ['/quarantine', 'Quarantine'], s: ['/schedules', 'Schedules'],
} as const;

const isPlace = (key: string): key is keyof typeof PLACES => key in PLACES;

function isTyping(target: EventTarget | null): boolean {
  return target instanceof HTMLElement && (target.isContentEditable || /^(INPUT|TEXTAREA|SELECT)$/.test(target.tagName));
}

/** Moves the focus to the next or the previous row; rows have a link or a button with `data-row`. */
function moveRow(by: 1 | -1): void {
  const rows = [...document.querySelectorAll<HTMLElement>('main [data-row]')];
  if (rows.length === 0) return;
  const at = rows.indexOf(document.activeElement as HTMLElement);
  const to = at < 0 ? (by === 1 ? 0 : rows.length - 1) : Math.min(rows.length - 1, Math.max(0, at + by));
  rows[to]?.focus();
  rows[to]?.scrollIntoView({ block: 'nearest' });
}

/** Listens to the keys of the page. `g` waits a second for its letter. */
export function useKeys({ search, help }: { search: () => void; help: () => void }): void {
  const navigate = useNavigate();
  const actions = useRef({ search, help });
  actions.current = { search, help };
  useEffect(() => {
    let goneMs = 0;
    const onKey = (event: KeyboardEvent) => {
      if (event.ctrlKey || event.metaKey || event.altKey || isTyping(event.target)) return;
      if (document.querySelector('dialog[open]')) return;
      const isGo = Date.now() - goneMs < 1000;
      goneMs = 0;
      if (isGo && isPlace(event.key)) void navigate({ to: PLACES[event.key][0] });
      else if (event.key === 'g') goneMs = Date.now();
      else if (event.key === '/') actions.current.search();
      else if (event.key === '?') actions.current.help();
      else if (event.key === 'j') moveRow(1);
      else if (event.key === 'k') moveRow(-1);
      else return;
      event.preventDefault();
    };
    document.addEventListener('keydown', onKey);
    return () => document.removeEventListener('keydown', onKey);
  }, [navigate]);
}

const ALL: readonly (readonly [keys: string, what: string])[] = [
  ['/', 'Search pipelines, tables and runs'],
  ...Object.entries(PLACES).map(([key, [, title]]) => [`g ${key}`, `Go to ${title}`] as const),
  ['j', 'Next row'], ['k', 'Previous row'], ['Enter', 'Open'], ['Esc', 'Close'], ['?', 'These keys'],
];

export function Keys({ isOpen, onClose }: { isOpen: boolean; onClose: () => void }) {
  return (
    <Dialog title="Keys" isOpen={isOpen} onClose={onClose}>
      <h2>Keys</h2>
      <dl className="keys">
        {ALL.map(([keys, what]) => (
          <div key={keys}>
            <dt>{keys.split(' ').map((key) => <kbd key={key}>{key}</kbd>)}</dt>
            <dd>{what}</dd>
          </div>
        ))}
      </dl>
      <button type="button" className="button" onClick={onClose}>Close</button>
    </Dialog>
  );
}
