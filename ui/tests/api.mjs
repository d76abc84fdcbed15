// npm run api: writes openapi.json as the server has it, and the types of the client.
//   TOWPATH=../target/debug/towpath npm run api

import { execFileSync, spawn } from 'node:child_process';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join, resolve } from 'node:path';

const program = process.env.TOWPATH;
if (!program) throw new Error('set TOWPATH to the binary: TOWPATH=../target/debug/towpath npm run api');

const folder = mkdtempSync(join(tmpdir(), 'towpath-api-'));
writeFileSync(join(folder, 'towpath.yml'), 'towpath: 1\nname: empty\nid: 0d6f7a52-4d0b-4e5f-9c1a-2b3d4e5f6a7b\n');
const server = spawn(resolve(program), ['serve', '--listen', '127.0.0.1:0'], { cwd: folder });
try {
  const url = await new Promise((found, failed) => {
    let text = '';
    const read = (piece) => {
      text += piece;
      const address = /http:\/\/127\.0\.0\.1:\d+/.exec(text)?.[0];
      if (address) found(address);
    };
    server.stdout.on('data', read);
    server.stderr.on('data', read);
    server.on('exit', (status) => failed(new Error(`towpath serve ended with ${status}\n${text}`)));
  });
  const document = await (await fetch(`${url}/api/v1/openapi.json`)).json();
  writeFileSync('openapi.json', `${JSON.stringify(document, undefined, 1)}\n`);
} finally {
  server.kill('SIGTERM');
  rmSync(folder, { recursive: true, force: true });
}
execFileSync('npx', ['openapi-typescript', 'openapi.json', '-o', 'src/api/schema.d.ts'], { stdio: 'inherit' });
