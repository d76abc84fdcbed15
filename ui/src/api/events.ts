// The events of all runs, as they happen: one stream for the whole page, with resume behind the last event.
//
// It is read with `fetch`, because a new `EventSource` cannot say behind which event it begins. A hidden page gives its
// connection back (a browser has six per server), and goes on behind the last event when it is seen again.

import { useSyncExternalStore } from 'react';
import { BASE, type Schemas } from './client';
import { messagesOf } from './messages';
import { currentSession, onSession, sessionEnded } from './session';

export type Event = Schemas['Event'];
export type LiveState = 'off' | 'connecting' | 'live' | 'lost';

const HIDDEN_MS = 30_000;
/** The server sends something every ten seconds. */
const SILENT_MS = 25_000;
const WAITS_MS = [500, 1_000, 2_000, 5_000, 10_000];

let state: LiveState = 'off';
let lastId: string | undefined;
let abort: AbortController | undefined;
let tries = 0;
const stateListeners = new Set<() => void>();
const eventListeners = new Set<(event: Event) => void>();
const gapListeners = new Set<() => void>();

function become(next: LiveState): void {
  if (next === state) return;
  state = next;
  for (const listener of stateListeners) listener();
}

export function onLive(listener: (state: LiveState) => void): () => void {
  const tell = () => listener(state);
  stateListeners.add(tell);
  return () => stateListeners.delete(tell);
}

export function useLive(): LiveState {
  return useSyncExternalStore(
    (listener) => {
      stateListeners.add(listener);
      return () => stateListeners.delete(listener);
    },
    () => state,
  );
}

export function onEvent(listener: (event: Event) => void): () => void {
  eventListeners.add(listener);
  return () => eventListeners.delete(listener);
}

/** Called when events may have been missed, so that everything is asked for again. */
export function onGap(listener: () => void): () => void {
  gapListeners.add(listener);
  return () => gapListeners.delete(listener);
}

/** A promise that fails when it takes too long: a connection may be dead without an end. */
function within<T>(promise: Promise<T>, ms: number): Promise<T> {
  return new Promise((resolve, reject) => {
    const timer = setTimeout(() => reject(new Error('the stream is silent')), ms);
    promise.then(resolve, reject).finally(() => clearTimeout(timer));
  });
}

async function read(signal: AbortSignal): Promise<number> {
  const headers: Record<string, string> = { accept: 'text/event-stream' };
  if (lastId !== undefined) headers['last-event-id'] = lastId;
  const isResumed = lastId !== undefined;
  const response = await fetch(`${BASE}/events`, { headers, signal, credentials: 'same-origin' });
  // An id that the server does not know any more: begin anew, and ask for everything again.
  if (response.status === 400 && lastId !== undefined) {
    lastId = undefined;
  }
  if (!response.ok || !response.body) return response.status;
  const reader = response.body.pipeThrough(new TextDecoderStream()).getReader();
  let text = '';
  for (;;) {
    const { done, value } = await within(reader.read(), SILENT_MS);
    if (done) return 200;
    const { messages, rest } = messagesOf(text + value);
    text = rest;
    for (const message of messages) {
      if (message.id !== undefined) lastId = message.id;
      if (message.event === undefined || message.event === 'message') tellListeners(message.data);
      else if (message.event === 'begin') {
        tries = 0;
        become('live');
        // What happened between the answers so far and this stream is not in it.
        if (!isResumed || message.data.includes('"gap":true')) tellGap();
      }
    }
  }
}

function tellListeners(data: string): void {
  const event = JSON.parse(data) as Event;
  for (const listener of eventListeners) listener(event);
}

function tellGap(): void {
  for (const listener of gapListeners) listener();
}

async function follow(signal: AbortSignal): Promise<void> {
  while (!signal.aborted) {
    if (state !== 'live') become(tries === 0 ? 'connecting' : 'lost');
    // Its own abort, so that a silent connection is closed.
    const one = new AbortController();
    const status = await read(AbortSignal.any([signal, one.signal])).catch(() => 0);
    one.abort();
    if (signal.aborted) return;
    if (status === 401) return sessionEnded();
    become('lost');
    const wait = WAITS_MS[Math.min(tries, WAITS_MS.length - 1)] ?? 10_000;
    tries += 1;
    await new Promise((resolve) => setTimeout(resolve, wait));
  }
}

function start(): void {
  abort?.abort();
  abort = new AbortController();
  void follow(abort.signal);
}

function stop(): void {
  abort?.abort();
  abort = undefined;
  become('off');
}

/** Begins to follow, while there is a session; called once. */
export function followEvents(): void {
  let timer: ReturnType<typeof setTimeout> | undefined;
  document.addEventListener('visibilitychange', () => {
    clearTimeout(timer);
    if (document.hidden) timer = setTimeout(stop, HIDDEN_MS);
    else if (abort === undefined && currentSession()) start();
  });
  onSession(() => {
    lastId = undefined;
    if (currentSession()) start();
    else stop();
  });
}
