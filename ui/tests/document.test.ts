// The types of the client are those of the server: a drift is a failure.

import { readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { expect, inject, test } from 'vitest';

test('ui/openapi.json is the document of the server; if not: npm run api', async () => {
  const response = await fetch(`${inject('url')}/api/v1/openapi.json`);
  const ours: unknown = JSON.parse(await readFile(join(import.meta.dirname, '../openapi.json'), 'utf8'));
  expect(await response.json()).toEqual(ours);
});
