// What changes something. A request that starts a run has a key, so that it may be sent twice.

import { useMutation, useQueryClient } from '@tanstack/react-query';
import { useNavigate } from '@tanstack/react-router';
import { runId } from '../model/run';
import { client, dataOf, type Schemas } from './client';

/** Not `randomUUID`, which pages without TLS do not have. */
const newKey = () => {
  const bytes = crypto.getRandomValues(new Uint8Array(16));
  return { 'Idempotency-Key': [...bytes].map((byte) => byte.toString(16).padStart(2, '0')).join('') };
};

/** After a run has begun its page opens. */
function useOpenRun() {
  const queries = useQueryClient();
  const navigate = useNavigate();
  return (run: Schemas['Run']) => {
    const id = runId(run.name);
    queries.setQueryData(['run', id], run);
    void queries.invalidateQueries({ queryKey: ['runs'] });
    void queries.invalidateQueries({ queryKey: ['pipelines'] });
    void navigate({ to: '/runs/$id', params: { id }, search: {} });
  };
}

export function useStartRun(name: string) {
  const onSuccess = useOpenRun();
  return useMutation({
    mutationFn: (body: Schemas['RunOptions']) =>
      dataOf(client.POST('/api/v1/pipelines/{name}/runs', { params: { path: { name }, header: newKey() }, body })),
    onSuccess,
  });
}

export function useRerun(id: string) {
  const onSuccess = useOpenRun();
  return useMutation({
    mutationFn: (body: Schemas['RerunOptions']) =>
      dataOf(client.POST('/api/v1/runs/{id}/rerun', { params: { path: { id }, header: newKey() }, body })),
    onSuccess,
  });
}

export function useCancel(id: string) {
  const queries = useQueryClient();
  return useMutation({
    mutationFn: () => dataOf(client.POST('/api/v1/runs/{id}/cancel', { params: { path: { id } }, body: {} })),
    onSuccess: (run) => queries.setQueryData(['run', id], run),
    onSettled: () => queries.invalidateQueries({ queryKey: ['run', id] }),
  });
}

export function usePause(name: string) {
  const queries = useQueryClient();
  return useMutation({
    mutationFn: async (pause: { isPaused: boolean; reason?: string }) => {
      const params = { path: { name } };
      if (pause.isPaused) {
        const body = pause.reason ? { reason: pause.reason } : {};
        await dataOf(client.POST('/api/v1/pipelines/{name}/schedule/pause', { params, body }));
      } else await dataOf(client.POST('/api/v1/pipelines/{name}/schedule/resume', { params, body: {} }));
    },
    onSettled: () => {
      for (const key of ['pipelines', 'pipeline', 'schedules']) void queries.invalidateQueries({ queryKey: [key] });
    },
  });
}
