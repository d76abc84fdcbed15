// What the pages ask for, each under one key. Pages never call the client themselves, except for actions.

import { infiniteQueryOptions, keepPreviousData, queryOptions } from '@tanstack/react-query';
import { client, dataOf, type Schemas } from './client';

export type RunState = Schemas['RunState'];
export type RunLine = Schemas['RunLine'];
export type Run = Schemas['Run'];
export type Task = Schemas['Task'];
export type Failure = Schemas['Failure'];
export type PipelineLine = Schemas['PipelineLine'];
export type Pipeline = Schemas['Pipeline'];
export type Logs = Schemas['Logs'];

export interface RunsFilter {
  pipeline?: string | undefined;
  state?: RunState | undefined;
}

const given = <T extends object>(values: T) =>
  Object.fromEntries(Object.entries(values).filter(([, value]) => value !== undefined)) as {
    [K in keyof T]?: Exclude<T[K], undefined>;
  };

/** The most entries of a list that is shown whole. */
export const MOST_ENTRIES = 2_000;

/** All entries of a list, page by page. */
async function allOf<P extends { next?: string }, E>(
  ask: (cursor: { cursor?: string }) => Promise<P>,
  entriesOf: (page: P) => readonly E[],
): Promise<{ entries: E[]; isCut: boolean }> {
  const entries: E[] = [];
  let cursor: { cursor?: string } = {};
  for (;;) {
    const page = await ask(cursor);
    entries.push(...entriesOf(page));
    if (page.next === undefined) return { entries, isCut: false };
    if (entries.length >= MOST_ENTRIES) return { entries, isCut: true };
    cursor = { cursor: page.next };
  }
}

export const pipelinesQuery = queryOptions({
  queryKey: ['pipelines'],
  queryFn: async ({ signal }) => {
    const ask = (cursor: { cursor?: string }) =>
      dataOf(client.GET('/api/v1/pipelines', { params: { query: { limit: 500, ...cursor } }, signal }));
    const { entries, isCut } = await allOf(ask, (page) => page.pipelines);
    return { pipelines: entries, isCut };
  },
});

export const pipelineQuery = (name: string) =>
  queryOptions({
    queryKey: ['pipeline', name],
    queryFn: ({ signal }) =>
      dataOf(client.GET('/api/v1/pipelines/{name}', { params: { path: { name } }, signal })),
  });

/** The newest runs, all on one page. */
export const newestRunsQuery = (limit: number, filter: RunsFilter = {}) =>
  queryOptions({
    queryKey: ['runs', 'newest', limit, filter],
    queryFn: ({ signal }) =>
      dataOf(client.GET('/api/v1/runs', { params: { query: { limit, ...given(filter) } }, signal })),
    placeholderData: keepPreviousData,
  });

/** Pages of runs. */
export const runsQuery = (filter: RunsFilter) =>
  infiniteQueryOptions({
    queryKey: ['runs', 'pages', filter],
    queryFn: ({ signal, pageParam }) => {
      const query = { limit: 50, ...given({ ...filter, cursor: pageParam }) };
      return dataOf(client.GET('/api/v1/runs', { params: { query }, signal }));
    },
    initialPageParam: undefined as string | undefined,
    getNextPageParam: (page) => page.next,
    placeholderData: keepPreviousData,
  });

export const runQuery = (id: string) =>
  queryOptions({
    queryKey: ['run', id],
    queryFn: ({ signal }) => dataOf(client.GET('/api/v1/runs/{id}', { params: { path: { id } }, signal })),
  });

/** The events of one task; the whole log of a run is read in pages (`pages/run/useLogs.ts`). */
export const taskLogsQuery = (id: string, task: string) =>
  queryOptions({
    queryKey: ['logs', id, task],
    queryFn: ({ signal }) =>
      dataOf(client.GET('/api/v1/runs/{id}/logs', { params: { path: { id }, query: { task } }, signal })),
  });

export const schedulesQuery = queryOptions({
  queryKey: ['schedules'],
  queryFn: async ({ signal }) => {
    const ask = (cursor: { cursor?: string }) =>
      dataOf(client.GET('/api/v1/schedules', { params: { query: { limit: 500, ...cursor } }, signal }));
    const { entries, isCut } = await allOf(ask, (page) => page.schedules);
    return { schedules: entries, isCut };
  },
});

export const backfillsQuery = queryOptions({
  queryKey: ['backfills'],
  queryFn: ({ signal }) => dataOf(client.GET('/api/v1/backfills', { signal })),
});

export const tablesQuery = queryOptions({
  queryKey: ['tables'],
  queryFn: async ({ signal }) => {
    const ask = (cursor: { cursor?: string }) =>
      dataOf(client.GET('/api/v1/tables', { params: { query: { limit: 200, ...cursor } }, signal }));
    const { entries, isCut } = await allOf(ask, (page) => page.tables);
    return { tables: entries, isCut };
  },
});

export const tableQuery = (name: string) =>
  queryOptions({
    queryKey: ['table', name],
    queryFn: ({ signal }) => dataOf(client.GET('/api/v1/tables/{name}', { params: { path: { name } }, signal })),
  });

export const versionsQuery = (name: string) =>
  queryOptions({
    queryKey: ['table', name, 'versions'],
    queryFn: ({ signal }) =>
      dataOf(
        client.GET('/api/v1/tables/{name}/versions', { params: { path: { name }, query: { limit: 100 } }, signal }),
      ),
  });

export const quarantineQuery = queryOptions({
  queryKey: ['quarantine'],
  queryFn: async ({ signal }) => {
    const ask = (cursor: { cursor?: string }) =>
      dataOf(client.GET('/api/v1/quarantine', { params: { query: { limit: 200, ...cursor } }, signal }));
    const { entries, isCut } = await allOf(ask, (page) => page.tables);
    return { tables: entries, isCut };
  },
});

export const rejectedRowsQuery = (name: string) =>
  queryOptions({
    queryKey: ['quarantine', name],
    queryFn: ({ signal }) =>
      dataOf(client.GET('/api/v1/quarantine/{name}', { params: { path: { name }, query: { limit: 200 } }, signal })),
  });

export const previewQuery = (name: string) =>
  queryOptions({
    queryKey: ['schedules', 'preview', name],
    queryFn: ({ signal }) =>
      dataOf(
        client.GET('/api/v1/pipelines/{name}/schedule/preview', { params: { path: { name }, query: { count: 10 } }, signal }),
      ),
  });

/** Results of the checks of a table, newest first. */
export const qualityQuery = (table: string) =>
  queryOptions({
    queryKey: ['checks', table],
    queryFn: ({ signal }) =>
      dataOf(client.GET('/api/v1/quality', { params: { query: { table, limit: 500 } }, signal })),
  });

export const lineageQuery = (subject: string, direction: 'up' | 'down') =>
  queryOptions({
    queryKey: ['table', subject, 'lineage', direction],
    queryFn: ({ signal }) => dataOf(client.GET('/api/v1/lineage', { params: { query: { subject, direction } }, signal })),
  });

export const tokensQuery = queryOptions({
  queryKey: ['tokens'],
  queryFn: ({ signal }) => dataOf(client.GET('/api/v1/tokens', { signal })),
});

export const whyQuery = (subject: string) =>
  queryOptions({
    queryKey: ['why', subject],
    queryFn: ({ signal }) => dataOf(client.GET('/api/v1/why', { params: { query: { subject } }, signal })),
  });
