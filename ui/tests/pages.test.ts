// Each page in light, dark, and on a phone: axe finds nothing, nothing is wrong in the console, no request leaves the
// host, nothing scrolls sideways. TOWPATH_BLESS=1 writes the screenshots in docs/img.

import { mkdir, mkdtemp, readFile, rm } from 'node:fs/promises';
import { createRequire } from 'node:module';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import type { AxeResults } from 'axe-core';
import type { Browser } from 'playwright-core';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { launch, logIn, open, settled, type Watched } from './browser';

const PAGES = {
  home: '/',
  pipelines: '/pipelines',
  pipeline: '/pipelines/nycflights',
  'pipeline-graph': '/pipelines/nycflights?view=graph',
  'pipeline-trends': '/pipelines/hourly?view=trends',
  'pipeline-schedule': '/pipelines/hourly?view=schedule',
  runs: '/runs',
  run: '/runs/nycflights%232',
  'run-failed': '/runs/hourly%235?task=score',
  'run-stopped': '/runs/stock%231',
  'run-checks': '/runs/nycflights%231?view=checks',
  'run-log': '/runs/hourly%231?view=log',
  tables: '/tables',
  table: '/tables/raw.flights',
  'table-versions': '/tables/raw.flights?view=versions',
  'table-checks': '/tables/raw.flights?view=checks',
  'table-lineage': '/tables/raw.flights?view=lineage',
  quarantine: '/quarantine',
  'quarantine-rows': '/quarantine/raw.weather',
  schedules: '/schedules',
  tokens: '/tokens',
} as const;

const LOOKS = {
  light: { colorScheme: 'light' },
  dark: { colorScheme: 'dark' },
  phone: { colorScheme: 'light', viewport: { width: 360, height: 740 } },
} as const;

// With TOWPATH_BLESS=1 the screenshots of the docs are written anew.
const KEEPS = process.env['TOWPATH_BLESS'] === '1';
const IMAGES = KEEPS ? join(import.meta.dirname, '../../docs/img') : await mkdtemp(join(tmpdir(), 'towpath-ui-'));
const axeFile = createRequire(import.meta.url).resolve('axe-core/axe.min.js');

let browser: Browser;
let axe: string;
beforeAll(async () => {
  browser = await launch();
  axe = await readFile(axeFile, 'utf8');
  await mkdir(IMAGES, { recursive: true });
});
afterAll(async () => {
  await browser.close();
  if (!KEEPS) await rm(IMAGES, { recursive: true });
});

async function violations({ page }: Watched): Promise<string[]> {
  await page.evaluate(axe);
  const results = await page.evaluate(() => (globalThis as unknown as { axe: { run: () => Promise<AxeResults> } }).axe.run());
  return results.violations.map((one) => `${one.id}: ${one.nodes.map((node) => `${String(node.target)} ${node.failureSummary ?? ''}`).join(' | ')}`);
}

test('the first page is small, and needs nothing of the pages behind it', async () => {
  const { page } = await open(browser);
  let bytes = 0;
  const names: string[] = [];
  page.on('response', (response) => {
    const { pathname } = new URL(response.url());
    if (pathname.startsWith('/api/')) return;
    names.push(pathname);
    void response.body().then((body) => { bytes += body.length; });
  });
  await logIn(page);
  await settled(page);
  expect(names.filter((name) => /elk|Graph|Plot/.test(name))).toEqual([]);
  expect(bytes).toBeGreaterThan(100_000);
  // Not compressed.
  expect(bytes).toBeLessThan(500_000);
  await page.context().close();
});

describe.each(['light', 'dark'] as const)('over the page, %s', (colorScheme) => {
  let watched: Watched;
  beforeAll(async () => {
    watched = await open(browser, { colorScheme });
    await watched.page.goto('/');
    await watched.page.getByLabel('Token').waitFor();
  });
  const shown = async (name: string) => {
    await watched.page.screenshot({ path: join(IMAGES, `${name}-${colorScheme}.png`) });
    expect(await violations(watched)).toEqual([]);
  };

  test('login', () => shown('login'));

  test('search and keys', async () => {
    const { page } = watched;
    await logIn(page);
    await settled(page);
    await page.keyboard.press('/');
    await page.keyboard.type('ra');
    await page.getByRole('option').nth(2).waitFor();
    await shown('search');
    await page.keyboard.press('Escape');
    await page.keyboard.press('?');
    await page.getByRole('dialog', { name: 'Keys' }).waitFor();
    await shown('keys');
  });

  test('running', async () => {
    const { page } = watched;
    await page.goto('/pipelines/hourly');
    await page.getByRole('button', { name: 'Run', exact: true }).click();
    await page.getByLabel(/Parameters/).fill('pages=900');
    await shown('start');
    await page.getByRole('dialog').getByRole('button', { name: 'Run', exact: true }).click();
    await page.waitForURL(/\/runs\//);
    await page.getByText('running').nth(1).waitFor();
    await shown('run-running');
    await page.getByRole('link', { name: 'Home', exact: true }).click();
    await page.getByRole('heading', { name: 'Running now' }).waitFor();
    await shown('home-running');
    await page.goBack();
    await page.getByRole('button', { name: 'Cancel', exact: true }).click();
    await shown('cancel');
    await page.getByRole('button', { name: 'Cancel the run' }).click();
    await page.getByRole('button', { name: /Rerun/ }).last().click();
    await page.getByRole('menuitem', { name: 'convert' }).waitFor();
    await shown('rerun');
  });
});

describe.each(Object.entries(LOOKS))('%s', (look, options) => {
  let watched: Watched;
  beforeAll(async () => {
    watched = await open(browser, options);
    await logIn(watched.page);
    // The first question without a session is answered with 401, which the console says.
    watched.faults.length = 0;
  });

  test.each(Object.entries(PAGES))('%s', async (name, address) => {
    const { page, faults } = watched;
    await page.goto(address);
    await settled(page);
    if (name === 'pipeline-graph') await page.locator('.react-flow__node').first().waitFor();
    if (name === 'run-log') await page.locator('.log-line').first().waitFor();
    await page.screenshot({ path: join(IMAGES, `${name}-${look}.png`), fullPage: look === 'phone' });
    expect(await violations(watched)).toEqual([]);
    expect(await page.evaluate(() => document.documentElement.scrollWidth - innerWidth)).toBeLessThanOrEqual(0);
    expect(faults).toEqual([]);
  });
});
