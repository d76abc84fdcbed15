// A failure as the server says it: what, its code, and the ways out. A server that does not answer is one, too.

import type { components } from './schema';

export class ApiProblem extends Error {
  constructor(
    message: string,
    readonly status: number,
    readonly code: string | undefined,
    readonly help: readonly string[],
    /** What was asked for: `GET /api/v1/runs`. */
    readonly place: string,
  ) {
    super(message);
    this.name = 'ApiProblem';
  }
}

type Sent = Partial<components['schemas']['Problem']>;

/** The failure in an answer. */
export function problemOf(sent: unknown, status: number, place: string): ApiProblem {
  const problem: Sent = typeof sent === 'object' && sent !== null ? sent : {};
  const message = problem.detail ?? problem.title ?? `the server answered with status ${status}`;
  return new ApiProblem(message, status, problem.code, problem.help ?? [], place);
}

/** No answer came. */
export function noAnswer(place: string): ApiProblem {
  return new ApiProblem('The server does not answer.', 0, undefined, ['start it: towpath serve'], place);
}

/** Whatever was thrown, as a failure that can be shown. */
export function asProblem(error: unknown): ApiProblem {
  if (error instanceof ApiProblem) return error;
  const message = error instanceof Error ? error.message : String(error);
  return new ApiProblem(message, 0, undefined, ['this is a fault of the page; load it again'], location.pathname);
}
