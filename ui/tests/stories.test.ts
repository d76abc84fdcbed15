// What people do with the pages, clicked through against a server that runs.

import { rm, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import type { Browser, Page } from 'playwright-core';
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, inject, test } from 'vitest';
import { launch, logIn, open, settled } from './browser';
import { towpath } from './server';
import { wire } from './wire';

let browser: Browser;
let page: Page;
beforeAll(async () => {
  browser = await launch();
});
afterAll(async () => {
  await browser.close();
});
beforeEach(async () => {
  page = (await open(browser)).page;
});
afterEach(async () => {
  await page.context().close();
});

const heading = () => page.locator('h1').innerText();
const row = (name: string) => page.getByRole('row').filter({ has: page.getByRole('link', { name, exact: true }) });

describe('the login', () => {
  test('a wrong token says so, a right one opens the page that was asked for', async () => {
    await page.goto('/tables/raw.flights');
    await page.getByLabel('Token').fill('towpath_wrong');
    await page.getByRole('button', { name: 'Log in' }).click();
    expect(await page.getByRole('alert').innerText()).toMatch(/not valid/);
    await page.getByLabel('Token').fill(inject('token'));
    await page.getByRole('button', { name: 'Log in' }).click();
    await page.getByRole('heading', { name: 'raw.flights', level: 1 }).waitFor();
  });

  test('no script can read the session, and logging out ends it', async () => {
    await logIn(page);
    expect(await page.evaluate(() => document.cookie + JSON.stringify({ ...localStorage, ...sessionStorage }))).toBe('{}');
    const [cookie] = await page.context().cookies();
    expect(cookie).toMatchObject({ httpOnly: true, sameSite: 'Strict' });
    await page.getByRole('button', { name: 'Log out' }).click();
    await page.getByLabel('Token').waitFor();
    await page.reload();
    await page.getByLabel('Token').waitFor();
  });
});

