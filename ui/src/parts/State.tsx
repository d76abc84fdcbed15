// The shape and the word of a state. The shape alone has the word as its label.

import type { ReactElement } from 'react';
import { WORDS, type Shown } from '../model/state';

const ring = <circle cx="8" cy="8" r="6" fill="none" stroke="currentColor" strokeWidth="1.5" />;
const disc = <circle cx="8" cy="8" r="7" fill="currentColor" />;
const line = (d: string, isOnFill = false) => (
  <path d={d} fill="none" stroke={isOnFill ? 'var(--bg)' : 'currentColor'} strokeWidth="1.6" strokeLinecap="round" strokeLinejoin="round" />
);

const SHAPES: Record<Shown, ReactElement> = {
  succeeded: <>{disc}{line('M4.8 8.2 7.1 10.5 11.2 5.8', true)}</>,
  unchanged: <>{ring}{line('M5.5 6.800h5M5.5 9.200h5')}</>,
  warned: <><path d="M8 1.3 15.2 14H.8Z" fill="currentColor" strokeLinejoin="round" />{line('M8 6v3.600M8 11.800v.1', true)}</>,
  running: <>{ring}<path d="M6.4 5v6L11 8Z" fill="currentColor" /></>,
  waiting: <>{ring}{line('M8 4.800V8l2.2 1.6')}</>,
  retrying: <>{line('M13.5 8A5.5 5.5 0 1 1 11.6 3.8')}<path d="M9.5 4.600h4V.8Z" fill="currentColor" /></>,
  failed: <><rect x="1.5" y="1.5" width="13" height="13" rx="2" fill="currentColor" />{line('M5.3 5.300l5.4 5.400M10.7 5.300l-5.4 5.4', true)}</>,
  stopped: <><path d="M8 .6 15.4 8 8 15.4.6 8Z" fill="currentColor" />{line('M5 8h6', true)}</>,
  skipped: <>{line('M3.5 4.5 7 8l-3.5 3.500M8.5 4.5 12 8l-3.5 3.5')}</>,
  cancelled: <><rect x="2" y="2" width="12" height="12" rx="2" fill="none" stroke="currentColor" strokeWidth="1.5" /><rect x="5.5" y="5.5" width="5" height="5" fill="currentColor" /></>,
  interrupted: <><circle cx="8" cy="8" r="6" fill="none" stroke="currentColor" strokeWidth="1.5" strokeDasharray="3 2.3" />{line('M8 4.800v3.400M8 10.800v.1')}</>,
  superseded: <>{ring}{line('M5 8h5.500M8.3 5.6 10.7 8l-2.4 2.4')}</>,
  paused: <>{ring}{line('M6.4 5.600v4.800M9.6 5.600v4.8')}</>,
};

/** The shape alone; `label=""` where the words stand beside it. */
export function StateShape({ state, label }: { state: Shown; label?: string }) {
  if (label === '') {
    return <svg className="shape" viewBox="0 0 16 16" width="16" height="16" aria-hidden="true">{SHAPES[state]}</svg>;
  }
  return (
    <svg className={`shape s-${state}`} viewBox="0 0 16 16" width="16" height="16" role="img" aria-label={label ?? WORDS[state]}>
      {SHAPES[state]}
    </svg>
  );
}

export function State({ state }: { state: Shown }) {
  return (
    <span className={`state s-${state}`}>
      <StateShape state={state} label="" />
      {WORDS[state]}
    </span>
  );
}
