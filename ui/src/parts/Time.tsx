// Times and durations. Live ones change in place once a second.

import { useSyncExternalStore } from 'react';
import { duration } from '../format/duration';
import { away, time } from '../format/time';

const listeners = new Set<() => void>();
let nowMs = Date.now();
let timer: ReturnType<typeof setInterval> | undefined;

function tick(): void {
  nowMs = Date.now();
  for (const listener of listeners) listener();
}

function listen(listener: () => void): () => void {
  listeners.add(listener);
  if (timer === undefined) {
    // Nobody asked for a while.
    nowMs = Date.now();
    timer = setInterval(tick, 1000);
  }
  return () => {
    listeners.delete(listener);
    if (listeners.size > 0) return;
    clearInterval(timer);
    timer = undefined;
  };
}

/** The time, in milliseconds; changes once a second. */
export function useNow(): number {
  return useSyncExternalStore(listen, () => nowMs);
}

export function Time({ us }: { us: number }) {
  const words = time(us / 1000, Date.now());
  return (
    <time dateTime={words.iso} title={words.full}>
      {words.short}
    </time>
  );
}

/** `in 12 min`, with the time on hover. */
export function Away({ us }: { us: number }) {
  const now = useNow();
  const words = time(us / 1000, now);
  return (
    <time dateTime={words.iso} title={words.full}>
      {away(us / 1000, now)}
    </time>
  );
}

function Ticking({ startedUs }: { startedUs: number }) {
  return <>{duration(useNow() * 1000 - startedUs)}</>;
}

/** How long something took, or takes so far. */
export function Took({ startedUs, endedUs }: { startedUs: number | null; endedUs: number | null }) {
  if (startedUs === null) return <span className="none">–</span>;
  return <span className="number">{endedUs === null ? <Ticking startedUs={startedUs} /> : duration(endedUs - startedUs)}</span>;
}
