// Once for all tests: the server. Its address, token and folder are given to them.

import type { TestProject } from 'vitest/node';
import { start, stop } from './server';

declare module 'vitest' {
  interface ProvidedContext {
    url: string;
    token: string;
    folder: string;
  }
}

export default async function setup(project: TestProject): Promise<() => Promise<void>> {
  const server = await start();
  project.provide('url', server.url);
  project.provide('token', server.token);
  project.provide('folder', server.folder);
  return () => stop(server);
}
