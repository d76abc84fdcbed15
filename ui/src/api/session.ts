// Who uses this browser. The token itself stays with the server: the browser has a cookie that no script can read.

import { useSyncExternalStore } from 'react';
import { noAnswer, problemOf } from './problem';
import type { components } from './schema';

export type Session = components['schemas']['Session'];

const PLACE = '/api/v1/session';
const listeners = new Set<() => void>();

/** Undefined until the server has said; null without a session. */
let session: Session | null | undefined;

function become(next: Session | null): void {
  session = next;
  for (const listener of listeners) listener();
}

export function onSession(listener: () => void): () => void {
  listeners.add(listener);
  return () => listeners.delete(listener);
}

export function currentSession(): Session | null | undefined {
  return session;
}

export function useSession(): Session | null | undefined {
  return useSyncExternalStore(onSession, currentSession);
}

/** What the holder of the session may do beyond reading. */
export function useMay(): { operate: boolean; admin: boolean } {
  const scope = useSession()?.scope;
  return { operate: scope === 'operate' || scope === 'admin', admin: scope === 'admin' };
}

/** The session has ended: its token was revoked, it is too old, or the server began anew. */
export function sessionEnded(): void {
  if (session) become(null);
}

async function ask(init: RequestInit): Promise<Response> {
  const place = `${init.method ?? 'GET'} ${PLACE}`;
  return fetch(PLACE, { ...init, credentials: 'same-origin' }).catch(() => {
    throw noAnswer(place);
  });
}

async function opened(response: Response, place: string): Promise<Session> {
  const body: unknown = await response.json().catch(() => undefined);
  if (!response.ok) throw problemOf(body, response.status, place);
  return body as Session;
}

/** Logs in with a token, or with the code of the line that `towpath serve` prints at its first start. */
export async function logIn(by: { token: string } | { code: string }): Promise<void> {
  const headers = { 'content-type': 'application/json' };
  const response = await ask({ method: 'POST', headers, body: JSON.stringify(by) });
  become(await opened(response, `POST ${PLACE}`));
}

export async function logOut(): Promise<void> {
  const response = await ask({ method: 'DELETE' });
  // 401: it had ended already.
  if (!response.ok && response.status !== 401) throw problemOf(undefined, response.status, `DELETE ${PLACE}`);
  become(null);
}

/** The code behind `#code=` of the address, which is taken out of it. */
function takeCode(): string | undefined {
  const found = /^#code=(.+)$/.exec(location.hash);
  if (!found?.[1]) return undefined;
  history.replaceState(null, '', location.pathname + location.search);
  try {
    return decodeURIComponent(found[1]);
  } catch {
    // Not a code: the server refuses it.
    return found[1];
  }
}

/** Finds out who uses this browser; called once. A code that is not valid any more shows the login page. */
export async function findSession(): Promise<void> {
  const code = takeCode();
  if (code !== undefined) {
    const failed = await logIn({ code }).catch((error: unknown) => error);
    if (failed === undefined) return;
  }
  const response = await ask({});
  become(response.status === 401 ? null : await opened(response, `GET ${PLACE}`));
}
