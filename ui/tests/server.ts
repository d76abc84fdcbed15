// A real server with a real project in a temporary folder: examples/nycflights, and two pipelines that show what goes
// wrong. Runs of before are made by the command line.

import { execFile, spawn, type ChildProcess } from 'node:child_process';
import { cp, mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';

export interface Server {
  /** `http://127.0.0.1:41234` */
  url: string;
  token: string;
  folder: string;
  process: ChildProcess;
}

const HERE = import.meta.dirname;
const EXAMPLE = join(HERE, '../../examples/nycflights');

export function program(): string {
  const found = process.env['TOWPATH'];
  if (!found) throw new Error('set TOWPATH to the binary; ui/tests/run.sh does the rest');
  return found;
}

/** The output of a command. Runs that fail on purpose are allowed to. */
export function towpath(folder: string, args: readonly string[], allowed: readonly number[] = [0]): Promise<string> {
  return new Promise((resolve, reject) => {
    execFile(program(), [...args], { cwd: folder }, (error, stdout, stderr) => {
      const status = error ? Number(error.code) : 0;
      if (allowed.includes(status)) resolve(stdout);
      else reject(new Error(`towpath ${args.join(' ')} ended with ${status}\n${stdout}${stderr}`));
    });
  });
}

async function project(): Promise<string> {
  const folder = await mkdtemp(join(tmpdir(), 'towpath-ui-'));
  const isSource = (path: string) => !/\/(\.towpath|lake|out)(\/|$)/.test(path.slice(EXAMPLE.length));
  await cp(EXAMPLE, folder, { recursive: true, filter: isSource });
  await cp(join(HERE, 'project/stock.csv'), join(folder, 'data/stock.csv'));
  for (const name of ['stock', 'hourly']) {
    await cp(join(HERE, `project/${name}.yml`), join(folder, `pipelines/${name}.yml`));
  }
  return folder;
}

/** nycflights twice, hourly with pages and a failure, stock that its data stops. */
async function history(folder: string): Promise<void> {
  const run = (...args: string[]) => towpath(folder, ['run', ...args, '--quiet'], [0, 1, 3]);
  await run('nycflights');
  await run('nycflights', '--full-refresh');
  await run('nycflights');
  for (const pages of [30, 12, 22, 9]) await run('hourly', '--param', `pages=${pages}`);
  await writeFile(join(folder, 'fail'), '');
  await run('hourly', '--param', 'pages=5');
  await rm(join(folder, 'fail'));
  await run('stock');
}

function address(server: ChildProcess): Promise<string> {
  return new Promise((resolve, reject) => {
    let text = '';
    const read = (piece: Buffer) => {
      text += piece.toString();
      const found = /(http:\/\/127\.0\.0\.1:\d+)/.exec(text)?.[1];
      if (found) resolve(found);
    };
    server.stdout?.on('data', read);
    server.stderr?.on('data', read);
    server.on('exit', (status) => reject(new Error(`towpath serve ended with ${status}\n${text}`)));
  });
}

export async function start(): Promise<Server> {
  const folder = await project();
  await history(folder);
  const token = (await towpath(folder, ['token', 'create', 'me', '--scope', 'admin'])).trim();
  const server = spawn(program(), ['serve', '--listen', '127.0.0.1:0'], { cwd: folder, stdio: ['ignore', 'pipe', 'pipe'] });
  return { url: await address(server), token, folder, process: server };
}

export async function stop(server: Server): Promise<void> {
  const ended = new Promise((resolve) => server.process.once('exit', resolve));
  server.process.kill('SIGTERM');
  await ended;
  await rm(server.folder, { recursive: true, force: true });
}
