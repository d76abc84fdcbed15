// The client of the HTTP API. Its types are made from the server's own document (`npm run api`).

import createClient from 'openapi-fetch';
import { noAnswer, problemOf } from './problem';
import type { components, paths } from './schema';
import { sessionEnded } from './session';

export type Schemas = components['schemas'];
export const BASE = '/api/v1';

async function send(request: Request): Promise<Response> {
  try {
    return await fetch(request);
  } catch (error) {
    if (request.signal.aborted) throw error;
    throw noAnswer(`${request.method} ${new URL(request.url).pathname}`);
  }
}

export const client = createClient<paths>({ baseUrl: location.origin, credentials: 'same-origin', fetch: send });

interface Answer<T> {
  data?: T;
  error?: unknown;
  response: Response;
}

/** The data of an answer; a failure is thrown. A session that is not valid any more ends here. */
export async function dataOf<T>(call: Promise<Answer<T>>): Promise<T> {
  const { data, error, response } = await call;
  if (response.ok && data !== undefined) return data;
  if (response.status === 401) sessionEnded();
  throw problemOf(error, response.status, new URL(response.url).pathname);
}
