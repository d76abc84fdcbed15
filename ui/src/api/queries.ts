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

export const pipelinesQuery = queryOptions({
  queryKey: ['pipelines'],
  queryFn: ({ signal }) => dataOf(client.GET('/api/v1/pipelines', { signal })),
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
  queryFn: ({ signal }) => dataOf(client.GET('/api/v1/schedules', { signal })),
});

export const backfillsQuery = queryOptions({
  queryKey: ['backfills'],
  queryFn: ({ signal }) => dataOf(client.GET('/api/v1/backfills', { signal })),
});

export const tablesQuery = queryOptions({
  queryKey: ['tables'],
  queryFn: ({ signal }) => dataOf(client.GET('/api/v1/tables', { signal })),
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
  queryFn: ({ signal }) => dataOf(client.GET('/api/v1/quarantine', { signal })),
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
        client.GET('/api/v1/pipelines/{name}/schedule/preview', { params: { path: { name }, query: { count: 5 } }, signal }),
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
