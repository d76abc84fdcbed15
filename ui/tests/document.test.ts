// What the server says beside the pages: the document of the API, and the policy of the files.

import { readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { expect, inject, test } from 'vitest';

test('ui/openapi.json is the document of the server; if not: npm run api', async () => {
  const response = await fetch(`${inject('url')}/api/v1/openapi.json`);
  const ours: unknown = JSON.parse(await readFile(join(import.meta.dirname, '../openapi.json'), 'utf8'));
  expect(await response.json()).toEqual(ours);
});

test('a page that the browser has already keeps its policy', async () => {
  const first = await fetch(`${inject('url')}/runs`);
  const etag = first.headers.get('etag') ?? '';
  expect(etag).not.toBe('');
  const again = await fetch(`${inject('url')}/runs`, { headers: { 'if-none-match': etag } });
  expect(again.status).toBe(304);
  expect(again.headers.get('content-security-policy')).toBe(first.headers.get('content-security-policy'));
  expect(first.headers.get('content-security-policy')).toMatch(/script-src 'self'/);
});