describe('with a session', () => {
  beforeEach(() => logIn(page));

  test('Home says what needs somebody, why, and leads there', async () => {
    await settled(page);
    expect(await heading()).toMatch(/need/);
    const need = page.getByRole('listitem').filter({ hasText: 'stopped by data' });
    expect(await need.innerText()).toMatch(/3 of 6 rows are bad/);
    await need.getByRole('link', { name: 'stock#1' }).click();
    await page.getByRole('heading', { name: 'stock#1' }).waitFor();
    await page.getByText('R0623').first().waitFor();
    await page.getByRole('button', { name: /quarantine show shop.stock/ }).waitFor();
  });

  test('a run is started with a parameter, is seen live, and its log follows', async () => {
    await page.goto('/pipelines/hourly');
    await page.getByRole('button', { name: 'Run', exact: true }).click();
    await page.getByLabel(/Parameters/).fill('pages=160');
    await page.getByRole('button', { name: /towpath run hourly --param pages=160/ }).waitFor();
    await page.getByRole('dialog').getByRole('button', { name: 'Run', exact: true }).click();
    await page.waitForURL(/\/runs\/hourly%23\d+/);
    await page.locator('.page-title').getByText('running').waitFor();
    await row('fetch').getByText('running').waitFor();
    await row('send').getByText('waiting').waitFor();
    // Nothing is loaded anew from here on: states come with events.
    await row('fetch').getByText('succeeded').waitFor({ timeout: 30_000 });
    await page.locator('.page-title').getByText('succeeded').waitFor();
    await row('send').getByText('succeeded').waitFor();
    await page.getByRole('link', { name: 'Log', exact: true }).click();
    await page.getByText('run succeeded').waitFor();
    await page.getByLabel('Search the log').fill('page 160 of 160');
    await page.getByText('1 found').waitFor();
    await page.getByLabel('Level').selectOption('warnings and errors');
    await page.getByText('WARN 3 values had no unit').waitFor();
    expect(await page.locator('.log-text').getByText('page 160 of 160').count()).toBe(0);
    expect(page.url()).toMatch(/level=warn/);
  });

  test('a run is cancelled', async () => {
    await page.goto('/pipelines/hourly');
    await page.getByRole('button', { name: 'Run', exact: true }).click();
    await page.getByLabel(/Parameters/).fill('pages=900');
    await page.getByRole('dialog').getByRole('button', { name: 'Run', exact: true }).click();
    await row('fetch').getByText('running').waitFor();
    await page.getByRole('button', { name: 'Cancel', exact: true }).click();
    await page.getByRole('button', { name: 'Cancel the run' }).click();
    await page.locator('.page-title').getByText('cancelled').waitFor();
  });

  test('a failed task says why and how often, and its run is run again', async () => {
    const fail = join(inject('folder'), 'fail');
    await page.goto('/runs/hourly%235');
    await page.getByRole('link', { name: 'score', exact: true }).last().click();
    await page.getByText('next attempt after').waitFor();
    expect(await page.locator('.attempts li').count()).toBe(2);
    expect(await page.locator('.task-detail').innerText()).toMatch(/exit code 3/);
    await rm(fail, { force: true });
    await page.getByRole('button', { name: 'Rerun failed tasks' }).click();
    await page.waitForURL((url) => !url.pathname.endsWith('%235'));
    await page.locator('.page-title').getByText('succeeded').waitFor();
  });

  test('a run started elsewhere appears by itself, and its failure too', async () => {
    await page.goto('/runs');
    await settled(page);
    await page.getByText('live', { exact: true }).waitFor();
    await writeFile(join(inject('folder'), 'fail'), '');
    const newest = page.getByRole('row').nth(1);
    const before = await newest.innerText();
    await towpath(inject('folder'), ['run', 'hourly', '--param', 'pages=2', '--quiet'], [1]);
    await rm(join(inject('folder'), 'fail'));
    await page.waitForFunction((old) => {
      const text = document.querySelectorAll('tbody tr')[0]?.textContent ?? '';
      return text !== old && text.includes('failed');
    }, before);
  });

  test('a run says where its rows are, in the numbers of the terminal', async () => {
    await page.goto('/runs/nycflights%231');
    const figures = await page.locator('.figures').innerText();
    expect(figures.replace(/\s+/g, ' ')).toMatch(/Rows read 367,687 = 367,686 ?loaded \+ 1 ?rejected/);
  });

  test('the graph keeps the path of a task lit', async () => {
    await page.goto('/pipelines/nycflights?view=graph');
    await page.locator('.react-flow__node').first().waitFor();
    expect(await page.locator('.react-flow__node').count()).toBe(10);
    await page.locator('.react-flow__node').filter({ hasText: 'raw.planes' }).click();
    await page.locator('.node.is-dim').first().waitFor();
    expect(await page.locator('.node.is-dim').count()).toBe(9);
    expect(page.url()).toMatch(/task=extract\/raw.planes/);
    const why = page.getByRole('region', { name: 'Why extract/raw.planes' });
    await why.getByText(/have not changed since it last succeeded/).waitFor();
    await why.getByRole('button', { name: /towpath run nycflights --full-refresh/ }).waitFor();
    await page.getByRole('button', { name: 'Fold extract' }).click();
    await page.getByText('5 tasks', { exact: true }).waitFor();
    expect(await page.locator('.react-flow__node').count()).toBe(6);
  });

  test('a table says its columns, its versions, its checks and its lineage', async () => {
    await page.goto('/tables');
    await settled(page);
    await page.getByLabel('Filter tables').fill('raw.fl');
    await page.getByRole('link', { name: 'raw.airlines' }).waitFor({ state: 'detached' });
    expect(await page.getByRole('row').count()).toBe(2);
    await page.getByRole('link', { name: 'raw.flights', exact: true }).click();
    await page.getByText('336,776').first().waitFor();
    await page.getByRole('cell', { name: 'tailnum' }).waitFor();
    await page.getByRole('link', { name: 'Versions' }).click();
    await page.getByRole('link', { name: 'nycflights#2' }).first().waitFor();
    await page.getByRole('link', { name: 'Checks', exact: true }).click();
    await page.getByText(/7,602 rows with a/).waitFor();
    await page.getByRole('link', { name: 'Lineage' }).click();
    await page.getByText('data:flights.csv.gz').waitFor();
    await page.getByRole('link', { name: 'marts.delay_by_carrier_month' }).waitFor();
    await page.getByLabel('Column').selectOption('dep_time');
    await page.getByText(/dep_time, computed/).waitFor();
  });

  test('a rejected row is shown with its bad cell and its place', async () => {
    await page.goto('/quarantine');
    await page.getByRole('link', { name: 'raw.weather', exact: true }).click();
    await page.getByText('data/weather.csv:1011').waitFor();
    const bad = page.locator('td.is-bad');
    expect(await bad.count()).toBe(1);
    expect(await bad.innerText()).toMatch(/1048.36058/);
    expect(await bad.innerText()).toMatch(/at most 200/);
  });

  test('a schedule is paused and resumed', async () => {
    await page.goto('/pipelines/hourly');
    await page.getByRole('button', { name: 'Pause schedule' }).click();
    await page.getByRole('button', { name: 'Resume schedule' }).waitFor();
    await page.goto('/schedules');
    await row('hourly').getByText('paused').waitFor();
    await page.goto('/pipelines/hourly');
    await page.getByRole('button', { name: 'Resume schedule' }).click();
    await page.getByRole('button', { name: 'Pause schedule' }).waitFor();
  });

  test('a token is made, used once, and revoked', async () => {
    await page.goto('/tokens');
    await page.getByLabel('Name of the new token').fill('looker');
    await page.getByRole('button', { name: 'Create', exact: true }).click();
    const made = await page.locator('.made code').innerText();
    const other = (await open(browser)).page;
    await other.goto('/pipelines/hourly');
    await other.getByLabel('Token').fill(made);
    await other.getByRole('button', { name: 'Log in' }).click();
    await other.getByRole('heading', { name: 'hourly' }).waitFor();
    // Who may only read is offered nothing that changes something.
    expect(await other.getByRole('button', { name: 'Run', exact: true }).count()).toBe(0);
    await page.getByRole('button', { name: 'Revoke looker' }).click();
    await page.getByRole('button', { name: 'Revoke looker' }).waitFor({ state: 'detached' });
    await other.goto('/runs');
    await other.getByLabel('Token').waitFor();
    await other.context().close();
  });

  test('everything is reached by keys', async () => {
    await page.keyboard.press('g');
    await page.keyboard.press('p');
    await page.getByRole('heading', { name: 'Pipelines' }).waitFor();
    await settled(page);
    await page.keyboard.press('j');
    await page.keyboard.press('j');
    await page.keyboard.press('Enter');
    await page.getByRole('heading', { name: 'nycflights' }).waitFor();
    await page.keyboard.press('/');
    await page.keyboard.type('stock#1');
    await page.keyboard.press('Enter');
    await page.getByRole('heading', { name: 'stock#1' }).waitFor();
    await page.keyboard.press('?');
    await page.getByText('Search pipelines, tables and runs').waitFor();
    await page.keyboard.press('Escape');
    await page.getByText('Search pipelines, tables and runs').waitFor({ state: 'detached' });
  });

  test('what does not exist says what, and the way out', async () => {
    await page.goto('/runs/hourly%23999');
    expect(await page.getByRole('alert').innerText()).toMatch(/hourly#999/);
    await page.goto('/nowhere');
    await page.getByRole('heading', { name: 'There is no such page' }).waitFor();
  });

  test('a command is copied', async () => {
    await page.goto('/runs/stock%231');
    await page.getByRole('button', { name: /towpath logs stock#1/ }).click();
    await page.getByText('copied', { exact: true }).waitFor();
    expect(await page.evaluate(() => navigator.clipboard.readText())).toBe('towpath logs stock#1');
  });
});

test('a page that was cut off goes on behind the last event', async () => {
  const line = await wire(inject('url'));
  const { page } = await open(browser, { baseURL: line.url });
  await logIn(page);
  await page.getByRole('link', { name: 'Runs', exact: true }).click();
  await settled(page);
  await page.getByText('live', { exact: true }).waitFor();
  const resumed: (string | undefined)[] = [];
  page.on('request', (request) => {
    if (request.url().endsWith('/api/v1/events')) resumed.push(request.headers()['last-event-id']);
  });
  const newest = page.getByRole('row').nth(1);
  await line.cut();
  await page.getByText('connection lost, trying again').waitFor();
  const before = await newest.innerText();
  await towpath(inject('folder'), ['run', 'hourly', '--param', 'pages=1', '--quiet']);
  expect(await newest.innerText()).toBe(before);
  await line.mend();
  await page.getByText('live', { exact: true }).waitFor({ timeout: 30_000 });
  await expect.poll(() => newest.innerText(), { timeout: 10_000 }).not.toBe(before);
  expect(resumed.at(-1)).toMatch(/^\d+-\d+-\d+$/);
  await page.context().close();
  await line.cut();
});
